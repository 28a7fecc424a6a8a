"""Linear directions as a run: the same as fitted directly, and an editor like the others."""

from __future__ import annotations

from pathlib import Path

import torch

from datasets.latent_cache import LatentCache
from models.editors.linear import LinearDirectionsEditor
from tests.training.editors import (
    assert_configs_fit,
    assert_independent_of_the_batch,
    assert_usable,
    faces_of,
    logged,
    trained,
    write_config,
)
from utils.config import load_config


def test_a_run_is_the_fit_and_an_editor(tiny_domain_folder: Path, tmp_path: Path) -> None:
    method = {"name": "linear", "ridge": 0.1}
    path = write_config(tiny_domain_folder, tmp_path, method, steps=0)
    run = trained(path, tmp_path / "run")
    editor, domain = assert_usable(run, tmp_path, "linear directions")
    assert_independent_of_the_batch(editor, domain)
    data = load_config(path)["data"]
    codes, scores = LatentCache(domain, data["faces"], data["cache"]).prepare().numbers()
    direct = LinearDirectionsEditor.fit(codes, scores, domain.attributes, ridge=0.1)
    w, image = faces_of(domain)
    torch.testing.assert_close(editor.read(w, image), direct.read(w, image))
    explained = logged(run, "fit")
    error = direct.read(codes, codes) - scores
    for column, name in enumerate(domain.attributes):
        share = 1 - float(error[:, column].var() / scores[:, column].var())
        assert abs(explained[f"explained_{name}"] - share) < 1e-4


def test_configs() -> None:
    assert_configs_fit("linear")
