"""Accuracy, preservation and identity of edits, their bootstrap intervals, and readings off the curves.

The protocol is AdaTrans' (ICCV 2023), as the paper's Figure 4 uses it: an edit turns one attribute to the other side of
a judge's decision; accuracy is the share of faces whose decision turned, preservation the share of the other
attributes' decisions that stayed, identity the mean cosine of face embeddings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ACCURACY_LEVELS = (0.5, 0.9, 0.95, 0.97, 0.99)
STARTS = 0.005  # by so much a curve may begin above an accuracy at which it is read: tables show whole per cents
RESAMPLES = 1000
INTERVAL = (2.5, 97.5)  # percentiles


@dataclass(frozen=True)
class Outcomes:
    """What a judge and a recognition network said of edits, face by face.

    Attributes:
        attributes: names (A).
        strengths: (S,), increasing.
        reference: (N, A) bool, the decisions that the edits were to turn.
        decisions: (A + 1, S, N, A) bool, after editing each attribute alone and, last, all at once.
        identity: (A + 1, S, N), cosine to the reference picture.
        distance: (A, S, N), pixel distance to the true counterfactual where there is one, else None.
    """

    attributes: tuple[str, ...]
    strengths: tuple[float, ...]
    reference: np.ndarray
    decisions: np.ndarray
    identity: np.ndarray
    distance: np.ndarray | None = None

    def flipped(self) -> np.ndarray:
        """(A + 1, S, N): 1 where the edited attribute's decision turned; for all at once, the share that did."""
        turned = self.decisions != self.reference
        singles = [turned[column, :, :, column] for column in range(len(self.attributes))]
        return np.stack([*singles, turned[-1].mean(-1)]).astype(np.float64)

    def preserved(self) -> np.ndarray:
        """(A, S, N): share of the other attributes' decisions that stayed, for each attribute edited alone."""
        kept = self.decisions[:-1] == self.reference
        size = len(self.attributes)
        others = [kept[c][..., [o for o in range(size) if o != c]].mean(-1) for c in range(size)]
        return np.stack(others).astype(np.float64)

    def kept(self) -> np.ndarray:
        """(A, A, S): share of faces whose decision on the second attribute stayed when the first was edited."""
        shares: np.ndarray = (self.decisions[:-1] == self.reference).mean(2)
        kept: np.ndarray = shares.transpose(0, 2, 1)
        return kept


@dataclass(frozen=True)
class Curve:
    """Per strength and face: accuracy, preservation (None for all at once), identity, distance to the drawn truth."""

    strengths: np.ndarray
    flipped: np.ndarray  # (S, N)
    preserved: np.ndarray | None
    identity: np.ndarray
    distance: np.ndarray | None = None


def curves(outcomes: Outcomes) -> dict[str, Curve]:
    """One curve an attribute, `average` over the attributes at equal strength, and `all at once`."""
    flipped, preserved, distance = outcomes.flipped(), outcomes.preserved(), outcomes.distance
    distances = [None] * len(preserved) if distance is None else list(distance)
    strengths = np.asarray(outcomes.strengths)
    result = {
        name: Curve(strengths, flipped[c], preserved[c], outcomes.identity[c], distances[c])
        for c, name in enumerate(outcomes.attributes)
    }
    mean_identity = outcomes.identity[:-1].mean(0)
    mean_distance = None if distance is None else distance.mean(0)
    result["average"] = Curve(strengths, flipped[:-1].mean(0), preserved.mean(0), mean_identity, mean_distance)
    result["all at once"] = Curve(strengths, flipped[-1], None, outcomes.identity[-1])
    return result


def resampling_weights(count: int, seed: int, resamples: int = RESAMPLES) -> np.ndarray:
    """(R, N) weights whose rows average to a mean over faces drawn with replacement."""
    draws = np.random.default_rng(seed).integers(0, count, size=(resamples, count))
    return np.stack([np.bincount(row, minlength=count) for row in draws]) / count


def interval(values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """95 % bootstrap interval of the mean over the last axis, (…, N) → low (…), high (…)."""
    means = values @ weights.T
    low, high = np.percentile(means, INTERVAL, axis=-1)
    return low, high


def crossing(accuracy: np.ndarray, level: float) -> tuple[int, float] | None:
    """Where a curve first reaches an accuracy: (index, share of the step from index − 1 to index), or None.

    Between two strengths the curve is taken as straight. Nothing is known of it before its first strength: where it
    begins more than half a point above the level, there is no reading.
    """
    above = np.flatnonzero(accuracy >= level)
    if not len(above) or accuracy[0] > level + STARTS:
        return None
    index = int(above[0])
    if index == 0:
        return 0, 1.0
    return index, float((level - accuracy[index - 1]) / (accuracy[index] - accuracy[index - 1]))


def at_crossing(values: np.ndarray, place: tuple[int, float]) -> np.ndarray:
    """Value of a quantity (S, …) at a crossing."""
    index, share = place
    before = values[max(index - 1, 0)]
    return np.asarray(values[0] if index == 0 else before + share * (values[index] - before))


def read_at(accuracy: np.ndarray, values: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """`at_crossing` for many curves and levels: values (…, K) at the `crossing` of accuracies (…, S), or NaN."""
    above = accuracy[..., None, :] >= levels[:, None]
    after = above.argmax(-1)
    before = np.maximum(after - 1, 0)
    low, high = (np.take_along_axis(accuracy, index, -1) for index in (before, after))
    share = np.where(after > before, (levels - low) / np.where(high > low, high - low, 1), 1.0)
    first, second = (np.take_along_axis(values, index, -1) for index in (before, after))
    known = above.any(-1) & (accuracy[..., :1] <= levels + STARTS)
    return np.where(known, first + share * (second - first), np.nan)


def unread(level: float, begins: float, reaches: float) -> str:
    """Why a curve from `begins` to `reaches` has no reading at an accuracy, for a table; empty if it has one."""
    if reaches < level:
        return f"reaches {100 * reaches:.1f} %"
    return f"begins at {100 * begins:.1f} %" if begins > level + STARTS else ""


def reading(curve: Curve, level: float, weights: np.ndarray | None = None) -> dict[str, object] | None:
    """Strength, preservation and identity at a curve's `crossing` of an accuracy, with intervals; None without one.

    Args:
        weights: of `resampling_weights`; an interval is over the resamples that reach the accuracy.
    """
    place = crossing(curve.flipped.mean(1), level)
    if place is None:
        return None
    quantities = {"preservation": curve.preserved, "identity": curve.identity}
    known = {name: values for name, values in quantities.items() if values is not None}
    result: dict[str, object] = {"strength": float(at_crossing(curve.strengths, place))}
    result |= {name: float(at_crossing(values.mean(1), place)) for name, values in known.items()}
    if weights is None:
        return result
    accuracy = (curve.flipped @ weights.T).T
    for name, values in known.items():
        found = read_at(accuracy, (values @ weights.T).T, np.array([level]))
        reached = found[np.isfinite(found)]
        if len(reached):
            result[f"{name}_interval"] = np.percentile(reached, INTERVAL).tolist()
    return result


def leakage(outcomes: Outcomes, level: float) -> tuple[np.ndarray, str] | None:
    """Matrix (A, A) of kept decisions, edited attribute × attribute, where the average accuracy is `level`.

    The diagonal holds the accuracy of the edit itself. None where the average has no `crossing`.
    """
    average = curves(outcomes)["average"]
    place = crossing(average.flipped.mean(1), level)
    if place is None:
        return None
    matrix = np.asarray(at_crossing(np.moveaxis(outcomes.kept(), -1, 0), place))
    accuracy = at_crossing(outcomes.flipped()[:-1].mean(2).T, place)
    np.fill_diagonal(matrix, accuracy)
    return matrix, f"strength {float(at_crossing(average.strengths, place)):.3g}, linear between the strengths measured"


def summary(outcomes: Outcomes, seed: int, levels: Sequence[float] = ACCURACY_LEVELS) -> dict[str, object]:
    """Everything that is read off outcomes, ready for JSON; a reading is None where `accuracies` do not include it."""
    weights = resampling_weights(len(outcomes.reference), seed)
    table: dict[str, object] = {}
    ranges: dict[str, object] = {}
    readings: dict[str, object] = {}
    for name, curve in curves(outcomes).items():
        columns: dict[str, list[float]] = {}
        quantities = {"accuracy": curve.flipped, "preservation": curve.preserved, "identity": curve.identity}
        for quantity, values in quantities.items():
            if values is not None:
                low, high = interval(values, weights)
                columns[quantity] = values.mean(1).tolist()
                columns |= {f"{quantity}_low": low.tolist(), f"{quantity}_high": high.tolist()}
        table[name] = columns
        ranges[name] = {"begins": columns["accuracy"][0], "reaches": max(columns["accuracy"])}
        readings[name] = {f"{level:.2f}": reading(curve, level, weights) for level in levels}
    found = leakage(outcomes, 0.95)
    order = list(outcomes.attributes)
    matrix = None if found is None else {"matrix": found[0].tolist(), "where": found[1], "order": order}
    return {
        "strengths": list(outcomes.strengths), "curves": table, "accuracies": ranges, "readings": readings,
        "leakage_at_0.95": matrix,
    }  # fmt: skip
