"""Means over faces with their bootstrap intervals; sums, differences and ratios of them within the same resamples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.evaluation.curves import INTERVAL, resampling_weights


@dataclass(frozen=True)
class Estimate:
    """A number of all faces, and the same of each resample (R,) of them."""

    value: float
    resampled: np.ndarray

    def __sub__(self, other: Estimate) -> Estimate:
        return Estimate(self.value - other.value, self.resampled - other.resampled)

    def __truediv__(self, other: Estimate) -> Estimate:
        """A ratio; infinite or no number where the other is 0."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return Estimate(float(np.divide(self.value, other.value)), self.resampled / other.resampled)

    @staticmethod
    def average(several: Sequence[Estimate]) -> Estimate:
        """The mean of several numbers of the same faces."""
        with np.errstate(invalid="ignore", over="ignore"):
            value = float(np.mean([one.value for one in several]))
            return Estimate(value, np.mean([one.resampled for one in several], axis=0))

    def json(self) -> dict[str, Any] | None:
        """Value and 95 % interval; None where there is no value, or none of most of the resamples."""
        known = np.isfinite(self.resampled)
        if not np.isfinite(self.value) or known.mean() < 0.5:
            return None
        low, high = np.percentile(self.resampled[known], INTERVAL)
        return {"value": self.value, "interval": [float(low), float(high)]}


class Resamples:
    """Faces drawn with replacement, the same draws for every number that is estimated.

    Args:
        count: N.
        rows: (N,) bool, faces that count; all by default.
    """

    def __init__(self, count: int, seed: int, rows: np.ndarray | None = None) -> None:
        self.rows = np.ones(count, dtype=bool) if rows is None else rows
        weights = resampling_weights(count, seed)[:, self.rows]
        total = weights.sum(1, keepdims=True)
        self._weights = weights / np.where(total > 0, total, 1)

    def mean(self, values: np.ndarray) -> Estimate:
        """The mean of (N,) numbers."""
        chosen = np.asarray(values, np.float64)[self.rows]
        return Estimate(float(chosen.mean()), self._weights @ chosen)

    def slope(self, moved: np.ndarray, asked: np.ndarray) -> Estimate:
        """The share of (N,) asked changes that was made: least squares through the origin."""
        return self.mean(moved * asked) / self.mean(asked**2)

    def iou(self, confusions: np.ndarray) -> Estimate:
        """Mean IoU of (N, 19, 19) confusions, see `mean_iou`."""
        pixels = confusions[self.rows].reshape(-1, confusions[0].size).astype(np.float64)
        shape = (-1, *confusions.shape[1:])
        whole, resampled = pixels.mean(0).reshape(shape), (self._weights @ pixels).reshape(shape)
        return Estimate(float(mean_iou(whole)[0]), mean_iou(resampled))

    def pixel_accuracy(self, confusions: np.ndarray) -> Estimate:
        """Share of the pixels of (N, 19, 19) confusions whose class agrees."""
        return self.mean(np.einsum("nii->n", confusions) / confusions.sum((1, 2)))


def mean_iou(confusions: np.ndarray) -> np.ndarray:
    """IoU (…,), mean of the classes that the truth has, of confusions (…, 19, 19), truth in rows.

    What a parser finds in a pixel or two of a class that no target has does not count as a class.
    """
    right = np.einsum("...ii->...i", confusions)
    truth = confusions.sum(-1)
    union = truth + confusions.sum(-2) - right
    present = truth > 0
    scores = np.where(present, right / np.where(union > 0, union, 1), 0)
    means: np.ndarray = scores.sum(-1) / present.sum(-1)
    return means
