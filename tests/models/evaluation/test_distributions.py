"""Measures of whole sets of pictures: the published numbers, in portions, without all distances at once."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from prdc.prdc import compute_prdc

from models.evaluation import distributions
from models.evaluation.distributions import Moments, frechet_distance_of, neighbourhoods, radii
from scripts.check_golden import find_builder
from scripts.checks.golden.case import run_case
from utils.statistics import frechet_distance

GOLDEN = Path(__file__).parents[2] / "golden"


def drawn(seed: int, count: int, width: int = 8, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, width), np.float32) + np.float32(shift)


def test_recorded_numbers() -> None:
    result = run_case(GOLDEN / "wpp_metrics.json", find_builder("wpp_metrics"))
    assert result.passed, "\n".join(result.failures())


@pytest.mark.parametrize("rows", [1, 7, 10_000])
def test_portions_do_not_matter(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = drawn(0, 60), drawn(1, 45, shift=0.3)
    monkeypatch.setattr(distributions, "_DISTANCES", 60 * rows)
    assert vars(neighbourhoods(real, fake, 3)) == pytest.approx(compute_prdc(real, fake, 3))
    features = drawn(2, 50, shift=100.0)
    moments = Moments(np.array_split(features, range(rows, 50, rows)))
    assert moments.count == 50
    np.testing.assert_allclose(moments.mean, features.astype(np.float64).mean(0), rtol=1e-12)
    np.testing.assert_allclose(
        moments.covariance, np.cov(features.astype(np.float64), rowvar=False), rtol=1e-9, atol=1e-9
    )


def test_the_memory_does_not_grow_with_the_square(monkeypatch: pytest.MonkeyPatch) -> None:
    features = drawn(0, 4000)
    monkeypatch.setattr(distributions, "_DISTANCES", 2**18)
    tracemalloc.start()
    try:
        radii(features, 3)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * len(features) ** 2 / 4  # a quarter of one matrix of all distances


def test_a_point_on_the_surface_is_outside() -> None:
    real = np.array([[0.0], [1.0], [2.0], [10.0]], np.float32)
    assert radii(real, 1).tolist() == [1, 1, 1, 8]
    at_the_edge, within = np.full((3, 1), 3, np.float32), np.full((3, 1), 2.5, np.float32)
    assert neighbourhoods(real[:3], at_the_edge, 1).precision == 0
    assert neighbourhoods(real[:3], within, 1).precision == 1


def test_the_distance_is_that_of_samples() -> None:
    real, fake = drawn(0, 200), drawn(1, 150, shift=0.5)
    assert frechet_distance_of(Moments([fake]), Moments([real])) == pytest.approx(
        frechet_distance(fake, real), rel=1e-6
    )
    with pytest.raises(ValueError, match="1 samples: a covariance needs two or more"):
        frechet_distance_of(Moments([fake[:1]]), Moments([real]))
    with pytest.raises(ValueError, match="4 samples are too few for 3 neighbours"):
        radii(real[:4], 3)
