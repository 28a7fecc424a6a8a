"""Edits by mask, through edit.py as a command and from Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models.editing.mask_donors import MaskDonors, read_donors
from models.editing.requests.base import RequestError
from models.editing.requests.mask import EDITS
from models.editing.studio import Face, Studio
from models.parsing import donors, mask_edits
from models.parsing.agreement import confusion, mean_iou
from models.parsing.masks import indexed
from models.parsing.palette import CLASSES, MaskError, painted
from tests.masks import SIDE, difference, drawn, noise, report, run, save_mask, shown
from tests.photographs import couple
from utils.paths import ROOT
from utils.weights import load_weights, save_weights


def test_the_faces_own_mask_changes_nothing_and_another_moves_it(faces: list[Face]) -> None:
    for face in faces:
        assert face.mask.shape == (SIDE, SIDE) and face.mask.dtype == np.uint8 and len(np.unique(face.mask)) > 1
        same = face.edit(mask=face.mask)
        assert difference(same.picture, face.inversion) <= 2 and (same.mask == face.mask).mean() > 0.99
        assert difference(face.edit(mask=drawn()).picture, face.inversion) > 10


def test_all_kinds_of_masks_are_one_mask(faces: list[Face], tmp_path: Path) -> None:
    mask, large = drawn(glasses=True), drawn(glasses=True).repeat(3, 0).repeat(3, 1)
    deep, transparent = tmp_path / "deep.png", Image.fromarray(painted(mask)).convert("RGBA")
    Image.fromarray(large.astype(np.uint16)).save(deep)
    transparent.putalpha(200)
    expected = faces[0].edit(mask=mask)
    indices = indexed(faces[0].inverted.image.new_tensor(mask).int())
    for kind in (mask.astype(np.int64), painted(mask), large, deep, transparent, indices, Image.fromarray(mask)):
        edited = faces[0].edit(mask=kind)
        assert edited.request.label == expected.request.label or kind is deep
        assert edited.picture.tobytes() == expected.picture.tobytes()


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (np.zeros((SIDE, SIDE, 4), np.uint8), r"not \(32, 32, 4\) of uint8"),
        (np.full((SIDE, SIDE), 0.5), r"of float64"),
        (np.full((SIDE, SIDE), 19), "1,024 of 1,024 pixels have a grey value that is no class"),
        (np.ones((SIDE, 20), np.uint8), "a mask of 20 × 32 pixels; a face's mask is square"),
        ("nowhere.png", "there is no such file"),
    ],
)
def test_what_is_no_mask_is_refused(faces: list[Face], wrong: object, reason: str) -> None:
    with pytest.raises(MaskError if not isinstance(wrong, str) else ValueError, match=reason):
        faces[0].edit(mask=wrong)  # type: ignore[arg-type]


def test_one_mask_for_all_photos(photos: Path, faces: list[Face], tiny_mask_editor: Path, tmp_path: Path) -> None:
    mask, out = save_mask(tmp_path / "oval face.png", drawn()), tmp_path / "out"
    common = (photos, "-o", out, "--checkpoint", tiny_mask_editor, "--mask", mask)
    assert run(*common) == 0
    said = report(out)
    (label,) = said["edits"]
    assert label.startswith("mask-oval-face-") and said["edits"][label] == {"mask": "oval face"}
    assert said["mask"] == str(mask) and said["counts"] == {"edited": 3} and "strength" not in said
    for face, entry in zip(faces, said["faces"], strict=True):
        assert difference(shown(out, entry, label), face.edit(mask=mask).picture) <= 1
    (out / f"faces/face-1--{label}.png").unlink()
    assert run(*common) == 0 and report(out)["counts"] == {"edited": 1, "kept": 2}
    save_mask(mask, drawn(glasses=True))
    assert run(*common) == 0 and report(out)["counts"] == {"edited": 3}  # another mask is another edit


def test_a_mask_for_each_photo_by_its_name(
    photos: Path, faces: list[Face], tiny_mask_editor: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    masks = tmp_path / "masks"
    save_mask(masks / "face-0.png", drawn(glasses=True))
    save_mask(masks / "face-2--mask.png", drawn(teeth=True))
    common = (photos, "--checkpoint", tiny_mask_editor, "--mask", masks, "--save-latents")
    assert run(*common, "-o", tmp_path / "out") == 1
    assert f"{photos}/face-1.png: mask-masks-" in (told := capsys.readouterr().err)
    assert f"{masks} holds no mask of this face (it would be face-1.png)" in told and told.count("\n") == 1
    said = report(tmp_path / "out")
    assert said["counts"] == {"edited": 2, "failed": 1}
    (label,) = said["edits"]
    for number, mask in ((0, drawn(glasses=True)), (2, drawn(teeth=True))):
        expected = faces[number].edit(mask=mask).picture
        assert difference(shown(tmp_path / "out", said["faces"][number], label), expected) <= 1
    # saved codes have the names of their photographs
    codes = (tmp_path / "out/latents", "-o", tmp_path / "codes", "--checkpoint", tiny_mask_editor, "--mask", masks)
    assert run(*codes) == 0
    for before, after in zip(said["faces"][::2], report(tmp_path / "codes")["faces"], strict=True):
        assert difference(shown(tmp_path / "out", before, label), shown(tmp_path / "codes", after, label)) <= 1


def test_saved_masks_are_a_folder_of_masks(photos: Path, tiny_mask_editor: Path, tmp_path: Path) -> None:
    common = ("--checkpoint", tiny_mask_editor, "-o")
    first = (photos, *common, tmp_path / "first", "--mask", save_mask(tmp_path / "any.png", drawn()), "--save-masks")
    assert run(*first) == 0
    assert run(photos, *common, tmp_path / "out", "--mask", tmp_path / "first/masks", "--batch-size", 2) == 0
    said = report(tmp_path / "out")
    for entry in said["faces"]:
        unedited, edited = (shown(tmp_path / "out", entry, label) for label in ("inversion", *said["edits"]))
        assert difference(unedited, edited) <= 2


def _smooth(path: Path) -> None:
    Image.fromarray(painted(drawn())).resize((50, 50), Image.Resampling.BILINEAR).save(path)


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (lambda path: Image.fromarray(drawn()[:20]).save(path), "a mask of 32 × 20 pixels; a face's mask is square"),
        (_smooth, "pixels have a colour outside the palette"),
        (lambda path: path.write_bytes(b""), "the file is empty"),
        (lambda path: path.write_bytes(b"mask"), "not a picture of a known format"),
        (lambda path: Image.new("L", (32, 32)).save(path), "this mask is background alone"),
        (lambda path: Image.fromarray(drawn().astype(np.uint16) * 256).save(path), "a grey value that is no class"),
        (lambda path: None, "there is no such file"),
    ],
    ids=["not square", "smooth", "empty", "no picture", "background", "16 bits", "missing"],
)
def test_a_wrong_mask_is_one_sentence(
    write: object, reason: str, photos: Path, tiny_mask_editor: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mask.png"
    write(path)  # type: ignore[operator]
    assert run(photos, "-o", tmp_path / "out", "--checkpoint", tiny_mask_editor, "--mask", path) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"edit.py: --mask {path}: ") and reason in told and told.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_wrong_mask_in_a_folder_concerns_its_face_alone(
    photos: Path, tiny_mask_editor: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    masks = tmp_path / "masks"
    for number in range(3):
        save_mask(masks / f"face-{number}.png", drawn()[: 20 if number == 1 else SIDE])
    common = (photos, "-o", tmp_path / "out", "--checkpoint", tiny_mask_editor, "--mask", masks)
    assert run(*common) == 1 and report(tmp_path / "out")["counts"] == {"edited": 2, "failed": 1}
    assert f"{masks}/face-1.png: a mask of 32 × 20 pixels" in report(tmp_path / "out")["faces"][1]["reason"]
    capsys.readouterr()
    save_mask(masks / "face-0--mask.png", drawn())
    assert run(*common) == 2
    assert "face-0--mask.png and face-0.png are of one face" in capsys.readouterr().err


def test_automatic_edits_in_their_order_are_one_edit(
    photos: Path, faces: list[Face], tiny_mask_editor: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From given masks: the second face wears glasses, so that it can be given none."""
    masks, out = tmp_path / "masks", tmp_path / "out"
    own = [drawn(), drawn(glasses=True), drawn(hair=12)]
    for number, mask in enumerate(own):
        save_mask(masks / f"face-{number}.png", mask)
    donor = drawn(glasses=True, eyes=False, teeth=True)
    edits = ("--mask-edit", "add_glasses", "--mask-edit", "smile", "--donor", save_mask(tmp_path / "d.png", donor))
    assert run(photos, "-o", out, "--checkpoint", tiny_mask_editor, "--mask", masks, *edits) == 0
    told, said = capsys.readouterr().err, report(out)
    (label,) = said["edits"]
    assert said["edits"][label] == {"mask": "masks", "mask edits": "add_glasses, smile"}
    assert "add_glasses+smile" in label
    assert told.count("\n") == 1 and "face-1.png: warning: " in told
    assert "add_glasses is impossible: the face wears glasses already" in told
    assert "add_glasses is impossible" in said["faces"][1]["edits"][label]["warning"]
    for number, mask in enumerate(own):
        mask = mask if number == 1 else mask_edits.edit_mask("add_other_glasses", mask, donor)
        expected = faces[number].edit(mask=mask_edits.edit_mask("smile", mask, donor))
        assert difference(shown(out, said["faces"][number], label), expected.picture) <= 1


def test_edits_of_the_faces_own_masks_with_neighbours(
    photos: Path, faces: list[Face], tiny_mask_editor: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Masks and pictures may be donors; where an edit is impossible, the face stays as it is and that is told."""
    folder, out = tmp_path / "donors", tmp_path / "out"
    for number in range(4):
        save_mask(folder / f"donor-{number}.png", drawn(glasses=True, teeth=number < 3, hair=4 + 2 * number))
    noise(0).save(folder / "face-0.png")
    common = (photos, "-o", out, "--checkpoint", tiny_mask_editor, "--donors", folder, "--mask-edit")
    labels = []
    for seed in (5, 5, 1):
        assert run(*common, "smile", "--donor-seed", seed) == 0
        labels += report(out)["edits"]
    assert labels[0] == labels[1] != labels[2] and not capsys.readouterr().err
    read = read_donors(folder, faces[0].studio.pipeline, seed=1)
    assert set(read.masks) == {*(f"donor-{number}" for number in range(4)), "face-0"}
    for face, entry in zip(faces, report(out)["faces"], strict=True):
        mask, impossible = read.edited(["smile"], face.mask, Path(entry["input"]).stem)
        assert not impossible and (mask != face.mask).any()
        assert difference(shown(out, entry, labels[2]), face.edit(mask=mask).picture) <= 1

    noise(1).save(folder / "face-1.png")  # two faces that are found to have no smile, and a third that is not given
    for path in folder.glob("donor-*"):
        path.unlink()
    assert run(*common, "smile") == 0
    assert capsys.readouterr().err.count("smile is impossible: no donor is fit for it") == 3
    for entry in report(out)["faces"]:
        (label,) = entry["edits"]
        assert difference(shown(out, entry, label), shown(out, entry, "inversion")) <= 2


def test_the_sheet_shows_masks_above_the_steps_of_a_sequence(
    photos: Path, faces: list[Face], tiny_mask_editor: Path, tmp_path: Path
) -> None:
    """As S²-Flow's grid of sequential edits; each step is the edit of the mask after all edits so far."""
    out, donor = tmp_path / "out", drawn(glasses=True, eyes=False, teeth=True, hair=12)
    edits = ("--mask-edit", "smile", "--mask-edit", "hair", "--donor", save_mask(tmp_path / "d.png", donor))
    common = (photos, "-o", out, "--checkpoint", tiny_mask_editor, *edits, "--mask-steps")
    assert run(*common) == 0
    said = report(out)
    assert [entry["mask edits"] for entry in said["edits"].values()] == ["smile", "smile, hair"] and said["mask_steps"]
    sheet, left, step = Image.open(out / "sheet.png").convert("RGB"), 6, 134  # cells of 128 and gaps of 6
    rows = [6 + 2 * 19 + 19 + number * (19 + 128 + 6) for number in range(6)]
    for number, (face, entry) in enumerate(zip(faces, said["faces"], strict=True)):
        smiling = mask_edits.edit_mask("smile", face.mask, donor)
        masks = [face.mask, smiling, mask_edits.edit_mask("hair", smiling, donor)]
        for column, (label, mask) in enumerate(zip(("inversion", *said["edits"]), masks, strict=True), start=1):
            cells = [sheet.crop((left + column * step, top, left + column * step + 128, top + 128)) for top in rows]
            above, below = cells[2 * number : 2 * number + 2]
            agree = (np.asarray(above) == painted(mask).repeat(4, 0).repeat(4, 1)).all(-1).mean()
            assert agree > 0.97, label  # of the written picture, which is rounded, and noise parses as noise
            assert difference(shown(out, entry, label), face.edit(mask=mask).picture) <= 1
            assert difference(below, Image.fromarray(shown(out, entry, label).astype(np.uint8)).resize((128, 128))) <= 1
    before = (out / "sheet.png").read_bytes()
    assert run(*common) == 0 and report(out)["counts"] == {"kept": 3} and (out / "sheet.png").read_bytes() == before


def test_a_mask_of_another_person_is_followed() -> None:
    """By the shipped editor: the edited face has the other's mask rather than its own."""
    studio = Studio.open(ROOT / "pretrained/avatars/s2flow.safetensors", device="cpu")
    samples = ROOT / "pretrained/avatars/samples"
    faces = [studio.find(samples / f"face-{number:02d}.png")[0] for number in (1, 3, 5, 7)]
    for face, other in zip(faces, faces[1:] + faces[:1], strict=True):
        edited = face.edit(mask=other.mask)
        agreement = [
            mean_iou(confusion(torch.from_numpy(other.mask), torch.from_numpy(mask)))
            for mask in (face.mask, edited.mask)
        ]
        assert agreement[0] < 0.5 < 0.6 < agreement[1], agreement


def test_whose_part_is_taken() -> None:
    """The most similar ones that are fit; a face is not its own donor; the choice depends on the seed alone."""
    masks = {f"m{hair:02}": drawn(teeth=True, hair=hair) for hair in range(2, 26)}
    base = drawn(hair=3)
    everyone = [MaskDonors(masks, seed).edited(["smile"], base)[0] for seed in range(5)]
    assert all((mask == mask_edits.edit_mask("smile", base, masks["m03"])).all() for mask in everyone)
    haired = [MaskDonors(masks, seed).edited(["hair"], base, "m03")[0] for seed in range(12)]
    rows = {int((mask == mask_edits.HAIR)[:, 6].sum()) for mask in haired}
    assert len(rows) > 1 and 3 not in rows and max(rows) <= 13  # ten neighbours without the face itself
    for name, possible in (("m05", False), ("m05--latents", False), ("m06", True)):
        assert possible is not bool(MaskDonors({"m05": masks["m05"]}).edited(["smile"], base, name)[1])
    again = MaskDonors(masks, 4).edited(["hair"], base, "m03")[0]
    np.testing.assert_array_equal(again, haired[4])
    worn, sun = drawn(glasses=True), drawn(glasses=True, eyes=False)
    for donor, edit in ((worn, "add_reading_glasses"), (sun, "add_other_glasses")):
        added, impossible = MaskDonors({"d": donor}).edited(["add_glasses"], base)
        assert not impossible
        np.testing.assert_array_equal(added, mask_edits.edit_mask(edit, base, donor))
    removed, impossible = MaskDonors({"d": sun, "e": base}).edited(["remove_glasses", "remove_glasses"], worn)
    assert not (removed == mask_edits.GLASSES).any()
    assert impossible == ["remove_glasses is impossible: the face wears no glasses"]  # any more
    nearly = drawn()
    nearly[11, 10:13], nearly[24, 12:14] = mask_edits.GLASSES, 10  # errors of a parser
    assert MaskDonors({"d": nearly}).edited(["add_glasses", "smile"], base)[1] == [
        f"{edit} is impossible: no donor is fit for it" for edit in ("add_glasses", "smile")
    ]
    bald = drawn(hair=0)
    bald[bald == CLASSES.index("nose")] = CLASSES.index("skin")
    lacking = MaskDonors({"d": bald}, trusted=True)
    kept, impossible = lacking.edited(["nose", "brows"], base)
    assert impossible == [f"{edit} is impossible: no donor is fit for it" for edit in ("nose", "brows")]
    assert (kept == base).all() and not lacking.edited(["hair"], base)[1]
    closed = {"d": drawn()}
    assert MaskDonors(closed).edited(["smile"], base)[1] == ["smile is impossible: no donor is fit for it"]
    assert not MaskDonors(closed, trusted=True).edited(["smile"], base)[1]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--mask-edit", "smile"], "--mask-edit smile: --donors FOLDER or --donor FILE must say whose part is taken"),
        (["--donor", "d.png"], "--donor: --mask-edit must say what is taken: smile, nose"),
        (["--donors", "a", "--donor", "b"], "--donors and --donor at once; choose one"),
        (["--donors", "d.png", "--mask-edit", "nose"], "--donors d.png: this is no folder; --donor FILE takes"),
        (["--donor", "none.png", "--mask-edit", "nose"], "--donor none.png: there is no such file"),
        (["--donors", "bad", "--mask-edit", "nose"], "--donors bad: smooth.png: "),
        (["--donors", "void", "--mask-edit", "nose"], "--donors void: no pictures in this folder"),
        (["--mask", "void"], "--mask void: no pictures in this folder"),
        (["--donor", "d.png", "--mask-edit", "nose", "--donor-seed", "-1"], "--donor-seed -1: must be a whole number"),
        (["--donor", "d.png", "--mask-edit", "nose", "--donor-seed", "1"], "--donor-seed: is of the choice among"),
        (["--donor", "d.png", "--mask-edit", "nose", "--mask-steps"], "--mask-steps: are those between several"),
        (["--mask", "d.png", "--mask-steps"], "--mask-steps: are those between several --mask-edit"),
        (["--mask", "d.png", "--donor-seed", "1"], "--donor-seed: is of the choice among --donors, and none are given"),
        (["--donor", "void", "--mask-edit", "nose"], "--donor void: this is a folder; --donors FOLDER chooses"),
        (["--donor", "empty.png", "--mask-edit", "nose"], "--donor empty.png: this mask is background alone"),
        (["--set", "Smiling=1"], "--set: this editor (S²-Flow) takes no attribute requests; it takes: mask, style"),
        ([], "no edit is asked for; this editor (S²-Flow) takes: mask, style"),
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
    save_mask(tmp_path / "d.png", drawn())
    save_mask(tmp_path / "empty.png", 0 * drawn())
    for name in ("bad", "void"):
        (tmp_path / name).mkdir()
    _smooth(tmp_path / "bad/smooth.png")
    assert run(photos, "-o", "out", "--checkpoint", tiny_mask_editor, *arguments) == 2
    told = capsys.readouterr().err
    assert reason in told and told.count("\n") == 1 and not (tmp_path / "out").exists()


def test_an_editor_of_attributes_takes_no_masks(
    photos: Path, tiny_domain_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = (photos, "-o", tmp_path / "out", "--checkpoint", tiny_domain_folder)
    for option in ("--mask", "--style"):
        assert run(*common, option, "any") == 2
        assert f"{option}: this editor (SDFlow) takes no {option[2:]} requests" in capsys.readouterr().err
    (face,) = Studio.open(tiny_domain_folder, device="cpu").find(photos / "face-0.png")
    with pytest.raises(RequestError, match="this editor takes no mask requests; it takes: attributes"):
        face.edit(mask=drawn())
    with pytest.raises(RequestError, match="takes no style requests"):
        face.edit(style=(face, 0.5))


def test_edits_are_pasted_into_photographs_and_faces_have_masks_of_their_own(
    tiny_mask_editor: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("dlib", reason='not installed: dlib (pip install ".[photos]")')
    state, metadata = load_weights(tiny_mask_editor)
    metadata["domain"]["aligner"] = {"name": "dlib"}
    save_weights(tmp_path / "editor.safetensors", state, metadata)
    (tmp_path / "photos").mkdir()
    couple().save(tmp_path / "photos/party.png")
    save_mask(tmp_path / "masks/party--face2-mask.png", drawn())
    common = (tmp_path / "photos", "-o", tmp_path / "out", "--checkpoint", tmp_path / "editor.safetensors")
    assert run(*common, "--mask", tmp_path / "masks") == 1
    assert "party.png (face 1): " in (told := capsys.readouterr().err) and "it would be party.png" in told
    first, second = report(tmp_path / "out")["faces"]
    assert (first["status"], second["status"]) == ("failed", "edited")
    (pasted,) = second["photographs"].values()
    changed = np.abs(np.asarray(Image.open(tmp_path / "out" / pasted), int) - np.asarray(couple(), int)).max(2) > 0
    assert changed.any() and not changed[:, :190].any()  # where the first face ends


def test_names_of_edits_agree_with_the_mask_edits() -> None:
    assert set(EDITS) == {*donors.CHOICES, *mask_edits.EDITS}
