"""FFHQ's formulas against what the published codes computed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.editing.alignment import AlignmentError
from models.editing.ffhq_crop import crop_frame, crop_matrix, crop_quad, cut_out, prepare
from scripts.checks.golden.alignment import ffhq_align
from scripts.checks.golden.case import CaseResult, GoldenCase, check_case
from tests.photographs import GOLDEN, astronaut, recorded

PHOTOS = ("test1", "test2", "test3", "astronaut")


@pytest.mark.parametrize("photo", PHOTOS)
def test_quads_and_matrices(photo: str) -> None:
    arrays = recorded()
    quad = crop_quad(arrays[f"{photo}.landmarks"])
    assert np.allclose(quad, arrays[f"{photo}.quad"], rtol=0, atol=1e-9)
    assert np.allclose(crop_matrix(quad, 256), arrays[f"{photo}.inv_M"], rtol=0, atol=1e-9)


def test_the_golden_case_from_a_folder_of_its_own(tmp_path: Path) -> None:
    """All of the case that the photograph at hand allows, but for the CNN, which takes ten seconds."""
    meta = json.loads((GOLDEN / "ffhq_align.json").read_text())
    meta["inputs"] = {"astronaut": meta["inputs"]["astronaut"]}
    meta["outputs"] = {
        name: record
        for name, record in meta["outputs"].items()
        if name.startswith("astronaut") and name not in ("astronaut.cnn_boxes", "astronaut.cnn_scores")
    }
    (tmp_path / "ffhq_align.json").write_text(json.dumps(meta))
    arrays = recorded()
    np.savez(tmp_path / "ffhq_align.npz", **arrays)

    def check() -> CaseResult:
        return check_case(GoldenCase.load(tmp_path / "ffhq_align.json", GOLDEN / "photos"), ffhq_align)

    result = check()
    assert result.passed, result.failures()
    assert len(result.comparisons) == 11
    arrays["astronaut.hog_boxes"] = arrays["astronaut.hog_boxes"] + 3
    arrays["astronaut.landmarks"] = arrays["astronaut.landmarks"] + np.arange(68)[:, None] % 3
    np.savez(tmp_path / "ffhq_align.npz", **arrays)
    failed = {comparison.output for comparison in check().comparisons if not comparison.passed}
    assert {"astronaut.hog_boxes", "astronaut.landmarks", "astronaut.quad", "astronaut.aligned"} <= failed


def test_the_frame_says_where_the_crop_was_taken() -> None:
    """Without a reduction it is the quad, half a pixel on; with one it follows the picture's whole number of pixels."""
    quad = recorded()["astronaut.quad"]
    assert np.allclose(crop_frame(quad, 256, (512, 512)).corners(), quad + 0.5)
    small = crop_frame(quad, 32, (511, 512))  # reduced by 2, to 256 × 256: the first is rounded up
    factor = np.array([511 / 256, 2])
    assert np.allclose(small.corners(), (quad / 2 + 0.5) * factor)


def test_crops() -> None:
    arrays, picture = recorded(), astronaut()
    quad = crop_quad(arrays["astronaut.landmarks"])
    expected = np.asarray(Image.open(GOLDEN / "photos/astronaut_aligned_256.png").convert("RGB"), dtype=float)
    assert np.abs(np.asarray(cut_out(picture, quad, 256)) - expected).mean() < 0.5  # Pillows differ in rounding
    small = np.asarray(cut_out(picture, quad, 32), dtype=float)  # takes the way of shrinking first
    assert np.abs(small - arrays["astronaut.tiny"]).mean() < 0.5
    assert np.allclose(prepare(picture, quad, 256).quad, arrays["astronaut.quad_in_prepared_image"])


def test_a_face_beyond_the_edge_is_padded() -> None:
    quad, picture = crop_quad(recorded()["astronaut.landmarks"]), astronaut()
    cropped = picture.crop((170, 60, 290, 190))
    face = np.asarray(cut_out(cropped, quad - (170, 60), 64), dtype=float)
    whole = np.asarray(cut_out(picture, quad, 64), dtype=float)
    centre = (slice(24, 40), slice(24, 40))
    assert np.abs(face[centre] - whole[centre]).mean() < 3 and face.shape == whole.shape
    with pytest.raises(AlignmentError, match="outside"):
        cut_out(cropped, quad + 1000, 64)
    with pytest.raises(AlignmentError, match="one point"):
        crop_quad(np.full((68, 2), 7))
