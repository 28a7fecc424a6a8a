"""edit.py on photographs: faces are found, edited and pasted back, and everything else of the photograph stays."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import edit
import models.editing.face_alignment
from models.editing.alignment import Frame
from models.editing.paste_back import bounds, feathered_mask, positions
from models.editing.pipeline import EditingPipeline
from tests.photographs import couple, encoded, photograph_editor, portrait
from utils.provenance import read_mark
from utils.weights import load_weights, save_weights


@pytest.fixture(scope="module")
def checkpoint(tiny_domain_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return photograph_editor(tiny_domain_folder, tmp_path_factory.mktemp("editor") / "editor.safetensors")


def run(*arguments: object) -> int:
    """edit.py within this process."""
    try:
        return edit.main([*map(str, arguments), "--quiet", "--device", "cpu"])
    except SystemExit as stop:
        return int(stop.code or 0)


def entries(output: Path) -> list[dict]:
    return json.loads((output / "report.json").read_text(encoding="utf-8"))["faces"]


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def outside(entry: dict, size: tuple[int, int]) -> np.ndarray:
    """Where (h, w) the mask of a face is nothing."""
    frame = Frame.of(entry["frame"])
    mask = np.zeros((size[1], size[0]))
    box = bounds(frame, size)
    assert box is not None
    mask[box[1] : box[3], box[0] : box[2]] = feathered_mask(positions(frame, box))
    return mask == 0


def test_both_faces_of_a_photograph(tmp_path: Path, checkpoint: str) -> None:
    couple().save(tmp_path / "couple.png")
    out = tmp_path / "out"
    wanted = ("--checkpoint", checkpoint, "--set", "Smiling=1")
    assert run(tmp_path / "couple.png", "-o", out, *wanted) == 0
    first, second = entries(out)
    assert (first["face"], second["face"], first["faces"]) == (1, 2, 2)
    assert first["score"] >= second["score"] and {first["detector"], second["detector"]} == {"hog"}
    names = {path.name for path in (out / "faces").iterdir()}
    assert {"couple--input.png", "couple--face2-Smiling=1.png"} <= names and len(names) == 6
    before, after = np.asarray(couple()).astype(int), pixels(out / "photos/couple--Smiling=1.png")
    untouched = outside(first, (440, 260)) & outside(second, (440, 260))
    assert (before == after)[untouched].all() and untouched.mean() > 0.2
    for entry in (first, second):
        left, top, right, bottom = entry["box"]
        assert np.abs(after - before)[top:bottom, left:right].mean() > 3  # this editor changes everything
    mark = read_mark(out / "photos/couple--Smiling=1.png")
    assert mark is not None and mark["label"] == "Smiling=1" and mark["paste"] == "difference"

    assert run(tmp_path / "couple.png", "-o", tmp_path / "one", *wanted, "--faces", "largest", "--paste", "none") == 0
    (only,) = entries(tmp_path / "one")
    assert only["box"][0] > 190 and not (tmp_path / "one/photos").exists()


def test_no_edit_changes_nothing(tmp_path: Path, checkpoint: str) -> None:
    """All attributes set to their estimates: within two levels everywhere, though the inversion shows no face."""
    portrait().save(tmp_path / "portrait.png")
    common = (tmp_path / "portrait.png", "--checkpoint", checkpoint, "-o")
    assert run(*common, tmp_path / "first", "--set", "Male=1") == 0
    (entry,) = entries(tmp_path / "first")
    estimates = [f"--set={name}={value}" for name, value in entry["semantics"].items()]
    assert run(*common, tmp_path / "second", *estimates) == 0
    (result,) = (tmp_path / "second/photos").iterdir()
    assert np.abs(pixels(result) - np.asarray(portrait())).max() <= 2
    assert np.abs(pixels(tmp_path / "second/faces/portrait--inversion.png") - 128).mean() > 0  # a picture was computed


def test_jpeg_in_jpeg_out(tmp_path: Path, checkpoint: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # stored turned; shown upright
    exif[0x010F] = "Maker"
    exif.get_ifd(0x8769)[0x9003] = "2020:01:01 10:00:00"
    exif.get_ifd(0x8825)[1] = "N"
    stored = portrait().transpose(Image.Transpose.ROTATE_90)
    (tmp_path / "portrait.jpg").write_bytes(encoded(stored, "JPEG", quality=93, exif=exif, dpi=(240, 240)))
    common = (tmp_path / "portrait.jpg", "--checkpoint", checkpoint, "--set", "Male=1", "-o")
    assert run(*common, tmp_path / "out") == 0
    with Image.open(tmp_path / "out/photos/portrait--Male=1.jpg") as result, Image.open(tmp_path / "portrait.jpg") as i:
        assert result.format == "JPEG" and result.size == (200, 200) and result.info["dpi"] == (240, 240)
        assert result.quantization == i.quantization  # type: ignore[attr-defined]
        kept = result.getexif()
        assert 0x0112 not in kept and kept[0x010F] == "Maker" and "edited with SDFlow" in kept[0x9213]
        assert kept.get_ifd(0x8769)[0x9003] == "2020:01:01 10:00:00" and not kept.get_ifd(0x8825)
    (entry,) = entries(tmp_path / "out")
    upright = np.asarray(Image.open(tmp_path / "portrait.jpg").convert("RGB").transpose(Image.Transpose.ROTATE_270))
    difference = np.abs(pixels(tmp_path / "out/photos/portrait--Male=1.jpg") - upright)
    blocks = outside(entry, (200, 200)).reshape(25, 8, 25, 8).all((1, 3))  # in which a JPEG is compressed
    untouched = blocks.repeat(8, 0).repeat(8, 1)
    assert untouched.mean() > 0.2 and difference[untouched].mean() < 1  # compressed again, with the same tables
    assert run(*common, tmp_path / "gps", "--keep-gps") == 0
    with Image.open(tmp_path / "gps/photos/portrait--Male=1.jpg") as result:
        assert result.getexif().get_ifd(0x8825)[1] == "N"
    assert run(*common, tmp_path / "out") == 0 and entries(tmp_path / "out")[0]["status"] == "kept"
    assert run(*common, tmp_path / "out", "--keep-gps") == 1  # would be another file of that name
    assert "--overwrite" in entries(tmp_path / "out")[0]["reason"]


def test_finished_faces_are_pasted_without_being_computed(
    tmp_path: Path, checkpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    portrait().save(tmp_path / "portrait.png")
    common = (tmp_path / "portrait.png", "-o", tmp_path / "out", "--checkpoint", checkpoint, "--set", "Male=1")
    assert run(*common) == 0
    pasted = tmp_path / "out/photos/portrait--Male=1.png"
    first = pasted.read_bytes()
    pasted.unlink()
    monkeypatch.delattr(EditingPipeline, "invert")
    assert run(*common) == 0 and entries(tmp_path / "out")[0]["status"] == "kept"
    assert pasted.read_bytes() == first


def test_aligned_faces_and_latents_are_edited_again(tmp_path: Path, checkpoint: str) -> None:
    portrait().save(tmp_path / "portrait.png")
    out, wanted = tmp_path / "out", ("--checkpoint", checkpoint, "--set", "Smiling=1")
    assert run(tmp_path / "portrait.png", "-o", out, *wanted, "--save-aligned", "--save-latents") == 0
    expected = pixels(out / "faces/portrait--Smiling=1.png")
    (source,) = entries(out)

    assert run(out / "aligned", "-o", tmp_path / "again", *wanted) == 0
    (entry,) = entries(tmp_path / "again")
    assert "aligned already" in entry["remark"] and "box" not in entry
    assert (pixels(tmp_path / "again/faces/portrait--aligned--Smiling=1.png") == expected).all()

    state, metadata = load_weights(checkpoint)
    metadata["domain"]["encoder"]["weights"] = str(tmp_path / "gone.safetensors")
    save_weights(tmp_path / "no_encoder.safetensors", state, metadata)
    wanted = ("--checkpoint", str(tmp_path / "no_encoder.safetensors"), "--set", "Smiling=1")
    assert run(out / "latents", "-o", tmp_path / "codes", *wanted) == 0
    (entry,) = entries(tmp_path / "codes")
    # another file is another editor, which estimates anew, on the inversion
    assert entry["semantics"] == pytest.approx(source["semantics_of_inversion"], abs=1e-3)
    assert run(out / "latents", "-o", tmp_path / "same", "--checkpoint", checkpoint, "--set", "Smiling=1") == 0
    assert np.abs(pixels(tmp_path / "same/faces/portrait--latents--Smiling=1.png") - expected).max() <= 1
    assert entries(tmp_path / "same")[0]["identity_of_inversion"] == pytest.approx(source["identity_of_inversion"])
    assert run(out / "latents", "-o", tmp_path / "same", "--checkpoint", checkpoint, "--set", "Smiling=1") == 0
    assert entries(tmp_path / "same")[0]["status"] == "kept"


def test_latents_that_do_not_fit(tmp_path: Path, checkpoint: str) -> None:
    shutil.copy(checkpoint, tmp_path / "editor.safetensors")
    (tmp_path / "torn.safetensors").write_bytes(Path(checkpoint).read_bytes()[:500])
    assert run(tmp_path / "*.safetensors", "-o", tmp_path / "out", "--checkpoint", checkpoint) == 1
    reasons = {Path(entry["input"]).name: entry["reason"] for entry in entries(tmp_path / "out")}
    assert "holds no saved latents" in reasons["editor.safetensors"]
    assert "not a whole safetensors file" in reasons["torn.safetensors"]


def test_without_dlib_one_sentence_and_the_rest_works(
    tmp_path: Path, checkpoint: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    for number in range(3):
        portrait().save(tmp_path / f"portrait-{number}.png")
    common = ("--checkpoint", checkpoint, "--set", "Male=1", "-o")

    def missing() -> None:
        raise models.editing.face_alignment.AlignerMissing("dlib is not installed: pip install dlib-bin")

    monkeypatch.setattr(models.editing.face_alignment, "_hog", missing)
    assert run(tmp_path, *common, tmp_path / "out") == 1
    assert capsys.readouterr().err.count("pip install") == 1
    assert [entry["status"] for entry in entries(tmp_path / "out")] == ["failed"] * 3
    assert run(tmp_path / "portrait-0.png", *common, tmp_path / "aligned", "--aligned") == 0
    assert entries(tmp_path / "aligned")[0]["status"] == "edited"


def test_given_as_aligned_but_not(tmp_path: Path, checkpoint: str, capsys: pytest.CaptureFixture) -> None:
    portrait().save(tmp_path / "portrait.png")
    common = (tmp_path / "portrait.png", "-o", tmp_path / "out", "--checkpoint", checkpoint, "--set", "Male=1")
    assert run(*common, "--aligned") == 0
    assert "of the side from where alignment puts it" in capsys.readouterr().err
    assert "given as aligned" in entries(tmp_path / "out")[0]["warning"]


@pytest.mark.parametrize("wrong", ["0", "some", "-1", "1.5"])
def test_wrong_numbers_of_faces(wrong: str, tmp_path: Path, checkpoint: str, capsys: pytest.CaptureFixture) -> None:
    assert run(tmp_path, "-o", tmp_path / "out", "--checkpoint", checkpoint, f"--faces={wrong}") == 2
    assert "neither all, nor largest" in capsys.readouterr().err
