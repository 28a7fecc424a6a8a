"""Runs of methods that make editors, as a user makes them, on a domain in miniature."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import yaml

import edit
import evaluate
import train
from models.domain import Domain
from models.editors.base import AttributeEditor, attribute_editor
from models.editors.loading import load_editor
from models.editors.targets import Flip
from training.methods import METHODS
from training.settings import TrainingSettings
from utils.config import check_arguments, load_config
from utils.images import to_pillow
from utils.paths import ROOT
from utils.weights import load_weights

QUIET = ("--quiet", "--device", "cpu")


def write_config(domain_folder: Path, folder: Path, method: dict[str, Any], steps: int, faces: int = 16) -> Path:
    """A config of the real shape, with everything it writes below `folder`."""
    faces_section = {"name": "avatar_faces", "count": faces, "split": "train", "side": 32}
    values = {
        "domain": str(domain_folder / "domain.yaml"),
        "data": {"name": "latent_cache", "faces": faces_section, "cache": str(folder / "latents")},
        "method": method,
        "training": {"steps": steps, "batch_size": 4, "preview_images": 2},
        "run": "never-used",
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def trained(config: Path, run: Path, *overrides: str) -> Path:
    """The finished run."""
    assert train.main(["--config", str(config), "--run", str(run), *QUIET, *overrides]) == 0
    return run


def assert_resumes(config: Path, run: Path, folder: Path, stop: int, steps: int) -> None:
    """A run of the config that was stopped and resumed ends as the unbroken one, bit for bit."""
    parts = trained(config, folder / "parts", f"training.steps={stop}")
    torch.manual_seed(99)  # a resumed run depends on nothing that happened since
    assert train.main(["--resume", str(parts), *QUIET, f"training.steps={steps}"]) == 0
    expected, got = (
        load_weights(sorted((place / "checkpoints").glob("*.safetensors"))[-1])[0] for place in (run, parts)
    )
    assert expected.keys() == got.keys()
    assert not [key for key in expected if not torch.equal(expected[key], got[key])]


def logged(run: Path, group: str) -> dict[str, float]:
    """The last numbers of a group in the run's log."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return next(line for line in reversed(lines) if line["group"] == group)


def faces_of(domain: Domain, count: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes and pictures."""
    random = torch.Generator().manual_seed(3)
    image = torch.rand(count, 3, domain.image_side, domain.image_side, generator=random) * 2 - 1
    return domain.encode(image).detach(), image


def assert_usable(run: Path, folder: Path, title: str) -> tuple[AttributeEditor, Domain]:
    """edit.py and evaluate.py take the run, and nothing else; returns what it holds."""
    editor, domain, _ = load_editor(run)
    _, image = faces_of(domain, 2)
    (folder / "photos").mkdir()
    for number, one in enumerate(image):
        to_pillow(one).save(folder / f"photos/{number}.png")
    common = ["--checkpoint", str(run), "--device", "cpu"]
    assert edit.main([str(folder / "photos"), "-o", str(folder / "edits"), *common, "--force", "--quiet"]) == 0
    assert len(list((folder / "edits/faces").glob("*flip*"))) == 2 * len(domain.attributes)
    measured = ["--count", "3", "--strengths", "0.2", "--fit-count", "16", "--no-latents"]
    assert evaluate.main([*common, *measured, "-o", str(folder / "out")]) == 0
    report = json.loads((folder / "out/report.json").read_text())
    assert set(report["editors"]) == {title, "linear directions"}
    return attribute_editor(editor), domain


def assert_independent_of_the_batch(editor: AttributeEditor, domain: Domain) -> None:
    """A face is edited alone as among others, and not at all where nothing is asked; tolerance: a solver's."""
    w, image = faces_of(domain)
    targets = {domain.attributes[0]: Flip(0.3), domain.attributes[2]: Flip(0.0)}
    together = editor.edit(w, image, targets)
    assert (together - w).abs().amax((1, 2)).min() > 1e-3
    torch.testing.assert_close(editor.edit(w[1:2], image[1:2], targets), together[1:2], rtol=0, atol=1e-3)
    torch.testing.assert_close(editor.edit(w, image, {}), w, rtol=0, atol=1e-3)


def assert_configs_fit(name: str, terms: set[str] | None = None) -> None:
    """The peer's configs of both domains name what exists."""
    for domain in ("avatars", "ffhq"):
        config = load_config(ROOT / f"configs/peers/{name}_{domain}.yaml")
        method = config.section("method")
        check_arguments(method, METHODS.find(method), {"domain"})
        settings = TrainingSettings.from_section(config.section("training"))
        assert config["run"].endswith(domain)
        assert config["domain"] == f"configs/domains/{domain}.yaml", "another domain is named on the command line"
        assert terms is None or set(settings.loss_weights) == terms
