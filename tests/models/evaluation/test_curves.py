"""Curves, readings, leakage and bootstrap on outcomes whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from models.evaluation.curves import (
    Outcomes,
    at_crossing,
    crossing,
    curves,
    interval,
    leakage,
    read_at,
    reading,
    resampling_weights,
    summary,
    unread,
)
from models.evaluation.report import attributes_table, leakage_table, readings_table

NAMES = ("Eyeglasses", "Male", "Young")


def outcomes(turned: np.ndarray, others_turned: np.ndarray, seed: int = 0) -> Outcomes:
    """Outcomes with given shares: turned (A, S) of the edited attribute, others_turned (A, S, A) of the others."""
    count, size, steps = 2000, len(NAMES), turned.shape[1]
    draw = np.random.default_rng(seed)
    reference = draw.random((count, size)) < 0.5
    decisions = np.empty((size + 1, steps, count, size), dtype=bool)
    for edited in range(size + 1):
        for step in range(steps):
            for column in range(size):
                own = edited == size or column == edited
                share = turned[column, step] if own else others_turned[edited, step, column]
                changed = np.arange(count) < round(share * count)
                decisions[edited, step, :, column] = reference[:, column] ^ draw.permutation(changed)
    identity = np.broadcast_to(1 - 0.1 * np.arange(steps)[None, :, None], (size + 1, steps, count)).copy()
    return Outcomes(NAMES, tuple(float(s) for s in range(steps)), reference, decisions, identity)


def test_a_perfect_editor_scores_one_everywhere() -> None:
    perfect = outcomes(np.ones((3, 2)), np.zeros((3, 2, 3)))
    average = curves(perfect)["average"]
    assert (average.flipped == 1).all() and (average.preserved == 1).all()  # type: ignore[union-attr]
    matrix, _ = leakage(perfect, 1.0)  # type: ignore[misc]
    assert (matrix == 1).all()


def test_an_editor_that_does_nothing_preserves_all_and_reaches_nothing() -> None:
    idle = outcomes(np.zeros((3, 2)), np.zeros((3, 2, 3)))
    result = summary(idle, 0)
    assert result["curves"]["average"]["accuracy"] == [0, 0]  # type: ignore[index]
    assert result["curves"]["average"]["preservation"] == [1, 1]  # type: ignore[index]
    assert all(entry is None for entry in result["readings"]["average"].values())  # type: ignore[index]
    assert result["leakage_at_0.95"] is None


def test_shares_come_back_as_accuracy_preservation_and_leakage() -> None:
    turned = np.array([[0.5, 0.9], [0.6, 1.0], [0.7, 0.8]])
    others = np.zeros((3, 2, 3))
    others[0, :, 1], others[0, :, 2], others[2, 1, 0] = 0.1, 0.3, 0.5
    result = curves(outcomes(turned, others))
    assert result["Male"].flipped.mean(1) == pytest.approx([0.6, 1.0])
    assert result["average"].flipped.mean(1) == pytest.approx(turned.mean(0))
    assert result["Eyeglasses"].preserved.mean(1) == pytest.approx([0.8, 0.8])  # type: ignore[union-attr]
    assert result["Young"].preserved.mean(1) == pytest.approx([1.0, 0.75])  # type: ignore[union-attr]
    assert result["all at once"].flipped.mean(1) == pytest.approx(turned.mean(0))
    matrix, where = leakage(outcomes(turned, others), 0.9)  # type: ignore[misc]
    assert matrix[0] == pytest.approx([0.9, 0.9, 0.7]) and matrix[2, 0] == pytest.approx(0.5)
    assert "strength 1" in where


@pytest.mark.parametrize(
    ("accuracy", "level", "strength"),
    [
        ([0.0, 0.5, 1.0], 0.75, 1.5),
        ([0.1, 0.95, 0.9], 0.95, 1.0),
        ([0.504, 0.8, 0.7], 0.5, 0.0),  # 50 % where whole per cents are shown
        ([0.6, 0.8, 0.7], 0.5, None),
        ([0.2, 0.4], 0.5, None),
    ],
)
def test_a_curve_is_read_where_it_first_reaches_the_level_and_nowhere_before_it_begins(
    accuracy: list[float], level: float, strength: float | None
) -> None:
    place = crossing(np.array(accuracy), level)
    strengths = np.arange(len(accuracy), dtype=float)
    found = None if place is None else at_crossing(strengths, place)
    assert found == (None if strength is None else pytest.approx(strength))
    (many,) = read_at(np.array(accuracy), strengths, np.array([level]))
    assert many == pytest.approx(np.nan if strength is None else strength, nan_ok=True)
    assert bool(unread(level, accuracy[0], max(accuracy))) == (strength is None)


def test_a_reading_that_there_is_not_has_its_reason_in_json_and_table() -> None:
    late = summary(outcomes(np.array([[0.72, 0.96]] * 3), np.zeros((3, 2, 3))), 0)
    readings, accuracies = late["readings"]["average"], late["accuracies"]["average"]  # type: ignore[index]
    assert readings["0.50"] is None and readings["0.90"] is not None and readings["0.97"] is None
    assert accuracies == {"begins": pytest.approx(0.72), "reaches": pytest.approx(0.96)}
    lines = readings_table({"late": {"photo": late}}).splitlines()
    assert "| late | photo | 50 % | begins at 72.0 % | – | – |" in lines
    assert "| late | photo | 97 % | reaches 96.0 % | – | – |" in lines
    above = summary(outcomes(np.array([[0.97, 1.0]] * 3), np.zeros((3, 2, 3))), 0)
    assert above["leakage_at_0.95"] is None and "begins at 97.0 %" in leakage_table(above)
    assert attributes_table(above, NAMES[:1]).splitlines()[-1] == (
        "| Eyeglasses | begins at 97.0 % | begins at 97.0 % | – | – |"
    )


def test_a_reading_interpolates_preservation_and_identity() -> None:
    turned = np.array([[0.8, 1.0]] * 3)
    others = np.zeros((3, 2, 3))
    others[:, 1] = 0.2
    found = reading(curves(outcomes(turned, others))["average"], 0.95)
    assert found == pytest.approx({"strength": 0.75, "preservation": 0.85, "identity": 0.925})


def test_bootstrap_intervals_cover_and_shrink_as_the_binomial_says() -> None:
    draw = np.random.default_rng(1)
    widths = {}
    for count in (100, 1600):
        covered = 0
        for trial in range(40):
            values = (draw.random(count) < 0.3).astype(float)
            low, high = interval(values[None], resampling_weights(count, trial, 300))
            covered += bool(low[0] <= 0.3 <= high[0])
            widths[count] = float(high[0] - low[0])
        assert covered >= 33
        assert widths[count] == pytest.approx(2 * 1.96 * np.sqrt(0.21 / count), rel=0.25)
    assert widths[100] / widths[1600] == pytest.approx(4, rel=0.3)


def test_a_summary_depends_on_its_seed_alone() -> None:
    values = outcomes(np.array([[0.5, 0.99]] * 3), np.zeros((3, 2, 3)))
    assert summary(values, 3) == summary(values, 3)
    assert summary(values, 3) != summary(values, 4)
