"""The Python interface: the same numbers as edit.py, all kinds of pictures, batches, threads; its examples run."""

from __future__ import annotations

import doctest
import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import edit
import models.editing
import models.editing.studio as studio_module
from models.editing import given_masks
from models.editing.alignment import AlignmentError
from models.editing.face_choice import Only, face_choice
from models.editing.requests.base import RequestError
from models.editing.studio import ForeignFace, Studio
from models.editors.sdflow import SDFlowEditor
from models.editors.targets import Flip, SetTo
from tests.photographs import couple, encoded, photograph_editor, portrait
from utils.images import to_tensor
from utils.paths import ROOT
from utils.photos import PhotoError
from utils.provenance import read_mark

SAMPLE = ROOT / "pretrained/avatars/samples/face-01.png"


@pytest.fixture(scope="module")
def studio() -> Studio:
    studio = Studio.open(device="cpu")
    studio.prepare()
    return studio


@pytest.fixture(scope="module")
def photographs(tiny_domain_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return photograph_editor(tiny_domain_folder, tmp_path_factory.mktemp("editor") / "editor.safetensors")


@pytest.mark.parametrize("module", [studio_module, models.editing, given_masks], ids=["studio", "package", "masks"])
def test_examples_of_the_documentation(module: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS)  # type: ignore[arg-type]
    assert result.attempted > 1 and not result.failed


def test_all_kinds_of_pictures_are_the_same_face(studio: Studio) -> None:
    picture = Image.open(SAMPLE).convert("RGB")
    array = np.asarray(picture)
    kinds = [SAMPLE, str(SAMPLE), SAMPLE.read_bytes(), picture, array, array / 255.0, to_tensor(picture)]
    for kind in kinds:
        (face,) = studio.find(kind)
        assert face.picture.tobytes() == picture.tobytes()
    grey = np.asarray(picture.convert("L"))
    assert studio.find(grey)[0].picture.mode == "RGB"
    opened = Image.open(io.BytesIO(encoded(picture.resize((900, 900)), "JPEG")))
    studio.find(opened)
    assert opened.size == (900, 900)  # what the caller gave stays as it is


@pytest.mark.parametrize(
    "wrong",
    [np.zeros((4, 4, 2)), np.zeros((0, 0), np.uint8), np.full((8, 8), np.nan), torch.zeros(4, 8, 8), b"", b"text"],
)
def test_what_is_no_picture_is_refused(studio: Studio, wrong: np.ndarray) -> None:
    with pytest.raises(PhotoError):
        studio.find(wrong)


def test_edits_are_those_of_the_command(studio: Studio, tmp_path: Path) -> None:
    words = [str(SAMPLE), "-o", str(tmp_path), "--set", "Smiling=1", "--flip", "Young", "--quiet", "--device", "cpu"]
    assert edit.main(words) == 0
    theirs = tmp_path / "faces/face-01--Smiling=1,Young=flip0.2.png"
    ours = studio.find(SAMPLE)[0].edit(Smiling=1, Young="flip")
    assert ours.request.label == "Smiling=1,Young=flip0.2"
    assert ours.picture.tobytes() == Image.open(theirs).tobytes()
    record = read_mark(theirs)
    assert record is not None and record["edit"]["identity"] == round(ours.identity, 5)
    assert set(ours.moved) == {"Eyeglasses", "Male", "Wavy_Hair"}
    ours.save(tmp_path / "ours.png")
    mark = read_mark(tmp_path / "ours.png")
    assert mark is not None and mark["edit"] == record["edit"] and mark["editor"] == record["editor"]


def test_a_batch_gives_what_single_edits_give(studio: Studio) -> None:
    faces = [studio.find(path)[0] for path in sorted(SAMPLE.parent.glob("*.png"))[:5]]
    small = Studio(studio.pipeline, studio.metadata, batch_size=2)
    together = small.edit(faces, Smiling=1)
    for face, edit_ in zip(faces, together, strict=True):
        alone = studio.find(face.picture)[0].edit(Smiling=1)
        difference = np.asarray(alone.picture).astype(int) - np.asarray(edit_.picture)
        assert edit_.face is face and np.abs(difference).max() <= 2


def test_threads_do_not_disturb_each_other(studio: Studio) -> None:
    paths = sorted(SAMPLE.parent.glob("*.png"))[:4]

    def edited(path: Path) -> bytes:
        return studio.find(path)[0].edit(Smiling=1, Male="flip").picture.tobytes()

    alone = [edited(path) for path in paths]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(edited, paths * 2)) == alone * 2


def test_what_cannot_be_asked_for(studio: Studio) -> None:
    (face,) = studio.find(SAMPLE)
    for asked in ({"Smiling": "much"}, {"Smiling": float("nan")}, {}):
        with pytest.raises(RequestError):
            face.edit(asked)
    with pytest.raises(ValueError, match="did you mean 'Smiling'"):
        face.edit(Smilling=1)
    with pytest.raises(RequestError, match="choose one"):
        face.edit(studio.request(Young=1), Smiling=1)
    with pytest.raises(RequestError, match="2 to 100"):
        face.sweep("Smiling", 0, 1, 1)
    assert face.edit(Smiling=Flip(0.1)).request.label == "Smiling=flip0.1"


def test_foreign_faces_need_force(studio: Studio) -> None:
    (face,) = studio.find(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    assert face.foreign
    with pytest.raises(ForeignFace, match="drawn"):
        face.edit(Smiling=1)
    assert face.edit(Smiling=1, force=True).picture.size == (64, 64)


def test_one_face_of_a_photograph(photographs: str, tmp_path: Path) -> None:
    """The second face alone, from Python and by `--faces only-2`: the same photograph."""
    couple().save(tmp_path / "couple.png")
    words = [str(tmp_path / "couple.png"), "-o", str(tmp_path / "out"), "--checkpoint", photographs, "--quiet"]
    assert edit.main([*words, "--faces", "only-2", "--set", "Smiling=1", "--device", "cpu"]) == 0
    studio = Studio.open(photographs, device="cpu")
    first, second = studio.find(tmp_path / "couple.png")
    assert (first.number, second.number) == (1, 2)
    theirs = np.asarray(Image.open(tmp_path / "out/photos/couple--Smiling=1.png"))
    assert (np.asarray(second.edit(Smiling=1).photograph) == theirs).all()
    (only,) = studio.find(couple(), Only(2))
    assert only.found.box == second.found.box
    assert (np.asarray(only.edit(Smiling=1).photograph) == theirs).all()
    assert (np.asarray(first.edit(Smiling=1).photograph) != theirs).any()
    with pytest.raises(AlignmentError, match="no face 3: 2 found"):
        studio.find(couple(), face_choice("only-3"))


def test_the_photograph_stays_what_it_was(photographs: str) -> None:
    studio = Studio.open(photographs, device="cpu")
    grey = portrait().convert("L")
    (face,) = studio.find(grey)
    assert face.edit(Male=1).photograph.mode == "L" and grey.tobytes() == portrait().convert("L").tobytes()
    edited = face.edit(Male=1)
    assert edited.photograph.size == (200, 200) and edited.pasted("crop").tobytes() != edited.photograph.tobytes()


@pytest.mark.parametrize(
    ("picture", "said"),
    [
        (np.full((64, 64, 3), 200.0), r"an array of floats must lie in \[0, 1\], not from 200 to 200"),
        (np.linspace(-1, 1, 64 * 64 * 3).reshape(64, 64, 3), "an array of floats must lie in"),
        (np.full((64, 64, 3), np.nan), "an array of floats must lie in"),
        (torch.full((3, 64, 64), 200.0), r"a tensor must lie in \[−1, 1\], not from 200 to 200"),
        (torch.full((3, 64, 64), float("nan")), "a tensor must lie in"),
        (torch.full((3, 64, 64), float("inf")), "a tensor must lie in"),
        (torch.zeros(3, 64, 64, device="meta"), "a tensor must hold its values"),
        (torch.zeros(3, 64, 64).to_sparse(), "a tensor must hold its values"),
        (torch.zeros(3, 0, 0), "a tensor must hold its values"),
        (None, "a picture is the name of a file, .* not NoneType"),
        ([SAMPLE], "a picture is the name of a file, .* not list"),
        (io.BytesIO(b"x"), "a picture is the name of a file, .* not BytesIO"),
    ],
    ids=lambda value: str(type(value)),
)
def test_what_is_no_picture_is_not_edited_as_a_white_one(studio: Studio, picture: Any, said: str) -> None:
    with pytest.raises(PhotoError, match=said):
        studio.find(picture)


@pytest.mark.parametrize("faces", ["most", "", 0, -1, 2.5, None, True, Only(0), "only-2", [1]])
def test_what_is_no_choice_of_faces(studio: Studio, faces: Any) -> None:
    with pytest.raises(ValueError, match="faces: must be 'all', 'largest', a number from 1"):
        studio.find(SAMPLE, faces)


@pytest.mark.parametrize(
    "wanted",
    [None, [1], {}, 1j, 10**400, 1e308, -1e5, np.ones(2), torch.ones(2), SetTo(float("nan")), Flip(float("inf"))],
    ids=str,
)
def test_what_is_no_target(studio: Studio, wanted: Any) -> None:
    with pytest.raises(RequestError, match="^Smiling: .* number from -100 to 100"):
        studio.request(Smiling=wanted)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda studio, face: Studio.open(5), "checkpoint: must be the name of a file or folder, not 5"),
        (lambda studio, face: Studio.open(["a"]), "checkpoint: must be the name"),
        (lambda studio, face: Studio.open(domain=1.5), "domain: must be the name"),
        (lambda studio, face: Studio.open(weights=b"x"), "weights: must be the name"),
        (lambda studio, face: Studio.open(semantic_encoder=True), "semantic_encoder: must be the name"),
        (lambda studio, face: Studio.open(device=0), "device: must be the name of a device, not 0"),
        (lambda studio, face: studio.edit(face, Smiling=1), "faces: must be a list of faces, as find gives them"),
        (lambda studio, face: studio.edit("faces", Smiling=1), "faces: must be a list of faces"),
        (lambda studio, face: studio.edit([SAMPLE], Smiling=1), "faces: must be a list of faces"),
        (lambda studio, face: studio.invert(5), "faces: must be a list of faces"),
        (lambda studio, face: Studio.open(without=5), "without: must be a collection of"),
        (lambda studio, face: Studio.open(device="cpu").edit([face], Smiling=1), "faces: .* found by another studio"),
        (lambda studio, face: face.sweep("Smiling", 0, 1, "3"), "2 to 100 values, not '3'"),
        (lambda studio, face: face.edit({5: 1}), "attribute: must be a name, not 5"),
        (lambda studio, face: face.sweep(5), "attribute: must be a name, not 5"),
        (lambda studio, face: face.edit(Smiling=1).save(5), "path: must be the name of a file, not 5"),
    ],
)  # fmt: skip
def test_arguments_of_a_wrong_type(studio: Studio, call: Any, said: str) -> None:
    (face,) = studio.find(SAMPLE)
    with pytest.raises(ValueError, match=said):
        call(studio, face)


def test_requests_that_contradict_themselves(studio: Studio) -> None:
    (face,) = studio.find(SAMPLE)
    with pytest.raises(RequestError, match="'Smiling' is named twice"):
        face.edit({"Smiling": 1}, Smiling=0)
    with pytest.raises(RequestError, match="'Smiling' is swept and set at once"):
        face.sweep("Smiling", 0, 1, 2, Smiling=1)
    for asked in ("Smiling", 5, [("Smiling", 1)]):
        with pytest.raises(RequestError, match="an edit is a mapping"):
            face.edit(asked)  # type: ignore[arg-type]
    for sweep in ({"count": 2.5}, {"count": "3"}, {"first": "x"}, {"first": 1e300}, {"last": float("nan")}):
        with pytest.raises(RequestError, match="a sweep takes 2 to 100 values|is not a number from -100 to 100"):
            face.sweep("Smiling", **sweep)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="mode: must be one of difference, crop, not 'over'"):
        face.edit(Smiling=1).pasted("over")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "option",
    [
        *({"batch_size": size} for size in (0, -3, "8", 2.5)),
        *({"precision": precision} for precision in ("float16", 16, torch.bfloat16)),
        *({"without": parts} for parts in ("encoder", ("nothing",))),
        {"device": None},
    ],
    ids=str,
)
def test_options_of_the_studio_that_are_none(option: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(option))}: must be|unknown device"):
        Studio.open(**option)


def test_a_face_that_the_solver_cannot_follow_fails_alone(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before: a traceback, and no report of the faces that were done."""

    def stops(*_: object) -> None:
        raise FloatingPointError("the flow's solver stopped on the way")

    monkeypatch.setattr(SDFlowEditor, "move", stops)
    (face,) = studio.find(SAMPLE)
    with pytest.raises(RequestError, match="Smiling=1: the flow's solver stopped on the way; choose a target nearer"):
        face.edit(Smiling=1)
    assert edit.main([str(SAMPLE), "-o", str(tmp_path), "--set", "Smiling=1", "--quiet"]) == 1
    assert "face-01.png: cannot be computed: the flow's solver stopped" in capsys.readouterr().err
    assert (tmp_path / "report.json").is_file()
