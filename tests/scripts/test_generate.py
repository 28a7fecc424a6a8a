"""generate.py: faces of masks, with drawn and with stored styles."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models.editing.studio import Studio
from scripts import generate
from tests.masks import SIDE, drawn, save_mask
from utils.images import to_pillow
from utils.provenance import mark_of


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    save_mask(tmp_path / "masks/ann.png", drawn(teeth=True))
    save_mask(tmp_path / "masks/bob.png", drawn(glasses=True, hair=20))
    return tmp_path / "masks"


def run(*arguments: object) -> int:
    return generate.main([*map(str, arguments), "--device", "cpu"])


def report(output: Path) -> dict:
    return json.loads((output / "report.json").read_text(encoding="utf-8"))


def test_a_mask_and_a_seed_are_a_picture_whatever_else_is_made(
    masks: Path, tiny_mask_editor: Path, tmp_path: Path
) -> None:
    common = ("--checkpoint", tiny_mask_editor, "--masks")
    assert run(*common, masks, "--seeds", "0:3", "-o", tmp_path / "all") == 0
    assert run(*common, masks / "bob.png", "--seeds", "2", "-o", tmp_path / "one") == 0
    pictures = {path.name: path for path in (tmp_path / "all/faces").iterdir()}
    assert set(pictures) == {f"{name}--seed{seed}.png" for name in ("ann", "bob") for seed in range(3)}
    assert len({Image.open(path).tobytes() for path in pictures.values()}) == 6
    alone = tmp_path / "one/faces/bob--seed2.png"
    assert alone.read_bytes() == pictures["bob--seed2.png"].read_bytes()
    mark = mark_of(alone.read_bytes())
    assert mark is not None and mark["generated"] and mark["label"] == "seed2"
    pipeline = Studio.open(tiny_mask_editor, device="cpu").pipeline
    z = torch.randn(pipeline.domain.styles, pipeline.domain.style_dim, generator=torch.Generator().manual_seed(2))
    condition = pipeline.editor.condition_of(torch.from_numpy(drawn(glasses=True, hair=20))[None])
    picture = pipeline.domain.synthesise_full(pipeline.editor.move(z[None], condition, condition))
    assert Image.open(alone).tobytes() == to_pillow(picture[0]).tobytes()
    said = report(tmp_path / "all")
    assert said["styles"] == ["seed0", "seed1", "seed2"]
    assert [entry["mask"] for entry in said["masks"]] == ["ann", "bob"]
    assert 0 <= said["masks"][1]["pictures"]["seed2"]["mean_iou"] <= 1


def test_stored_styles_are_rows_of_a_file(masks: Path, tiny_mask_editor: Path, tmp_path: Path) -> None:
    domain = Studio.open(tiny_mask_editor, device="cpu").pipeline.domain
    z = torch.stack(
        [
            torch.randn(domain.styles, domain.style_dim, generator=torch.Generator().manual_seed(seed))
            for seed in (5, 7)
        ]
    )
    torch.save(z, tmp_path / "sample_z.pt")
    common = ("--checkpoint", tiny_mask_editor, "--masks", masks)
    assert run(*common, "--samples", tmp_path / "sample_z.pt", "--seeds", "0:2", "-o", tmp_path / "rows") == 0
    assert run(*common, "--seeds", "7", "-o", tmp_path / "seed") == 0
    row, seed = (Image.open(tmp_path / name) for name in ("rows/faces/ann--row1.png", "seed/faces/ann--seed7.png"))
    assert row.tobytes() == seed.tobytes()


def test_the_published_grids(masks: Path, tiny_mask_editor: Path, tmp_path: Path) -> None:
    common = ("--checkpoint", tiny_mask_editor, "--masks", masks, "--grid")
    assert run(*common, "mask-fixed", "--seeds", "0:4", "-o", tmp_path / "mask") == 0
    assert run(*common, "style-fixed", "-o", tmp_path / "style") == 0
    entries = {entry["mask"]: entry["pictures"] for entry in report(tmp_path / "style")["masks"]}
    assert list(entries["ann"]) == [f"{edit}-seed0" for edit in generate.EDITS]
    assert entries["ann"]["remove_glasses-seed0"]["remark"].endswith("the face wears no glasses")
    assert entries["bob"]["add_glasses-seed0"]["remark"].endswith("the face wears glasses already")
    with Image.open(tmp_path / "mask/sheet.png") as sheet, Image.open(tmp_path / "style/sheet.png") as other:
        assert sheet.width > 4 * 128 and other.height > 4 * 128  # four styles beside each other; pictures over masks


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--seeds", "3:3"], "write FIRST:END"),
        (["--seeds=-1:4"], "write FIRST:END"),
        (["--seeds", "0:9999"], "at most 1000"),
        (["--grid", "other"], "invalid choice"),
        (["--samples", "nowhere.pt"], "nowhere.pt"),
    ],
)
def test_wrong_options(arguments: list[str], words: str, masks: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        generate.parse_arguments(["--masks", str(masks), "-o", "out", *arguments])
    assert stop.value.code == 2 and words in capsys.readouterr().err


def test_wrong_inputs_are_named(
    masks: Path, tiny_mask_editor: Path, tiny_domain_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = ("-o", tmp_path / "out")
    assert run("--checkpoint", tiny_domain_folder, "--masks", masks, *output) == 2
    assert "needs an editor of masks; SDFlow takes: attributes" in capsys.readouterr().err
    torch.save(torch.zeros(2, 3), tmp_path / "short.pt")
    samples = ("--samples", tmp_path / "short.pt")
    assert run("--checkpoint", tiny_mask_editor, "--masks", masks, *samples, *output) == 2
    assert "short.pt" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert run("--checkpoint", tiny_mask_editor, "--masks", tmp_path / "empty", *output) == 2
    assert "no masks to make faces of" in capsys.readouterr().err
    Image.fromarray(np.full((SIDE, SIDE), 19, np.uint8)).save(masks / "wrong.png")
    assert run("--checkpoint", tiny_mask_editor, "--masks", masks, "--seeds", "0", *output) == 1
    assert "wrong.png: 1,024 of 1,024 pixels" in capsys.readouterr().err
    assert len(report(tmp_path / "out")["masks"]) == 2
