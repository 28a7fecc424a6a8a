"""`edit.py --save-masks`: the classes of the inversions' pixels as PNGs to paint in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import edit
from models.domain import Domain
from models.parsing.palette import PALETTE
from utils.images import to_tensor
from utils.weights import load_weights, save_weights


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"photos/face-{number}.png")
    return tmp_path / "photos"


def run(*arguments: object) -> int:
    return edit.main([*map(str, arguments), "--set", "Smiling=1", "--quiet", "--device", "cpu"])


def test_masks_are_those_of_the_inversions(photos: Path, tiny_domain_folder: Path, tmp_path: Path) -> None:
    out, editor = tmp_path / "out", tiny_domain_folder / "editor.safetensors"
    assert run(photos, "-o", out, "--checkpoint", editor) == 0 and not (out / "masks").exists()
    assert run(photos, "-o", out, "--checkpoint", editor, "--save-masks", "--save-latents") == 0
    domain = Domain.from_file(tiny_domain_folder / "domain.yaml")
    for number in range(2):
        with Image.open(out / f"masks/face-{number}--mask.png") as picture:
            mask, colours = np.asarray(picture), np.asarray(picture.convert("RGB"))
        with Image.open(out / f"faces/face-{number}--inversion.png") as picture:
            expected = domain.parse(to_tensor(picture)[None])[0].numpy()
        assert mask.shape == (32, 32) and (mask == expected).mean() > 0.98  # the picture was rounded to bytes
        np.testing.assert_array_equal(colours, np.asarray(PALETTE)[mask])
    assert run(out / "latents", "-o", tmp_path / "codes", "--checkpoint", editor, "--save-masks") == 0
    with Image.open(tmp_path / "codes/masks/face-1--latents--mask.png") as picture:
        assert (np.asarray(picture) == mask).mean() > 0.98


def test_a_domain_without_a_parser_is_named_before_the_work_and_a_config_may_bring_one(
    photos: Path, tiny_domain_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state, metadata = load_weights(tiny_domain_folder / "editor.safetensors")
    del metadata["domain"]["parser"]
    save_weights(tmp_path / "editor.safetensors", state, metadata)
    assert run(photos, "-o", tmp_path / "out", "--checkpoint", tmp_path / "editor.safetensors", "--save-masks") == 2
    assert "domain 'tiny' has no parser" in capsys.readouterr().err
    assert not list((tmp_path / "out").rglob("*.png"))
    named = ("--checkpoint", tmp_path / "editor.safetensors", "--domain", tiny_domain_folder / "domain.yaml")
    assert run(photos, "-o", tmp_path / "out", *named, "--save-masks") == 0
    assert len(list((tmp_path / "out/masks").iterdir())) == 2
