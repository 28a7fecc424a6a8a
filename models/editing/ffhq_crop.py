"""The square of a face as FFHQ cuts it out (Karras et al., 2019, appendix A): every formula between landmarks and crop.

Positions of landmarks and quads are counted in pixel indices, as dlib does: (0, 0) is the centre of the first pixel.
`Frame` counts from the picture's corner, which is half a pixel further.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from models.editing.alignment import AlignmentError, Frame

_LEFT_EYE, _RIGHT_EYE, _MOUTH_CORNERS = slice(36, 42), slice(42, 48), (48, 54)  # of dlib's 68 landmarks


def _turned(vector: np.ndarray) -> np.ndarray:
    """The vector (x, y) turned by a quarter: (−y, x)."""
    return np.array([-vector[1], vector[0]])


def crop_quad(landmarks: np.ndarray) -> np.ndarray:
    """Corners (4, 2) of the square to cut out, from the top left one by way of the bottom left one.

    Args:
        landmarks: (68, 2), dlib's order.
    Raises:
        AlignmentError: eyes and mouth fall together.
    """
    landmarks = landmarks.astype(np.float64)
    left, right = landmarks[_LEFT_EYE].mean(0), landmarks[_RIGHT_EYE].mean(0)
    eyes, between_eyes = (left + right) / 2, right - left
    eyes_to_mouth = landmarks[list(_MOUTH_CORNERS)].mean(0) - eyes
    x = between_eyes - _turned(eyes_to_mouth)
    length = np.hypot(*x)
    if length < 1:
        raise AlignmentError("the face is too small: its eyes and mouth fall on one point")
    x *= max(2.0 * np.hypot(*between_eyes), 1.8 * np.hypot(*eyes_to_mouth)) / length
    y = _turned(x)
    centre = eyes + 0.1 * eyes_to_mouth
    return np.stack([centre - x - y, centre - x + y, centre + x + y, centre + x - y])


def crop_matrix(quad: np.ndarray, side: int) -> np.ndarray:
    """The similarity (2, 3) from positions in the crop of `side` pixels to the quad: corner (0, 0) to its first corner.

    The quad is a square, so that nothing is left to be fitted.
    """
    across, down = (quad[3] - quad[0]) / side, (quad[1] - quad[0]) / side
    return np.stack([across, down, quad[0]], axis=1)


def _shrinkage(quad: np.ndarray, side: int) -> tuple[float, int]:
    """Length of the quad's upper edge, and the whole factor by which the picture is reduced before the cut."""
    size = float(np.hypot(*(quad[3] - quad[0])))
    return size, max(int(np.floor(size / side / 2)), 1)


def _reduced(size: tuple[int, int], shrink: int) -> tuple[int, int]:
    return max(round(size[0] / shrink), 1), max(round(size[1] / shrink), 1)


def crop_frame(quad: np.ndarray, side: int, size: tuple[int, int]) -> Frame:
    """Where `cut_out` takes its pixels from, exactly, in a picture of this width and height.

    A picture that is reduced first comes to whole numbers of pixels, so that its factor is not quite the whole one.
    """
    _, shrink = _shrinkage(quad, side)
    factor = np.array(size) / np.array(_reduced(size, shrink)) if shrink > 1 else np.ones(2)
    corners = (quad / shrink + 0.5) * factor
    return Frame(corners[0], corners[3] - corners[0], corners[1] - corners[0])


@dataclass(frozen=True)
class Prepared:
    """A picture reduced, cropped and padded for the cut, and the quad (4, 2) in it."""

    picture: Image.Image
    quad: np.ndarray


def prepare(picture: Image.Image, quad: np.ndarray, side: int) -> Prepared:
    """Reduce an RGB picture to about twice the crop's resolution, crop it around the quad, and where the quad comes
    near its edge continue it beyond: mirrored and blurred.

    Raises:
        AlignmentError: the quad lies outside the picture.
    """
    size, shrink = _shrinkage(quad, side)
    if shrink > 1:
        picture = picture.resize(_reduced(picture.size, shrink), Image.Resampling.LANCZOS)
        quad, size = quad / shrink, size / shrink
    border = max(int(np.rint(size * 0.1)), 3)
    low, high = np.floor(quad.min(0)).astype(int), np.ceil(quad.max(0)).astype(int)
    start = np.maximum(low - border, 0)
    end = np.minimum(high + border, picture.size)
    if (end <= start).any():
        raise AlignmentError("the face lies outside the picture")
    if tuple(end - start) != picture.size:
        picture = picture.crop((*start.tolist(), *end.tolist()))
        quad = quad - start
    low, high = np.floor(quad.min(0)).astype(int), np.ceil(quad.max(0)).astype(int)
    before = np.maximum(border - low, 0)
    after = np.maximum(high - picture.size + border, 0)
    if max(*before, *after) > border - 4:
        least = int(np.rint(size * 0.3))
        before, after = np.maximum(before, least), np.maximum(after, least)
        picture = _padded(picture, before, after, 0.02 * size)
        quad = quad + before
    return Prepared(picture, quad)


def cut_out(picture: Image.Image, quad: np.ndarray, side: int) -> Image.Image:
    """The quad's part of an RGB picture as side × side pixels.

    Raises:
        AlignmentError: the quad lies outside the picture.
    """
    prepared = prepare(picture, quad, side)
    corners = tuple((prepared.quad + 0.5).flatten())
    return prepared.picture.transform((side, side), Image.Transform.QUAD, corners, Image.Resampling.BILINEAR)


def _padded(picture: Image.Image, before: np.ndarray, after: np.ndarray, blur: float) -> Image.Image:
    """Mirrored beyond the edges; from there outwards blurred, and further out drawn to the median colour."""
    pads = ((before[1], after[1]), (before[0], after[0]), (0, 0))
    pixels = np.pad(np.asarray(picture, dtype=np.float32), pads, "reflect")
    height, width, _ = pixels.shape
    rows, columns = np.ogrid[:height, :width]
    inside_x = np.minimum(np.float32(columns) / before[0], np.float32(width - 1 - columns) / after[0])
    inside_y = np.minimum(np.float32(rows) / before[1], np.float32(height - 1 - rows) / after[1])
    outside = np.maximum(1 - inside_x, 1 - inside_y)[:, :, None]
    pixels += (ndimage.gaussian_filter(pixels, [blur, blur, 0]) - pixels) * np.clip(3 * outside + 1, 0, 1)
    pixels += (np.median(pixels, axis=(0, 1)) - pixels) * np.clip(outside, 0, 1)
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))
