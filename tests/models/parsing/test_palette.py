"""Masks in pictures: grey and colour_values ones are read alike, anything else is refused with what is wrong."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models.parsing.palette import (
    CLASSES,
    PALETTE,
    MaskError,
    classes_of,
    colour_values,
    painted,
    read_mask,
    resembles_mask,
    resized,
)
from tests.masks import drawn
from tests.photographs import astronaut
from utils.paths import ROOT
from utils.photos import PhotoError

MASK = np.random.default_rng(0).integers(0, 19, (24, 24)).astype(np.uint8)
MASK[0, :19] = np.arange(19)


def palettised(values: np.ndarray, colours: np.ndarray) -> Image.Image:
    picture = Image.fromarray(values, "P")
    picture.putpalette(colours.astype(np.uint8).tobytes())
    return picture


# name -> the same mask as a picture
PICTURES = {
    "grey": lambda: Image.fromarray(MASK),
    "colours": lambda: Image.fromarray(painted(MASK)),
    "colours, opaque": lambda: Image.fromarray(painted(MASK)).convert("RGBA"),
    "grey as RGB": lambda: Image.fromarray(MASK).convert("RGB"),
    "grey of 16 bits": lambda: Image.fromarray(MASK.astype(np.uint16)),
    "grey of 32 bits": lambda: Image.fromarray(MASK.astype(np.int32)),
    "grey as fractions of 32 bits": lambda: Image.fromarray(MASK.astype(np.float32)),
    "grey with opacity": lambda: Image.fromarray(MASK).convert("LA"),
    "palette of the classes": lambda: palettised(MASK, PALETTE),
    "palette in another order": lambda: palettised(18 - MASK, PALETTE[::-1]),
    "palette of greys": lambda: palettised(MASK, np.repeat(np.arange(19)[:, None], 3, axis=1)),
}


@pytest.mark.parametrize("name", PICTURES)
def test_the_same_mask_in_every_form(name: str, tmp_path: Path) -> None:
    path = tmp_path / ("mask.tif" if "32 bits" in name else "mask.png")
    PICTURES[name]().save(path)
    mask = read_mask(path)
    assert mask.dtype == np.uint8 and np.array_equal(mask, MASK)


def test_every_class_survives_as_a_colour() -> None:
    assert len(CLASSES) == len(set(CLASSES)) == len({tuple(colour) for colour in PALETTE}) == 19
    assert np.array_equal(classes_of(painted(MASK)), MASK)
    colours = colour_values(torch.from_numpy(MASK)[None])
    assert colours.shape == (1, 3, 24, 24) and colours.min() == 0 and colours.max() == 1
    bytes_again = (colours[0].movedim(0, -1) * 255).numpy().astype(np.uint8)  # truncated, as the published code does
    assert np.array_equal(classes_of(bytes_again), MASK)


def test_an_empty_mask_is_background(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "x.png")
    assert not read_mask(tmp_path / "x.png").any()


def test_pictures_that_are_no_masks(tmp_path: Path) -> None:
    colours = Image.fromarray(painted(MASK))
    one = painted(MASK)
    one[3, 4] = (205, 0, 0)
    too_large = MASK.copy()
    too_large[1, 1:3] = 19
    for name, picture, words in (
        ("a.jpg", colours, "of 576 pixels have a colour outside the palette.*JPEG and anti-aliasing"),
        ("b.png", colours.resize((48, 48), Image.Resampling.BILINEAR), "of 2,304 pixels .* without smoothing"),
        ("c.png", Image.fromarray(one), r"^1 of 576 pixels have a colour outside the palette, such as \(205, 0, 0\)"),
        ("d.png", Image.fromarray(too_large), r"^2 of 576 pixels have a grey value that is no class \(0 to 18\).* 19"),
        ("e.png", colours.convert("L"), "grey value that is no class"),
        ("half.tif", Image.fromarray(MASK + np.float32(0.5)), "grey value that is no class .* 0.5"),
        ("f.png", Image.fromarray(MASK > 9), "outside the palette, such as .255, 255, 255"),
    ):
        picture.save(tmp_path / name)
        with pytest.raises(MaskError, match=words):
            read_mask(tmp_path / name)
    (tmp_path / "text.png").write_text("no picture")
    for path, words in ((tmp_path / "text.png", "not a picture"), (tmp_path / "gone.png", "no such file")):
        with pytest.raises(PhotoError, match=words):
            read_mask(path)


def test_another_size_takes_the_nearest_pixel(tmp_path: Path) -> None:
    Image.fromarray(painted(MASK)).save(tmp_path / "x.png")
    for side in (24, 48, 12, 7):
        expected = Image.fromarray(MASK).resize((side, side), Image.Resampling.NEAREST)
        assert np.array_equal(read_mask(tmp_path / "x.png", side), np.asarray(expected))
    with pytest.raises(MaskError, match="24 × 20 pixels; a face's mask is square"):
        resized(MASK[:20], 12)


@pytest.mark.parametrize("quality", [30, 90])
@pytest.mark.parametrize("coloured", [False, True])
def test_a_damaged_mask_is_no_photograph(quality: int, coloured: bool) -> None:
    mask = np.kron(drawn(glasses=True, teeth=True), np.ones((8, 8), dtype=np.uint8))
    stored = io.BytesIO()
    Image.fromarray(painted(mask) if coloured else mask).save(stored, "JPEG", quality=quality)
    assert resembles_mask(Image.open(stored))
    assert resembles_mask(Image.fromarray(painted(mask)).resize((200, 200), Image.Resampling.BICUBIC))


def test_a_picture_of_one_grey_value_is_a_damaged_mask() -> None:
    for kind in (np.uint8, np.uint16):
        assert resembles_mask(Image.fromarray(np.full((32, 32), 19, dtype=kind)))


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_faces_are_no_masks(mode: str) -> None:
    drawn_face = Image.open(ROOT / "pretrained/avatars/samples/face-01.png")
    assert not any(resembles_mask(picture.convert(mode)) for picture in (astronaut(), drawn_face))
