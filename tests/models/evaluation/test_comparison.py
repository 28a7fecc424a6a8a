"""Comparisons of methods: readings against curves known in closed form, seeds, paired differences, written pages."""

from __future__ import annotations

import numpy as np
import pytest

from models.evaluation.comparison import AREA, Comparison
from models.evaluation.comparison_figures import curve_figure
from models.evaluation.comparison_report import tables
from models.evaluation.curves import Outcomes, at_crossing, crossing, read_at
from models.evaluation.figures import leakage_figure

NAMES = ("Smiling", "Young", "Male")
FACES, STRENGTHS = 400, (0.0, 0.5, 1.0, 1.5)


def outcomes(kept: float, identity: float, seed: int, reach: float = 1.0, faces_seed: int = 0) -> Outcomes:
    """An editor that turns a rising share of decisions, keeps a constant share of the others and of identity.

    What makes a face hard is the face's own, the same for all editors.
    """
    faces = np.random.default_rng(faces_seed)
    reference = faces.random((FACES, len(NAMES))) < 0.5
    hard, lost = faces.random((len(NAMES) + 1, FACES)), faces.random((len(NAMES) + 1, FACES, len(NAMES)))
    noise = np.random.default_rng(seed)
    decisions = np.repeat(reference[None, None], len(STRENGTHS), 1).repeat(len(NAMES) + 1, 0)
    for edit in range(len(NAMES) + 1):
        for step, strength in enumerate(STRENGTHS):
            turned = hard[edit] < reach * (0.2 + 0.8 * strength / STRENGTHS[-1])
            changes = lost[edit] > kept + noise.normal(0, 1e-3)
            for column in range(len(NAMES)):
                own = edit in (column, len(NAMES))
                decisions[edit, step, :, column] ^= turned if own else changes[:, column]
    cosine = np.full((len(NAMES) + 1, len(STRENGTHS), FACES), identity) - 0.1 * faces.random(FACES)
    return Outcomes(NAMES, STRENGTHS, reference, decisions, cosine, np.full((3, len(STRENGTHS), FACES), 0.05))


def test_readings_are_those_of_single_curves() -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        accuracy, values = random.random(6), random.random(6)
        levels = np.array([0.1, 0.5, 0.9, 0.99])
        for level, found in zip(levels, read_at(accuracy, values, levels), strict=True):
            place = crossing(accuracy, level)
            assert np.isnan(found) if place is None else found == at_crossing(values, place)


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    """Two methods of three seeds, and one that does not come far."""
    methods = {
        "good": [outcomes(0.98, 0.9, seed) for seed in range(3)],
        "bad": [outcomes(0.90, 0.8, seed) for seed in range(3)],
        "weak": [outcomes(0.99, 0.9, 0, reach=0.6)],
    }
    return Comparison(methods, resamples=200)


def test_values_are_recovered_and_lie_in_their_intervals(comparison: Comparison) -> None:
    summary = comparison.summary("good")
    for method, kept in (("good", 0.98), ("bad", 0.90)):
        average = summary["methods"][method]["curves"]["average"]
        found = average["preservation"]["at"]["0.95"]
        low, high = found["interval"]
        assert low < found["value"] < high and found["value"] == pytest.approx(kept, abs=0.02)
        assert len(found["seeds"]) == 3
        assert average["distance"]["at"]["0.95"]["value"] == pytest.approx(0.05)
    assert summary["methods"]["weak"]["curves"]["average"]["preservation"]["at"]["0.95"] is None
    assert summary["methods"]["weak"]["leakage_at_0.95"] is None
    assert comparison.strength("weak", 0.95) == [None]


def test_differences_are_paired(comparison: Comparison) -> None:
    """Faces are hard for both alike: the difference is far surer than either value."""
    entry = comparison.summary("good")["methods"]["bad"]["curves"]["average"]["identity"]
    low, high = entry["baseline_less_this"]["interval"]
    assert low <= 0.1 <= high + 1e-9 and entry["baseline_less_this"]["value"] == pytest.approx(0.1)
    own = entry["area"]["interval"]
    assert high - low < 0.01 * (own[1] - own[0])
    assert comparison.area("good", "average", "identity")[0].shape == (3,)


def test_who_begins_late_is_not_judged_by_what_others_do_early() -> None:
    """The same law, identity = 1 − accuracy / 2, from 20 and from 70 %: over the same accuracies the same area."""
    late = outcomes(0.95, 0.9, 0)
    rising = outcomes(0.95, 0.9, 0)
    for one, keep in ((late, slice(2, None)), (rising, slice(None))):
        turned = one.flipped()[:-1].mean((0, 2))[keep]
        identity = np.broadcast_to(1 - turned[None, :, None] / 2, (4, len(turned), FACES))
        object.__setattr__(one, "strengths", one.strengths[keep])
        object.__setattr__(one, "decisions", one.decisions[:, keep])
        object.__setattr__(one, "distance", one.distance[:, keep])
        object.__setattr__(one, "identity", identity)
    comparison = Comparison({"rising": [rising], "late": [late]}, resamples=50)
    low, high = comparison.area_range("average")
    assert 0.6 < low < 0.95 == high == AREA[1]
    areas = [comparison.area(name, "average", "identity")[0][0] for name in ("rising", "late")]
    assert areas[0] == pytest.approx(areas[1], abs=1e-6) == pytest.approx(1 - (low + high) / 4, abs=1e-3)
    table = comparison.summary()["methods"]["late"]["curves"]["average"]
    assert table["identity"]["at"]["0.50"] is None and table["begins"] > 0.6
    text = tables(comparison.summary(), None)
    assert f"| 50 % | late: begins at {100 * table['begins']:.1f} % | 1 | – | – | – |" in text


def test_edits_shown_of_a_method_that_begins_above_95_percent_are_its_weakest() -> None:
    strong = outcomes(0.95, 0.9, 0, reach=5.0)
    weak = outcomes(0.95, 0.9, 0, reach=0.6)
    comparison = Comparison({"strong": [strong], "weak": [weak]}, resamples=20)
    assert comparison.strength_shown("strong") == STRENGTHS[0] and comparison.strength_shown("weak") == STRENGTHS[-1]


def test_the_band_is_of_the_place_it_stands_at() -> None:
    """Resamples that fall short of an accuracy say nothing of it; they are not filled up with other accuracies."""
    noisy = Comparison({"m": [outcomes(0.95, 0.9, seed, reach=0.96) for seed in range(3)]}, resamples=200)
    drawn = noisy.drawn("m", "average", "identity")
    for value, low, high in zip(drawn["value"], drawn["low"], drawn["high"], strict=True):
        if value is not None and low is not None and high is not None:
            assert low - 1e-3 <= value <= high + 1e-3 and high - low < 0.02


def test_seeds_widen_the_interval() -> None:
    """Seeds that differ are an uncertainty that more faces do not take away."""
    alike = Comparison({"m": [outcomes(0.95, 0.9, 0) for _ in range(3)]}, resamples=300)
    apart = Comparison({"m": [outcomes(kept, 0.9, 0) for kept in (0.85, 0.93, 1.0)]}, resamples=300)
    widths = [np.ptp(np.percentile(one.area("m", "average", "preservation")[1], [2.5, 97.5])) for one in (alike, apart)]
    assert widths[1] > 2 * widths[0]


def test_other_faces_are_refused() -> None:
    with pytest.raises(ValueError, match="different faces"):
        Comparison({"a": [outcomes(0.9, 0.9, 0)], "b": [outcomes(0.9, 0.9, 0, faces_seed=1)]})


def test_pages_and_figures_say_what_is_not_reached(comparison: Comparison) -> None:
    summary = comparison.summary("good")
    text = tables(summary, "good")
    reached = 100 * summary["methods"]["weak"]["curves"]["average"]["reaches"][0]
    assert f"| 95 % | weak: reaches {reached:.1f} % | 1 | – | – | – |" in text and "good less this" in text
    figure = curve_figure({"inversion": summary, "photo": summary}, anchors=True)
    assert len(figure.axes) == 6 and any("published" in text.get_text() for text in figure.axes[3].texts)
    matrices = {method: entry["leakage_at_0.95"] for method, entry in summary["methods"].items()}
    assert matrices["weak"] is None
    assert [axis.get_title() for axis in leakage_figure(matrices, NAMES).axes][:2] == ["good", "bad"]
