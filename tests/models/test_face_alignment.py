"""FFHQ alignment against the crops that the authors' code made (photograph: NASA, public domain)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.alignment import ALIGNERS, AlignmentError
from models.face_alignment import DlibAligner, crop_quad, cut_out
from utils.config import Section

GOLDEN = Path(__file__).parent.parent / "golden"


@pytest.fixture(scope="module")
def recorded() -> dict[str, np.ndarray]:
    with np.load(GOLDEN / "ffhq_align.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def astronaut() -> Image.Image:
    return Image.open(GOLDEN / "photos/astronaut.png").convert("RGB")


@pytest.mark.parametrize("photo", ["test1", "test2", "test3", "astronaut"])
def test_quads(photo: str, recorded: dict[str, np.ndarray]) -> None:
    assert np.allclose(crop_quad(recorded[f"{photo}.landmarks"]), recorded[f"{photo}.quad"], rtol=0, atol=1e-9)


def test_crops(recorded: dict[str, np.ndarray], astronaut: Image.Image) -> None:
    quad = crop_quad(recorded["astronaut.landmarks"])
    expected = np.asarray(Image.open(GOLDEN / "photos/astronaut_aligned_256.png").convert("RGB"), dtype=float)
    assert np.abs(np.asarray(cut_out(astronaut, quad, 256)) - expected).mean() < 0.5  # Pillows differ in rounding
    small = np.asarray(cut_out(astronaut, quad, 32), dtype=float)  # takes the way of shrinking first
    assert np.abs(small - recorded["astronaut.tiny"]).mean() < 0.5


def test_a_face_beyond_the_edge_is_padded(recorded: dict[str, np.ndarray], astronaut: Image.Image) -> None:
    quad = crop_quad(recorded["astronaut.landmarks"])
    cropped = astronaut.crop((170, 60, 290, 190))
    face = np.asarray(cut_out(cropped, quad - (170, 60), 64), dtype=float)
    whole = np.asarray(cut_out(astronaut, quad, 64), dtype=float)
    centre = (slice(24, 40), slice(24, 40))
    assert np.abs(face[centre] - whole[centre]).mean() < 3 and face.shape == whole.shape
    with pytest.raises(AlignmentError, match="outside"):
        cut_out(cropped, quad + 1000, 64)


def test_dlib_finds_the_face(recorded: dict[str, np.ndarray], astronaut: Image.Image) -> None:
    aligner = ALIGNERS.build(Section({"name": "dlib", "detector": "hog"}, "aligner"), image_side=64)
    assert isinstance(aligner, DlibAligner)
    landmarks = aligner.landmarks(astronaut.crop((120, 20, 320, 220))) + (120, 20)
    assert np.abs(landmarks - recorded["astronaut.landmarks"]).max() <= 6
    assert aligner(astronaut.crop((120, 20, 320, 220))).size == (64, 64)
    with pytest.raises(AlignmentError, match="no face was found"):
        aligner(Image.new("RGB", (100, 100), "grey"))
