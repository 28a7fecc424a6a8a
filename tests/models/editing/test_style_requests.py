"""Edits by style, alone and together with a mask, through edit.py as a command and from Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.editing.requests.base import RequestError
from models.editing.requests.style import StyleRequest
from models.editing.studio import Face
from models.editors.s2flow import style_walk
from tests.masks import difference, drawn, noise, report, run, save_mask, shown
from utils.images import to_pillow
from utils.photos import PhotoError


def test_the_style_of_a_face_by_a_share(faces: list[Face], photos: Path, tiny_mask_editor: Path) -> None:
    own, other = faces[0].inverted, faces[1].inverted
    editor = faces[0].studio.pipeline.editor
    assert difference(faces[0].edit(style=(faces[1], 0)).picture, faces[0].inversion) <= 2
    for share in (0.25, 1, 1.5):
        edit = faces[0].edit(style=(faces[1], share))
        latent = editor.move((1 - share) * own.rest + share * other.rest, own.condition, own.condition)
        torch.testing.assert_close(edit.latent, latent[0], rtol=0, atol=1e-4)
        assert difference(edit.picture, faces[0].inversion) > 2
    by_file = faces[0].edit(style=(photos / "face-1.png", 0.25))
    assert by_file.picture.tobytes() == faces[0].edit(style=(faces[1], 0.25)).picture.tobytes()
    for share in (-0.1, 1.6, float("nan"), "much", None):
        with pytest.raises(RequestError, match=r"a share of the style is a number from 0 to 1\.5"):
            faces[0].edit(style=(faces[1], share))  # type: ignore[arg-type]
    for style in (faces[1], 5, (faces[1],)):
        with pytest.raises(RequestError, match=r"style: must be a pair \(face or picture, share of its style\)"):
            faces[0].edit(style=style)  # type: ignore[arg-type]
    for mask in (5, [[1]], True):
        with pytest.raises(PhotoError, match="a mask is the name of a file, its bytes, a Pillow picture or an array"):
            faces[0].edit(mask=mask)  # type: ignore[arg-type]


def test_a_joint_edit_is_the_mask_and_then_the_style_or_the_other_way(faces: list[Face]) -> None:
    editor, own, mask, share = faces[0].studio.pipeline.editor, faces[0].inverted, drawn(glasses=True), 0.7
    joint = faces[0].edit(mask=mask, style=(faces[1], share))
    masked, styled = faces[0].edit(mask=mask), faces[0].edit(style=(faces[1], share))
    assert joint.request.label == f"{masked.request.label},{styled.request.label}"
    assert difference(joint.picture, masked.picture) > 2 < difference(joint.picture, styled.picture)
    target = masked.result.target
    after_mask = editor.prepare(masked.result.latent, target).lerp(faces[1].inverted.rest, share)
    torch.testing.assert_close(editor.move(after_mask, target, target), joint.result.latent, rtol=0, atol=1e-3)
    after_style = editor.prepare(styled.result.latent, own.condition)
    torch.testing.assert_close(editor.move(after_style, own.condition, target), joint.result.latent, rtol=0, atol=1e-3)
    with pytest.raises(RequestError, match="a request and mask at once; choose one"):
        faces[0].edit(joint.request, mask=mask)


def test_the_mean_style_of_codes_in_a_file_is_that_of_their_pictures(
    photos: Path, faces: list[Face], tiny_mask_editor: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "codes.npy", torch.stack([face.inverted.latent[0] for face in faces]).cpu().numpy())
    styles = ("--style", f"{photos}:0.5", "--style", f"{tmp_path / 'codes.npy'}:0.5", "--batch-size", 2)
    assert run(photos, "-o", tmp_path / "out", "--checkpoint", tiny_mask_editor, *styles) == 0
    said = report(tmp_path / "out")
    for entry in said["faces"]:
        by_pictures, by_codes = (shown(tmp_path / "out", entry, label) for label in said["edits"])
        assert difference(by_pictures, by_codes) <= 1
        assert difference(by_codes, shown(tmp_path / "out", entry, "inversion")) > 2
    np.save(tmp_path / "codes.npy", np.zeros((2, 3), np.float32))
    assert run(photos, "-o", tmp_path / "out", "--checkpoint", tiny_mask_editor, *styles) == 2
    assert "codes.npy: holds an array of shape (2, 3)" in (told := capsys.readouterr().err) and told.count("\n") == 1


def test_each_style_with_the_mask_is_an_edit_of_the_command(
    photos: Path, faces: list[Face], tiny_mask_editor: Path, tmp_path: Path
) -> None:
    mask, out = save_mask(tmp_path / "m.png", drawn()), tmp_path / "out"
    styles = ("--style", f"{photos / 'face-1.png'}:0.5", "--style", f"{photos}:1")
    common = ("--checkpoint", tiny_mask_editor, "--mask", mask, *styles)
    assert run(photos, "-o", out, *common, "--batch-size", 2, "--save-latents") == 0
    said = report(out)
    one, mean = said["edits"]
    assert "style-face-1-" in one and one.endswith("=0.5") and said["edits"][one]["style share"] == "0.5"
    assert said["edits"][mean]["mask"] == "m" and f"style-{photos.name}-" in mean
    rest = torch.stack([face.inverted.rest[0] for face in faces]).mean(0, keepdim=True)
    pipeline, target = faces[0].studio.pipeline, faces[0].edit(mask=mask).result.target
    styled = pipeline.domain.synthesise_full(pipeline.editor.move(rest, target, target))[0]
    for face, entry in zip(faces, said["faces"], strict=True):
        assert difference(shown(out, entry, one), face.edit(mask=mask, style=(faces[1], 0.5)).picture) <= 1
        assert difference(shown(out, entry, mean), to_pillow(styled)) <= 1
    (tmp_path / "masks").mkdir()
    save_mask(tmp_path / "masks/face-0.png", drawn())
    by_name = ("--checkpoint", tiny_mask_editor, "--mask", tmp_path / "masks", *styles)
    assert run(photos, "-o", tmp_path / "named", *by_name) == 1
    assert report(tmp_path / "named")["counts"] == {"edited": 1, "failed": 2}
    assert run(out / "latents", "-o", tmp_path / "codes", *common) == 0  # the other faces still need the encoder
    for before, after in zip(said["faces"], report(tmp_path / "codes")["faces"], strict=True):
        assert difference(shown(out, before, one), shown(tmp_path / "codes", after, one)) <= 1


def test_the_published_walk(photos: Path, faces: list[Face], tiny_mask_editor: Path, tmp_path: Path) -> None:
    words = ("--checkpoint", tiny_mask_editor, "--style", f"{photos / 'face-2.png'}:0.3", "--style-walk", 10)
    assert run(photos / "face-0.png", "-o", tmp_path, *words) == 0
    said = report(tmp_path)
    labels = list(said["edits"])
    assert [label.rpartition("=")[2] for label in labels] == ["step0of10", "step1of10", "step2of10"]
    assert said["style_walk"] == 10
    pipeline, own = faces[0].studio.pipeline, faces[0].inverted
    for label, rest in zip(labels, style_walk(own.rest, faces[2].inverted.rest, 10), strict=False):
        picture = pipeline.domain.synthesise_full(pipeline.editor.move(rest, own.condition, own.condition))[0]
        assert difference(shown(tmp_path, said["faces"][0], label), to_pillow(picture)) <= 1


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--style", "face.png"], "--style 'face.png': write FILE:SHARE or FOLDER:SHARE, such as black.png:0.5"),
        (["--style", "face.png:much"], "--style 'face.png:much': write FILE:SHARE"),
        (["--style", ":0.5"], "--style ':0.5': write FILE:SHARE"),
        (["--style", "face.png:2"], "--style 'face.png:2': a share of the style is a number from 0 to 1.5"),
        (["--style", "none.png:1"], "--style none.png: there is no such file"),
        (["--style", "void:1"], "--style void: no pictures in this folder"),
        (["--style", "bad:1"], "--style bad/text.png: not a picture of a known format"),
        (["--style-walk", "10"], "--style-walk: --style must say where it goes"),
        (["--style", "face.png:0.1", "--style-walk", "1"], "--style-walk 1: a walk takes 2 steps or more"),
        (["--style", "face.png:1.5", "--style-walk", "10"], "1.5 of the steps are 15; 1 to 10 can be shown"),
    ],
)
def test_wrong_words(
    arguments: list[str],
    reason: str,
    photos: Path,
    tiny_mask_editor: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    noise(0).save("face.png")
    for name in ("bad", "void"):
        (tmp_path / name).mkdir()
    (tmp_path / "bad/text.png").write_bytes(b"text")
    assert run(photos, "-o", "out", "--checkpoint", tiny_mask_editor, *arguments) == 2
    told = capsys.readouterr().err
    assert reason in told and told.count("\n") == 1 and not (tmp_path / "out").exists()


def test_a_style_of_no_face_of_the_domain_needs_force(
    photos: Path, tiny_mask_editor: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(
        "models.editing.pipeline.EditingPipeline.foreign", lambda self, distance: "no face" if distance > 0 else None
    )
    words = (photos, "-o", tmp_path / "out", "--checkpoint", tiny_mask_editor, "--style", f"{photos}:1")
    assert run(*words) == 2 and "face-0.png: no face (--force takes it anyway)" in capsys.readouterr().err
    assert run(*words, "--force") == 0
    assert np.isfinite(report(tmp_path / "out")["faces"][0]["identity_of_inversion"])


def test_titles_are_short_and_in_two_lines() -> None:
    style = torch.zeros(2, 2)
    assert StyleRequest.of(style, 0.5, "black-hair").title == "style black-hair,0.5"
    assert StyleRequest.of(style, 0.5, "faces", "step3of100").title == "style faces,step3of100"
    assert StyleRequest.of(style, 1).title == "style,1"
