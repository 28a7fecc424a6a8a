"""Colours, lines and filled shapes from which avatars and their masks are drawn."""

from __future__ import annotations

import math
from enum import IntEnum
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

from datasets.avatar_factors import Factors

SUPERSAMPLING = 4
UNITS = 256.0  # side of the picture in the units of all lengths below
ZOOM = 1.12  # enlarges head and body about the centre
CENTRE = np.array([128.0, 127.0])  # the origin of the coordinates: between the eyes
NECK = np.array([0.0, 90.0])  # the head tilts about it
WAVELENGTH = 36.0  # of waves in the hair
_ANGLES = np.linspace(0.0, 2.0 * math.pi, 40, endpoint=False)
CIRCLE = np.array([(math.cos(a), math.sin(a)) for a in _ANGLES])

Colour = tuple[float, float, float]


def palette(colours: tuple[tuple[int, int, int], ...], place: float) -> Colour:
    """Colour at a place in [0, 1] of a row of colours."""
    at = min(max(place, 0.0), 1.0) * (len(colours) - 1)
    first = min(int(at), len(colours) - 2)
    return mix(colours[first], colours[first + 1], at - first)


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """`first` at share 0, `second` at share 1."""
    return tuple(a + (b - a) * share for a, b in zip(first, second, strict=True))  # type: ignore[return-value]


def curve(x: np.ndarray | float, y: np.ndarray | float) -> np.ndarray:
    """Points (N, 2) of coordinates, one of which may be a single number."""
    points = np.empty((max(np.size(x), np.size(y)), 2))
    points[:, 0], points[:, 1] = x, y
    return points


def join(*lines: np.ndarray) -> np.ndarray:
    """One line of several, each (N, 2)."""
    return np.concatenate(lines)


def left_of(points: np.ndarray) -> np.ndarray:
    """Unit vectors (N, 2) to the left of a line's direction (on a page whose y points down)."""
    along = np.empty_like(points)
    along[1:-1] = points[2:] - points[:-2]
    along[0], along[-1] = points[1] - points[0], points[-1] - points[-2]
    return along[:, ::-1] * (1.0, -1.0) / np.maximum(np.hypot(along[:, 0], along[:, 1]), 1e-6)[:, None]


def length_along(points: np.ndarray) -> np.ndarray:
    """Distance (N,) from the start of a line to each of its points."""
    steps = points[1:] - points[:-1]
    return np.concatenate([[0.0], np.cumsum(np.hypot(steps[:, 0], steps[:, 1]))])


def scallops(points: np.ndarray, height: float) -> np.ndarray:
    """A line (N, 2) pushed to its left in round bumps, one each `WAVELENGTH`, symmetrical about its middle."""
    length = length_along(points)
    bumps = np.abs(np.sin(math.pi * (length - 0.5 * length[-1]) / WAVELENGTH))
    return points + left_of(points) * (height * bumps)[:, None]


def swing(points: np.ndarray, height: float) -> np.ndarray:
    """A line (N, 2) that swings to both sides with `WAVELENGTH`."""
    return points + left_of(points) * (height * np.sin(2.0 * math.pi * length_along(points) / WAVELENGTH))[:, None]


def resample(points: np.ndarray, count: int) -> np.ndarray:
    """`count` points at equal distances on a line (N, 2)."""
    length = length_along(points)
    places = np.linspace(0.0, length[-1], count)
    return curve(np.interp(places, length, points[:, 0]), np.interp(places, length, points[:, 1]))


@lru_cache(maxsize=64)
def _brush(count: int, taper: float) -> np.ndarray:
    """Half widths (N, 1) along a stroke of width 1."""
    return (0.5 * (1.0 - taper * np.linspace(-1.0, 1.0, count) ** 4))[:, None]


class Area(IntEnum):
    """Classes of a mask that avatars have, numbered as in CelebAMask-HQ (`models.parsing.palette.CLASSES`).

    Left is the viewer's left, as in CelebA's landmarks, whose left eye is the one on the picture's left side.
    """

    BACKGROUND = 0
    SKIN = 1
    NOSE = 2
    EYEGLASSES = 3
    LEFT_EYE = 4
    RIGHT_EYE = 5
    LEFT_BROW = 6
    RIGHT_BROW = 7
    LEFT_EAR = 8
    RIGHT_EAR = 9
    MOUTH = 10
    UPPER_LIP = 11
    LOWER_LIP = 12
    HAIR = 13
    NECK = 17
    CLOTHES = 18


class Canvas:
    """Shapes in face coordinates, posed; what is filled with them, a picture or a mask, subclasses say."""

    def __init__(self, side: int, factors: Factors) -> None:
        self.side = side
        scale = side * SUPERSAMPLING / UNITS
        angle = math.radians(5.0 * factors.tilt)
        turned = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
        shift = np.array([5.0 * factors.shift_x, 4.0 * factors.shift_y])
        self.head = (scale * ZOOM) * turned
        self.head_origin = scale * (CENTRE + shift + ZOOM * (NECK - NECK @ turned))
        self.head_turn = np.array([6.0 * factors.turn, 0.0]) @ self.head
        self.body, self.body_origin = scale * ZOOM, scale * (CENTRE + 0.6 * shift)

    def fill(self, corners: list[float], colour: Colour, alpha: float, area: Area | None) -> None:
        """Fill a polygon, given in pixels as x, y, x, y, …"""
        raise NotImplementedError

    def placed(self, points: np.ndarray, depth: float | None) -> list[float]:
        """Pixels x, y, x, y, … of points (N, 2) in face coordinates."""
        if depth is None:
            placed = points * self.body + self.body_origin
        else:
            placed = points @ self.head + (self.head_origin + depth * self.head_turn)
        corners: list[float] = placed.ravel().tolist()
        return corners

    def shape(self, points: np.ndarray, colour: Colour, alpha: float = 1.0, depth: float | None = 0.0,
              area: Area | None = None) -> None:  # fmt: skip
        """Fill a polygon (N, 2).

        Args:
            depth: nearer shapes (> 0) move more when the head turns; None: not of the head.
            area: what the mask shows there; None: whatever lies below, as under shadows and strands.
        """
        self.fill(self.placed(points, depth), colour, alpha, area)

    def region(self, points: np.ndarray, area: Area, depth: float | None = 0.0) -> None:
        """A polygon (N, 2) of the mask that no paint of its own shows in the picture."""

    def disc(self, x: float, y: float, width: float, height: float, colour: Colour, alpha: float = 1.0,
             depth: float | None = 1.0, area: Area | None = None) -> None:  # fmt: skip
        """Fill an ellipse given by centre and half axes."""
        self.shape(CIRCLE * (width, height) + (x, y), colour, alpha, depth, area)

    def stroke(self, points: np.ndarray, width: float, colour: Colour, alpha: float = 1.0, depth: float | None = 1.0,
               taper: float = 0.8, area: Area | None = None) -> None:  # fmt: skip
        """Draw a line (N, 2); `taper` 1 makes its ends pointed, 0 blunt."""
        aside = left_of(points) * (width * _brush(len(points), taper))
        self.shape(join(points + aside, (points - aside)[::-1]), colour, alpha, depth, area)


class PictureCanvas(Canvas):
    """The picture: colours that cover each other by their alpha."""

    def __init__(self, side: int, background: Colour, factors: Factors) -> None:
        super().__init__(side, factors)
        pixels = side * SUPERSAMPLING
        self.picture = Image.new("RGB", (pixels, pixels), tuple(round(c) for c in background))
        self.draw = ImageDraw.Draw(self.picture, "RGBA")

    def fill(self, corners: list[float], colour: Colour, alpha: float, area: Area | None) -> None:
        self.draw.polygon(corners, fill=(round(colour[0]), round(colour[1]), round(colour[2]), round(255 * alpha)))

    def pixels(self) -> np.ndarray:
        """Mean colour (side, side, 3) float32 in [0, 255] of each pixel."""
        return np.asarray(self.picture.reduce(SUPERSAMPLING), dtype=np.float32)


class MaskCanvas(Canvas):
    """The mask: the area of the nearest shape that makes one, however transparent."""

    def __init__(self, side: int, factors: Factors) -> None:
        super().__init__(side, factors)
        pixels = side * SUPERSAMPLING
        self.mask = Image.new("L", (pixels, pixels), Area.BACKGROUND)
        self.draw = ImageDraw.Draw(self.mask)

    def fill(self, corners: list[float], colour: Colour, alpha: float, area: Area | None) -> None:
        if area is not None:
            self.draw.polygon(corners, fill=int(area))

    def region(self, points: np.ndarray, area: Area, depth: float | None = 0.0) -> None:
        self.draw.polygon(self.placed(points, depth), fill=int(area))

    def pixels(self) -> np.ndarray:
        """The area (side, side) uint8 that fills most of each pixel."""
        fine = np.asarray(self.mask).reshape(self.side, SUPERSAMPLING, self.side, SUPERSAMPLING).swapaxes(1, 2)
        kinds, count = max(Area) + 1, self.side**2
        pixel = np.arange(count)[:, None] * kinds + fine.reshape(count, -1)
        votes = np.bincount(pixel.ravel(), minlength=count * kinds).reshape(self.side, self.side, kinds)
        return votes.argmax(-1).astype(np.uint8)
