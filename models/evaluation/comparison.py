"""Several methods on the same faces: readings with intervals over seeds and faces, areas, and paired differences.

All methods are resampled together: one resample draws the same faces for each of them, and for each its own seeds (runs
that differ in nothing but their random numbers) with replacement. A difference between two methods is taken within a
resample, so that what makes a face hard for both cancels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from models.evaluation.curves import (
    ACCURACY_LEVELS,
    INTERVAL,
    RESAMPLES,
    Curve,
    Outcomes,
    curves,
    leakage,
    read_at,
    resampling_weights,
)

AREA = (0.5, 0.95)  # accuracies that an area averages over, or from where the last of the methods begins
GRID = np.linspace(0.02, 0.99, 98)  # of drawn curves
LEAKAGE_AT = 0.95
_ENOUGH = 0.5  # share of the resamples that must reach a level for an interval
_QUANTITIES = ("preservation", "identity", "distance")


class Comparison:
    """Methods × seeds on one set of faces, against one reference picture.

    Args:
        outcomes: method → its outcomes, one a seed; the strengths may differ, the faces may not.
        seed: of the resampling.
    Raises:
        ValueError: outcomes of different faces or attributes.
    """

    def __init__(self, outcomes: Mapping[str, Sequence[Outcomes]], seed: int = 0, resamples: int = RESAMPLES) -> None:
        every = [one for seeds in outcomes.values() for one in seeds]
        for one in every:
            if one.attributes != every[0].attributes or not np.array_equal(one.reference, every[0].reference):
                raise ValueError("the methods to compare were measured on different faces")
        self.outcomes = {name: list(seeds) for name, seeds in outcomes.items()}
        self.curves = {name: [curves(one) for one in seeds] for name, seeds in self.outcomes.items()}
        self.weights = resampling_weights(len(every[0].reference), seed, resamples)
        random = np.random.default_rng(seed)
        self._seeds = {
            name: random.integers(0, len(seeds), (resamples, len(seeds))) for name, seeds in self.outcomes.items()
        }

    def readings(self, method: str, curve: str, quantity: str, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Per seed (seeds, K) and per resample (resamples, K) where the accuracy reaches each level.

        A resample is NaN where one of its seeds has no reading.
        """
        per_seed, resampled = [], []
        for entry in self.curves[method]:
            one, values = entry[curve], _values(entry[curve], quantity)
            per_seed.append(read_at(one.flipped.mean(1), values.mean(1), levels))
            resampled.append(read_at((one.flipped @ self.weights.T).T, (values @ self.weights.T).T, levels))
        chosen = np.stack(resampled)[self._seeds[method].T, np.arange(len(self.weights))]
        return np.stack(per_seed), chosen.mean(0)

    def begins(self, curve: str, method: str | None = None) -> float:
        """The highest accuracy that a seed, of one method or of any, has at its lowest strength."""
        methods = self.curves if method is None else [method]
        return max(float(entry[curve].flipped[0].mean()) for name in methods for entry in self.curves[name])

    def area(self, method: str, curve: str, quantity: str) -> tuple[np.ndarray, np.ndarray]:
        """Mean of a quantity over `area_range`: per seed and per resample."""
        low, high = self.area_range(curve)
        per_seed, resampled = self.readings(method, curve, quantity, np.linspace(low, high, 46))
        return per_seed.mean(1), resampled.mean(1)

    def area_range(self, curve: str) -> tuple[float, float]:
        """The accuracies that areas average over, the same for all methods: those that none begins above."""
        return min(max(AREA[0], self.begins(curve)), AREA[1]), AREA[1]

    def drawn(self, method: str, curve: str, quantity: str) -> dict[str, list[float | None]]:
        """A curve over `GRID` with its band, five digits; None where a seed does not reach it or begins above it."""
        per_seed, resampled = self.readings(method, curve, quantity, GRID)
        columns = {"value": per_seed.mean(0), "low": np.full(len(GRID), np.nan), "high": np.full(len(GRID), np.nan)}
        for place in np.flatnonzero(np.isfinite(resampled).mean(0) >= _ENOUGH):
            columns["low"][place], columns["high"][place] = np.nanpercentile(resampled[:, place], INTERVAL)
        shown = np.isfinite(columns["value"])
        return {
            key: [round(float(v), 5) if s and np.isfinite(v) else None for v, s in zip(row, shown, strict=True)]
            for key, row in columns.items()
        }

    def leakage(self, method: str) -> list[list[float]] | None:
        """Mean over seeds of the matrix of kept decisions at 95 % average accuracy; None if one falls short."""
        found = [leakage(one, LEAKAGE_AT) for one in self.outcomes[method]]
        matrices = [entry[0] for entry in found if entry is not None]
        return np.mean(matrices, axis=0).tolist() if len(matrices) == len(found) else None

    def strength(self, method: str, level: float) -> list[float | None]:
        """The strength of each seed at which its average accuracy reaches a level."""
        values = []
        for entry in self.curves[method]:
            one = entry["average"]
            values.append(float(read_at(one.flipped.mean(1), one.strengths, np.array([level]))[0]))
        return [None if np.isnan(value) else value for value in values]

    def strength_shown(self, method: str) -> float:
        """The strength of a method's first run at 95 % average accuracy, or the nearest that was measured."""
        average = self.curves[method][0]["average"]
        found = self.strength(method, LEAKAGE_AT)[0]
        begins_above = average.flipped[0].mean() > LEAKAGE_AT
        return float(average.strengths[0 if begins_above else -1]) if found is None else found

    def summary(self, baseline: str | None = None) -> dict[str, Any]:
        """Everything that is read off, ready for JSON.

        Args:
            baseline: the method that differences are taken to (its value less the other's).
        """
        levels = np.array(ACCURACY_LEVELS)
        ranges = {curve: list(self.area_range(curve)) for curve in next(iter(self.curves.values()))[0]}
        attributes = next(iter(self.outcomes.values()))[0].attributes
        result: dict[str, Any] = {
            "attributes": list(attributes), "accuracy": GRID.tolist(), "areas": ranges, "methods": {},
        }  # fmt: skip
        for method, seeds in self.outcomes.items():
            entry: dict[str, Any] = {"seeds": len(seeds), "curves": {}, "leakage_at_0.95": self.leakage(method)}
            for curve in self.curves[method][0]:
                reaches = [float(one[curve].flipped.mean(1).max()) for one in self.curves[method]]
                table: dict[str, Any] = {"begins": self.begins(curve, method), "reaches": reaches}
                entry["curves"][curve] = table
                for quantity in _QUANTITIES:
                    if _values(self.curves[method][0][curve], quantity) is None:
                        continue
                    per_seed, resampled = self.readings(method, curve, quantity, levels)
                    at = {
                        f"{level:.2f}": estimate(per_seed[:, k], resampled[:, k]) for k, level in enumerate(levels)
                    }
                    table[quantity] = {"at": at, "drawn": self.drawn(method, curve, quantity)}
                    own = self.area(method, curve, quantity)
                    table[quantity]["area"] = estimate(*own)
                    if baseline is not None and baseline != method:
                        other = self.area(baseline, curve, quantity)
                        table[quantity]["baseline_less_this"] = estimate(*less(other, own))
            entry["strength_at_0.95"] = self.strength(method, LEAKAGE_AT)
            result["methods"][method] = entry
        return result


def _values(curve: Curve, quantity: str) -> Any:
    return {"preservation": curve.preserved, "identity": curve.identity, "distance": curve.distance}[quantity]


def less(first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The first area less the second, of the means over seeds and within each resample."""
    return np.atleast_1d(first[0].mean() - second[0].mean()), first[1] - second[1]


def estimate(per_seed: np.ndarray, resampled: np.ndarray) -> dict[str, Any] | None:
    """For JSON: mean and value of the seeds, interval, share of resamples with a value; None where a seed has none."""
    known = float(np.isfinite(resampled).mean())
    if np.isnan(per_seed).any():
        return None
    bounds = [float(bound) for bound in np.nanpercentile(resampled, INTERVAL)] if known >= _ENOUGH else None
    return {"value": float(per_seed.mean()), "interval": bounds, "resamples": known, "seeds": per_seed.tolist()}
