"""Alignment of pictures to a domain's square."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from models.editing.aligners import ALIGNERS
from models.editing.alignment import AlignmentError, ResizeAligner
from models.editing.face_choice import Only
from utils.config import ConfigError, Section


def test_a_picture_of_the_right_size_is_not_touched() -> None:
    values = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert np.array_equal(np.asarray(ResizeAligner(64)(Image.fromarray(values))), values)


@pytest.mark.parametrize("size", [(300, 100), (100, 300)])
def test_the_centre_is_kept(size: tuple[int, int]) -> None:
    picture = Image.new("RGB", size, "red")
    left, top = (size[0] - 100) // 2, (size[1] - 100) // 2
    picture.paste("blue", (left, top, left + 100, top + 100))
    values = np.asarray(ResizeAligner(64)(picture))
    assert values.shape == (64, 64, 3)
    assert (values == (0, 0, 255)).all()


def test_reduction_is_smooth() -> None:
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    values = np.asarray(ResizeAligner(64)(Image.fromarray(stripes))).astype(int)
    assert abs(values.mean() - 127.5) < 2 and values.std() < 10


def test_too_small() -> None:
    with pytest.raises(AlignmentError, match="1 × 1, at least 32 pixels"):
        ResizeAligner(64)(Image.new("RGB", (1, 1)))
    assert ResizeAligner(64, minimum_side=8)(Image.new("RGB", (8, 9))).size == (64, 64)


def test_by_name() -> None:
    aligner = ALIGNERS.build(Section({"name": "resize", "minimum_side": 10}, "aligner"), image_side=32)
    assert aligner(Image.new("RGB", (10, 20))).size == (32, 32)
    with pytest.raises(ConfigError, match="did you mean 'resize'"):
        ALIGNERS.build(Section({"name": "resise"}, "aligner"), image_side=32)
    with pytest.raises(ConfigError, match="minimum_side"):
        ALIGNERS.build(Section({"name": "resize", "minimum_sid": 10}, "aligner"), image_side=32)


def test_a_picture_that_is_taken_whole_has_one_face() -> None:
    picture = Image.new("RGB", (64, 64))
    assert len(ResizeAligner(64).faces(picture, Only(1))) == 1
    with pytest.raises(AlignmentError, match="has no face 2: the picture is taken whole, as one face"):
        ResizeAligner(64).faces(picture, Only(2))
