"""evaluate.py on an editor of masks in a domain in miniature: the whole command, on drawn faces and on pictures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

import evaluate
from tests.masks import noise
from utils.provenance import read_mark
from utils.weights import load_weights, save_weights

COUNT = 5


def run(output: Path, *words: object) -> int:
    return evaluate.main([*map(str, words), "-o", str(output), "--device", "cpu"])


@pytest.fixture(scope="module")
def output(tiny_mask_editor: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results on a few drawn faces, without probes."""
    folder = tmp_path_factory.mktemp("masks")
    assert run(folder, "--checkpoint", tiny_mask_editor, "--count", COUNT, "--no-latents") == 0
    return folder


def test_all_files_are_there_and_carry_where_they_come_from(output: Path) -> None:
    report = json.loads((output / "report.json").read_text())
    record = report["record"]
    assert record["n"] == COUNT and record["faces"] == "decorrelated" and record["seed"] == 0
    assert list(report["edits"]["kinds"]) == [
        "smile", "glasses", "waves", "hair length", "one feature", "head turned", "another face's mask",
    ]  # fmt: skip
    assert list(report["editors"]) == ["S²-Flow"]  # the shipped editor of attributes edits other codes
    assert report["missing"] and report["information"] == {}
    text = (output / "report.md").read_text()
    assert record["checkpoint"] in text and "--no-latents leaves them out" in text and "nan" not in text
    for name in ("kinds.png", "identity.png"):
        with Image.open(output / name) as picture:
            assert picture.info["checkpoint"] == record["checkpoint"] and picture.width > 600
    assert read_mark(output / "sheet.png") is not None


def test_an_editor_leaves_a_face_alone_whose_mask_stays(output: Path) -> None:
    unchanged = json.loads((output / "report.json").read_text())["unchanged"]["S²-Flow"]
    assert unchanged["code"]["largest"] < 1e-3 and unchanged["levels"]["largest"] < 2


def test_what_was_measured_is_not_measured_again(output: Path, tiny_mask_editor: Path) -> None:
    kept = {path: path.stat().st_mtime_ns for path in (output / "measured").iterdir()}
    report = (output / "report.json").read_text()
    assert len(kept) == 2  # the references and the editor
    assert run(output, "--checkpoint", tiny_mask_editor, "--count", COUNT, "--no-latents") == 0
    assert {path: path.stat().st_mtime_ns for path in (output / "measured").iterdir()} == kept
    assert (output / "report.json").read_text() == report
    assert run(output, "--checkpoint", tiny_mask_editor, "--count", COUNT, "--no-latents", "--seed", 1) == 0
    assert len(list((output / "measured").iterdir())) == 4


def test_pictures_get_each_others_masks(tiny_mask_editor: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for number in range(3):
        noise(number).save(tmp_path / f"photos/{number}.png")
    assert run(tmp_path / "out", "--checkpoint", tiny_mask_editor, "--faces", tmp_path / "photos") == 0
    report = json.loads((tmp_path / "out/report.json").read_text())
    [(kind, rows)] = report["edits"]["kinds"].items()
    assert kind == "another face's mask" and set(rows["ceiling"]) == {"iou", "pixels"}
    assert {"iou", "share", "identity", "outside"} <= set(rows["S²-Flow"]) and "distance" not in rows["S²-Flow"]
    assert len(report["missing"]) == 2 and all(sentence.endswith(".") for sentence in report["missing"])
    assert "identity.png" not in (tmp_path / "out/report.md").read_text()
    assert not (tmp_path / "out/identity.png").exists() and (tmp_path / "out/sheet.png").is_file()


def test_editors_of_masks_and_of_attributes_are_compared(
    tiny_mask_editor: Path, tiny_domain_folder: Path, tmp_path: Path
) -> None:
    state, metadata = load_weights(tiny_mask_editor)
    moved = {key: value + 0.01 if key.startswith("flow.") else value for key, value in state.items()}
    save_weights(tmp_path / "other/editor.safetensors", moved, metadata)
    several = [tiny_domain_folder / "editor.safetensors", tiny_mask_editor, f"Other={tmp_path / 'other'}"]
    assert run(tmp_path / "out", "--compare", *several, "--count", 4, "--no-latents") == 0
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert list(report["editors"]) == ["S²-Flow", "Other", "SDFlow"]  # those of masks first
    assert set(report["edits"]["average"]) == {"unedited", "ceiling", "S²-Flow", "Other"}
    assert report["edits"]["shared"]["kinds"] == ["smile", "glasses", "waves"]
    assert set(report["edits"]["shared"]["average"]) == {"unedited", "ceiling", "S²-Flow", "Other", "SDFlow"}
    text = (tmp_path / "out/report.md").read_text()
    assert "## Beside other editors" in text and "| SDFlow | " in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--strengths", "0.2"], "--strengths: of attribute edits alone"),
        (["--faces", "{one}"], "1 face has no other"),
    ],
)
def test_what_no_editor_of_masks_can_be_asked_for(
    words: list[str], said: str, tiny_mask_editor: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "one").mkdir()
    noise(1).save(tmp_path / "one/face.png")
    filled = [word.replace("{one}", str(tmp_path / "one")) for word in words]
    assert run(tmp_path / "out", "--checkpoint", tiny_mask_editor, *filled) != 0
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
