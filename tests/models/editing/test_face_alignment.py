"""Finding faces with dlib: which ones, how surely, and where their crops lie."""

from __future__ import annotations

import importlib.util
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import models.editing.face_alignment as face_alignment
from models.editing.aligners import ALIGNERS
from models.editing.alignment import AlignerMissing, AlignmentError
from models.editing.face_alignment import DlibAligner, Found
from scripts.benchmarks import alignment
from tests.photographs import FACE, GOLDEN, astronaut, couple, portrait, recorded
from utils.config import ConfigError, Section
from utils.paths import ROOT


def test_the_crop_is_the_recorded_one() -> None:
    """Within two pixels of the photograph, though the recorded one comes from the CNN's box."""
    (face,) = DlibAligner(64).faces(astronaut())  # HOG's second find, which is no face, is not taken
    assert np.abs(face.frame.corners() - 0.5 - recorded()["astronaut.quad"]).max() < 2
    assert face.picture.size == (64, 64) and face.detector == "hog" and face.score == pytest.approx(1.164, abs=0.05)
    assert np.abs(np.array(face.box) - (175, 76, 265, 166)).max() <= 2


def test_which_faces() -> None:
    aligner = DlibAligner(32)
    found = aligner.faces(couple())
    assert len(found) == 2 and found[0].score >= found[1].score  # type: ignore[operator]
    assert len(aligner.faces(couple(), 1)) == 1 and aligner.faces(couple(), 1)[0].box == found[0].box
    (largest,) = aligner.faces(couple(), "largest")
    assert largest.box is not None and largest.box[0] > 190
    assert np.array_equal(np.asarray(aligner(couple())), np.asarray(largest.picture))


def test_where_hog_finds_nothing_the_cnn_is_asked() -> None:
    aligner = DlibAligner(32)
    tilted = portrait().rotate(50, Image.Resampling.BICUBIC, fillcolor=(128, 128, 128)).resize((140, 140))
    assert not aligner.detect(np.asarray(tilted), "hog")
    (face,) = aligner.faces(tilted)
    assert face.detector == "cnn" and face.score is not None and face.score > 0.5 and face.box is not None
    assert np.abs(np.array(face.box) - (30, 27, 98, 95)).max() <= 4
    cos, sin = np.cos(np.radians(50)), np.sin(np.radians(50))
    upright = recorded()["astronaut.quad"] + 0.5 - np.array(FACE[:2]) - 100
    expected = (upright @ [[cos, -sin], [sin, cos]] + 100) * 0.7  # the crop is tilted as the head is
    assert np.abs(face.frame.corners() - expected).max() < 0.03 * face.frame.side
    with pytest.raises(AlignmentError, match="no face was found"):
        aligner(Image.new("RGB", (100, 100), "grey"))


@pytest.mark.parametrize("size", [(1, 1), (6, 2000), (3000, 3), (39, 39)])
def test_pictures_too_narrow_for_a_face_are_not_searched(size: tuple[int, int]) -> None:
    """dlib's CNN reads and writes beyond its memory on such, which ends the process sooner or later."""
    with pytest.raises(AlignmentError, match="no face was found"):
        DlibAligner(32)(Image.new("RGB", size, "grey"))


def crowd(width: int, height: int, side: int) -> Image.Image:
    """A noisy wall with twelve portraits of this side; the face itself takes 0.45 of it."""
    wall = np.random.default_rng(0).normal(125, 2, (height, width, 3)).clip(0, 255).astype(np.uint8)
    picture, face = Image.fromarray(wall), portrait().resize((side, side), Image.Resampling.LANCZOS)
    for index in range(12):
        picture.paste(face, ((width - side) * (index % 4) // 3, (height - side) * (index // 4) // 2))
    return picture


def test_small_faces_of_a_large_photograph() -> None:
    """Before, 1 of 12 was found: the search was done on a copy of 2048 pixels."""
    aligner, picture = DlibAligner(32), crowd(3600, 1200, 200)
    found = aligner.find(picture)
    centres = np.array([(find.box[:2] + find.box[2:]) / 2 for find in found])
    expected = np.array([(106 + 3400 * (i % 4) // 3, 106 + 1000 * (i // 4) // 2) for i in range(12)])
    assert len(found) == 12 and aligner.smallest(picture) == 80
    assert np.abs(np.sort(centres, 0) - np.sort(expected, 0)).max() < 10
    assert len(aligner.find(picture.crop((0, 0, 1800, 760)))) == 4


def test_the_limit_of_the_search_is_told_and_lifted() -> None:
    picture = crowd(1400, 500, 80)  # faces of 36 pixels
    with pytest.raises(
        AlignmentError, match=r"faces of 80 pixels or more .* \(--smallest-face 40 searches for smaller"
    ):
        DlibAligner(32).faces(picture)
    faces = DlibAligner(32, smallest_face=30).faces(picture)
    assert len(faces) == 12 and {face.smallest_face for face in faces} == {30}
    assert DlibAligner(32, "cnn").smallest(Image.new("RGB", (4096, 100))) == 320
    section = Section({"name": "dlib", "smallest_face": 5}, "aligner")
    with pytest.raises(ConfigError, match="aligner.smallest_face: must be .*20"):
        ALIGNERS.build(section, image_side=32)


@pytest.mark.parametrize("size", [(4000, 3000), (1800, 1200), (500, 9000), (100, 5000), (12000, 12000)])
@pytest.mark.parametrize("scale", [0.3, 1.0, 2.7])
def test_tiles_cover_the_picture_and_overlap(size: tuple[int, int], scale: float) -> None:
    tiles = face_alignment._tiles(size, scale, 2048, divided=True)
    for axis in (0, 1):
        spans = sorted({(tile[axis], tile[axis + 2]) for tile in tiles})
        assert spans[0][0] == 0 and spans[-1][1] == size[axis]
        assert all(0 < end - start <= 2048 / scale for start, end in spans)
        assert all(one[1] - other[0] >= int(320 / scale) for one, other in pairwise(spans))


def test_an_upright_head_is_aligned_as_published() -> None:
    """Of the CNN's box, too, which alone may mean a tilted head."""
    arrays, picture = recorded(), astronaut()
    find = Found(arrays["astronaut.cnn_boxes"][0], 1.0, "cnn")
    found = DlibAligner(64).landmarks(picture, np.asarray(picture), find)
    assert np.array_equal(found, arrays["astronaut.landmarks"])


def test_an_aligned_picture_is_not_aligned_twice() -> None:
    aligner = DlibAligner(256)
    aligned = Image.open(GOLDEN / "photos/astronaut_aligned_256.png").convert("RGB")
    (face,) = aligner.faces(aligned)
    assert "aligned already" in face.remark and np.array_equal(np.asarray(face.picture), np.asarray(aligned))
    assert aligner.doubt(aligned) == ""
    assert "of the side" in aligner.doubt(portrait())
    assert "no square" in aligner.doubt(couple())


def test_a_large_photograph_is_aligned_where_a_whole_search_aligns_it() -> None:
    aligner = DlibAligner(256)
    data = alignment.enlarged(astronaut().crop((70, 0, 390, 240)), 5)
    assert alignment.movement(data, aligner) < 1


def test_the_benchmark(capsys: pytest.CaptureFixture) -> None:
    photo = str(GOLDEN / "photos/astronaut_aligned_256.png")
    status = alignment.main([photo, "--megapixels", "0.5"])
    said = capsys.readouterr().out
    assert "astronaut_aligned_256.png" in said and "0.00 px" in said
    assert status == ("not kept" in said)  # seconds depend on what else runs
    assert alignment.main([str(ROOT / "README.md")]) == 1
    assert "known format" in capsys.readouterr().err


def test_what_is_missing_is_one_sentence_with_the_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for loader in (face_alignment._hog, face_alignment._predictor):
        loader.cache_clear()
    empty = tmp_path / "face_recognition_models/__init__.py"
    empty.parent.mkdir()
    empty.touch()
    package = importlib.util.spec_from_file_location("face_recognition_models", empty)
    picture = astronaut().crop(FACE)
    with monkeypatch.context() as patch:
        patch.setattr(importlib.util, "find_spec", lambda name: package)
        with pytest.raises(AlignerMissing, match="shape_predictor.* is missing: pip install"):
            DlibAligner(32)(picture)
        (empty.parent / "models").mkdir()
        (empty.parent / "models/shape_predictor_68_face_landmarks.dat").write_bytes(b"torn")
        with pytest.raises(AlignerMissing, match="cannot read this model.*force-reinstall"):
            DlibAligner(32)(picture)
    face_alignment._hog.cache_clear()
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "dlib", None)
        with pytest.raises(AlignerMissing, match="not installed: pip install dlib-bin"):
            DlibAligner(32)(picture)
        with pytest.raises(AlignerMissing, match="not installed"):
            DlibAligner(32).doubt(picture)


def test_by_name() -> None:
    aligner = ALIGNERS.build(Section({"name": "dlib", "detector": "cnn"}, "aligner"), image_side=64)
    assert isinstance(aligner, DlibAligner) and aligner.detector == "cnn"
