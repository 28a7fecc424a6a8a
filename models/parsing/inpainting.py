"""Filling a region of a picture from its border inwards, with the numbers of OpenCV's "Navier–Stokes" inpainting.

It follows no equation of flow: pixels are filled in the order of their distance from the border (fast marching,
"An Image Inpainting Technique Based on the Fast Marching Method", 2004), each with a weighted mean of the known pixels
around it, in which those count most that lie along the edges of equal brightness.
"""

from __future__ import annotations

import heapq
import math
from itertools import count

import numpy as np

_TINY = 1e-6
_FAR = 1e6  # time of pixels that no front has reached
_NEIGHBOURS = ((-1, 0), (0, -1), (1, 0), (0, 1))


def inpainted(picture: np.ndarray, region: np.ndarray, radius: int = 3) -> np.ndarray:
    """The picture (H, W) uint8 with the pixels of the region (H, W) filled.

    Args:
        radius: distance up to which known pixels count.
    """
    front = _Front(picture, region, radius)
    front.advance()
    return front.values.astype(np.uint8)


class _Front:
    """The state of the marching: what is still unknown, when each pixel was reached, and the values so far."""

    def __init__(self, picture: np.ndarray, region: np.ndarray, radius: int) -> None:
        self.values: np.ndarray = picture.astype(np.int64)
        self.unknown: np.ndarray = region.astype(bool)
        self.times = np.full(picture.shape, _FAR, dtype=np.float32)
        self.size: tuple[int, int] = (picture.shape[0], picture.shape[1])
        self.radius = radius
        step = np.arange(-radius, radius + 1)
        self.y, self.x = np.meshgrid(step, step, indexing="ij")  # from the pixel to be filled
        squared = self.y**2 + self.x**2
        self.near = squared <= radius**2
        self.closeness = (1 / (squared**2 + 1)).astype(np.float32)
        self.length = np.sqrt(squared)

    def advance(self) -> None:
        """Fill the region; of equally early pixels the one first reached goes on first."""
        order = count()
        queue = [(0.0, next(order), int(row), int(column)) for row, column in np.argwhere(self._border())]
        for _, _, row, column in queue:
            self.times[row, column] = 0
        while queue:
            _, _, row, column = heapq.heappop(queue)
            for down, right in _NEIGHBOURS:
                y, x = row + down, column + right
                if self._inside(y, x) and self.unknown[y, x]:
                    self.times[y, x] = self._time(y, x)
                    self.values[y, x] = self._value(y, x)
                    self.unknown[y, x] = False
                    heapq.heappush(queue, (float(self.times[y, x]), next(order), y, x))

    def _border(self) -> np.ndarray:
        """Known pixels that share an edge with the region."""
        padded = np.pad(self.unknown, 1)
        beside = padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]
        border: np.ndarray = beside & ~self.unknown
        return border

    def _inside(self, y: int, x: int) -> bool:
        height, width = self.size
        return 0 <= y < height and 0 <= x < width

    def _time(self, y: int, x: int) -> float:
        """When the front reaches a pixel: the earliest of what two neighbours, one above another beside, tell."""
        vertical = [self._reached(y + step, x) for step in (-1, 1)]
        horizontal = [self._reached(y, x + step) for step in (-1, 1)]
        return min(_meeting(a, b) for a in vertical for b in horizontal)

    def _reached(self, y: int, x: int) -> float | None:
        """When a pixel was reached; None where it was not, `_FAR` where it is known and no front came by."""
        if not self._inside(y, x):
            return _FAR
        return None if self.unknown[y, x] else float(self.times[y, x])

    def _value(self, y: int, x: int) -> int:
        """The weighted mean of the known pixels around."""
        height, width = self.size
        top, left = max(y - self.radius, 0), max(x - self.radius, 0)
        bottom, right = min(y + self.radius + 1, height), min(x + self.radius + 1, width)
        window = slice(top, bottom), slice(left, right)
        from_pixel = self.radius - y, self.radius - x
        offset = slice(top + from_pixel[0], bottom + from_pixel[0]), slice(left + from_pixel[1], right + from_pixel[1])
        known = self.near[offset] & ~self.unknown[window]
        found = self.values[window][known]
        if found.min() == found.max():
            return int(found[0])
        rows, columns = np.arange(top, bottom), np.arange(left, right)
        vertical = _differences(self.values, self.unknown, rows, columns)[known]
        turned = self.values[:, ::-1].T, self.unknown[:, ::-1].T  # what is left of a pixel is below it here
        horizontal = _differences(*turned, width - 1 - columns, rows).T[known]
        along = np.abs(self.y[offset][known] * horizontal - self.x[offset][known] * vertical)
        lengths = np.maximum(self.length[offset][known] * np.hypot(vertical, horizontal), _TINY)
        weights = self.closeness[offset][known] * np.where(along > 0.01, along / lengths, _TINY).astype(np.float32)
        # Added one after another in single precision, as OpenCV does: the mean often lies between two whole numbers.
        total, weight = (float(np.cumsum(terms)[-1]) for terms in (weights * found.astype(np.float32), weights))
        return round(total / weight)


def _differences(values: np.ndarray, unknown: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Sum of the differences of pixels to those above and below; twice the one where the other neighbour is unknown.

    A neighbour beyond the picture's edge is known and equal, but of pixels in the last row the difference to the one
    above counts as that to the one below. Differences in the first column are those of the second.
    """
    height, width = values.shape
    read = np.maximum(columns, min(1, width - 1))
    before, after = np.maximum(rows - 1, 0)[:, None], np.minimum(rows + 1, height - 1)[:, None]
    centre = np.minimum(rows, max(height - 2, 0))[:, None]
    above = np.abs(values[centre, read] - values[before, read])
    below = np.abs(values[after, read] - values[centre, read])
    none_above, none_below = unknown[before, columns], unknown[after, columns]
    both: np.ndarray = above * ~none_above * (1 + none_below) + below * ~none_below * (1 + none_above)
    return both


def _meeting(a: float | None, b: float | None) -> float:
    """When a front that has passed one neighbour at a and the other at b arrives."""
    if a is None or b is None:
        return 1 + min(value for value in (a, b, _FAR) if value is not None)
    difference = a - b
    return 1 + min(a, b) if abs(difference) >= 1 else (a + b + math.sqrt(2 - difference**2)) / 2
