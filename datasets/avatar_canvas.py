"""Colours, lines and filled shapes from which avatars are drawn."""

from __future__ import annotations

import math
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


class Canvas:
    """Shapes in face coordinates, posed and filled."""

    def __init__(self, side: int, background: Colour, factors: Factors) -> None:
        pixels = side * SUPERSAMPLING
        self.picture = Image.new("RGB", (pixels, pixels), tuple(round(c) for c in background))
        self.draw = ImageDraw.Draw(self.picture, "RGBA")
        scale = pixels / UNITS
        angle = math.radians(5.0 * factors.tilt)
        turned = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
        shift = np.array([5.0 * factors.shift_x, 4.0 * factors.shift_y])
        self.head = (scale * ZOOM) * turned
        self.head_origin = scale * (CENTRE + shift + ZOOM * (NECK - NECK @ turned))
        self.head_turn = np.array([6.0 * factors.turn, 0.0]) @ self.head
        self.body, self.body_origin = scale * ZOOM, scale * (CENTRE + 0.6 * shift)

    def shape(self, points: np.ndarray, colour: Colour, alpha: float = 1.0, depth: float | None = 0.0) -> None:
        """Fill a polygon (N, 2). Nearer shapes (`depth` > 0) move more when the head turns; None: not of the head."""
        if depth is None:
            placed = points * self.body + self.body_origin
        else:
            placed = points @ self.head + (self.head_origin + depth * self.head_turn)
        fill = (round(colour[0]), round(colour[1]), round(colour[2]), round(255 * alpha))
        self.draw.polygon(placed.ravel().tolist(), fill=fill)

    def disc(self, x: float, y: float, width: float, height: float, colour: Colour, alpha: float = 1.0,
             depth: float | None = 1.0) -> None:  # fmt: skip
        """Fill an ellipse given by centre and half axes."""
        self.shape(CIRCLE * (width, height) + (x, y), colour, alpha, depth)

    def stroke(self, points: np.ndarray, width: float, colour: Colour, alpha: float = 1.0, depth: float | None = 1.0,
               taper: float = 0.8) -> None:  # fmt: skip
        """Draw a line (N, 2); `taper` 1 makes its ends pointed, 0 blunt."""
        aside = left_of(points) * (width * _brush(len(points), taper))
        self.shape(join(points + aside, (points - aside)[::-1]), colour, alpha, depth)
