"""Edits come back into the photograph where the face was, and nothing else of it changes."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from models.editing.alignment import Frame
from models.editing.ffhq_crop import crop_frame, cut_out
from models.editing.paste_back import bounds, feathered_mask, paste_back, positions, resampled
from tests.photographs import GOLDEN
from utils.photos import Photograph, open_photograph


@pytest.fixture
def data() -> bytes:
    return (GOLDEN / "photos/astronaut.png").read_bytes()


@pytest.fixture(scope="module")
def quad() -> np.ndarray:
    with np.load(GOLDEN / "ffhq_align.npz") as arrays:
        return arrays["astronaut.quad"]


def frame_of(quad: np.ndarray, side: int = 256) -> Frame:
    return crop_frame(quad, side, (512, 512))


def pixels(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture).astype(int)


def seen_colours(photograph: Photograph) -> np.ndarray:
    return photograph.colours((0, 0, *photograph.own.size)).astype(int)


def brighter(picture: Image.Image, levels: int) -> Image.Image:
    return Image.fromarray((pixels(picture) + levels).clip(0, 255).astype(np.uint8))


def turned_frame(angle: float = 30.0, side: float = 80.0) -> Frame:
    across = side * np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
    return Frame(np.array([100.0, 60.0]), across, np.array([-across[1], across[0]]))


def test_positions_invert_the_frame() -> None:
    frame = turned_frame()
    box = bounds(frame, (512, 512))
    assert box is not None
    uv = positions(frame, box)
    back = frame.origin + uv[..., :1] * frame.across + uv[..., 1:] * frame.down
    rows, columns = np.mgrid[box[1] : box[3], box[0] : box[2]]
    assert np.allclose(back, np.stack([columns, rows], -1) + 0.5, atol=1e-3)
    assert uv.min() < 0 and uv.max() > 1  # the box holds the whole square
    assert Frame.of(frame.numbers()).numbers() == frame.numbers()
    assert bounds(frame, (50, 50)) is None


def test_the_mask_rises_from_the_edge() -> None:
    line = np.linspace(-0.1, 1.1, 241, dtype=np.float32)
    mask = feathered_mask(np.stack(np.meshgrid(line, line), -1))
    outside = (line <= 0) | (line >= 1)
    assert (mask[outside] == 0).all() and (mask[:, outside] == 0).all()
    assert mask[120, 120] == 1 and mask.max() == 1
    assert np.abs(np.diff(mask, axis=0)).max() < 0.08  # no step anywhere


def returned(side: int, quad: np.ndarray, slope: float) -> np.ndarray:
    """By how many levels (x, y) a ramp of this slope, cut out and put back, differs from the photograph."""
    rows, columns = np.mgrid[:509, :507]  # reduced to whole pixels, by a factor that is not quite whole
    ramp = 127 + slope * np.stack([columns - 220, rows - 110, 0 * rows], -1)
    photograph = Photograph(Image.fromarray(ramp.clip(0, 255).round().astype(np.uint8)))
    original = pixels(photograph.own)
    crop = cut_out(photograph.own, quad, side)
    paste_back(photograph, crop_frame(quad, side, photograph.own.size), crop, crop, "crop")
    difference = (pixels(photograph.own) - original)[60:160, 180:260, :2]
    assert np.abs(difference).max() <= 2
    return difference.mean((0, 1))


@pytest.mark.parametrize("side", [24, 32, 256, 1024])
def test_what_was_cut_out_comes_back_to_its_place(side: int, quad: np.ndarray) -> None:
    """Cut and return are one transform. The small crops are made from a reduced picture. Pillow rounds down when it
    cuts, which darkens a rising ramp as much as a falling one; a shift would not."""
    shift = (returned(side, quad, 1.2) - returned(side, quad, -1.2)) / 2.4
    assert np.abs(shift).max() < max(0.05, 0.02 * frame_of(quad, side).side / side)  # pixels of the photograph


@pytest.mark.parametrize("side", [64, 256, 512])
def test_a_known_edit_of_known_strength(side: int, data: bytes, quad: np.ndarray) -> None:
    photograph = open_photograph(data)
    original = pixels(photograph.own)
    inversion = Image.new("RGB", (side, side), (90, 100, 110))  # reproduces nothing of the face
    frame = frame_of(quad)
    paste_back(photograph, frame, brighter(inversion, 20), inversion)
    changed = pixels(photograph.own) - original
    box = bounds(frame, (512, 512))
    assert box is not None
    weights = np.zeros((512, 512))
    weights[box[1] : box[3], box[0] : box[2]] = feathered_mask(positions(frame, box))
    assert (changed[weights == 0] == 0).all()
    unclipped = (original < 235).all(-1)
    expected = np.rint(20 * weights)[..., None]
    assert (np.abs(changed - expected)[unclipped] <= 1).all()
    assert (changed[(weights == 1) & unclipped] == 20).all() and (weights == 1).sum() > 8_000


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_without_a_change_every_byte_stays(mode: str, data: bytes, quad: np.ndarray) -> None:
    photograph = Photograph(open_photograph(data).own.convert(mode))
    before = pixels(photograph.own)
    face = Image.fromarray(np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8))
    paste_back(photograph, frame_of(quad), face, face.copy())
    assert photograph.own.mode == mode and (pixels(photograph.own) == before).all()


def test_grey_stays_grey_and_transparency_stays(data: bytes, quad: np.ndarray) -> None:
    face = Image.new("RGB", (64, 64), (80, 80, 80))
    grey = Photograph(open_photograph(data).own.convert("L"))
    before = pixels(grey.own)
    paste_back(grey, frame_of(quad), brighter(face, 16), face)
    assert grey.own.mode == "L" and (pixels(grey.own) - before).max() == 16
    clear = open_photograph(data).own.convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(clear.size))
    photograph = Photograph(clear)
    before = pixels(clear)
    paste_back(photograph, frame_of(quad), brighter(face, 16), face)
    change = pixels(photograph.own) - before
    assert (change[..., 3] == 0).all() and change[..., :3].max() == 16


def test_a_profile_keeps_its_pixels(data: bytes, quad: np.ndarray) -> None:
    """In colours of another profile the edit is the same for the eye, and what it leaves alone keeps its bytes."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = srgb.replace(b"rXYZ", b"temp").replace(b"gXYZ", b"rXYZ").replace(b"temp", b"gXYZ")
    swapped = swapped.replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be"))
    stream = io.BytesIO()
    Image.open(io.BytesIO(data)).save(stream, "PNG", icc_profile=swapped)
    photograph = open_photograph(stream.getvalue())
    assert photograph.profile == swapped
    own, seen = pixels(photograph.own), seen_colours(photograph)
    face = Image.new("RGB", (64, 64), (80, 80, 80))
    paste_back(photograph, frame_of(quad), face, face)
    assert (pixels(photograph.own) == own).all()
    redder = Image.new("RGB", (64, 64), (100, 80, 80))
    paste_back(photograph, frame_of(quad), redder, face)
    change = seen_colours(photograph) - seen
    assert np.median(change[110:120, 215:225, 0]) == pytest.approx(20, abs=3)
    assert np.abs(change[110:120, 215:225, 1:]).mean() < 3
    assert (pixels(photograph.own)[300:] == own[300:]).all()


def test_a_fine_picture_is_smoothed_for_a_small_face() -> None:
    stripes = np.zeros((256, 256, 3), np.float32)
    stripes[:, ::2] = 255
    box = (0, 0, 32, 32)
    frame = Frame(np.zeros(2), np.array([32.0, 0.0]), np.array([0.0, 32.0]))
    values = resampled(stripes, positions(frame, box), frame.side)
    assert np.abs(values - 127.5)[2:-2, 2:-2].max() < 3


def test_a_face_at_the_edge_and_one_beyond(data: bytes) -> None:
    photograph = open_photograph(data)
    face = Image.new("RGB", (64, 64), (80, 80, 80))
    before = pixels(photograph.own)
    edge = Frame(np.array([-60.0, 300.0]), np.array([120.0, 10.0]), np.array([-10.0, 120.0]))
    paste_back(photograph, edge, brighter(face, 30), face)
    changed = np.abs(pixels(photograph.own) - before).max(-1)
    assert changed[360, 0] > 0 and changed[:, 80:].max() == 0
    paste_back(photograph, Frame(edge.origin - 1000, edge.across, edge.down), brighter(face, 30), face)
