"""Measures against brute force and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import linalg

from utils.statistics import frechet_distance, rank_correlation, roc_auc, total_variance


def test_auc_is_the_share_of_ordered_pairs_with_ties_as_halves() -> None:
    rng = np.random.default_rng(0)
    positive, negative = rng.integers(0, 9, 40) / 8 + 0.2, rng.integers(0, 12, 30) / 8
    pairs = [(p > n) + 0.5 * (p == n) for p in positive for n in negative]
    assert roc_auc(positive, negative) == pytest.approx(np.mean(pairs), abs=1e-12)
    assert roc_auc(positive, negative) + roc_auc(negative, positive) == pytest.approx(1)


def test_auc_of_constant_scores_is_chance() -> None:
    assert roc_auc(np.ones(7), np.ones(3)) == 0.5


def test_auc_needs_both_kinds() -> None:
    with pytest.raises(ValueError, match="0 negative"):
        roc_auc(np.ones(3), np.ones(0))


def test_rank_correlation_sees_order_alone() -> None:
    x = np.random.default_rng(1).standard_normal(50)
    assert rank_correlation(x, np.exp(x)) == pytest.approx(1)
    assert rank_correlation(x, -(x**3)) == pytest.approx(-1)
    assert np.isnan(rank_correlation(x, np.zeros(50)))


def test_frechet_distance_is_the_published_formula() -> None:
    rng = np.random.default_rng(2)
    first = rng.standard_normal((400, 5)) @ rng.standard_normal((5, 5))
    second = rng.standard_normal((300, 5)) @ rng.standard_normal((5, 5)) + 0.3
    a, b = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    offset = np.sum((first.mean(0) - second.mean(0)) ** 2)
    expected = offset + np.trace(a + b - 2 * np.real(linalg.sqrtm(a @ b)))
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(second, first) == pytest.approx(expected, rel=1e-6)


def test_frechet_distance_of_a_moved_copy_is_the_squared_move_whatever_the_rank() -> None:
    flat = np.zeros((50, 8))
    flat[:, :2] = np.random.default_rng(3).standard_normal((50, 2))
    move = np.arange(8) / 4
    assert frechet_distance(flat, flat) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(flat, flat + move) == pytest.approx(move @ move, rel=1e-9)


def test_frechet_distance_refuses_what_has_no_covariance() -> None:
    with pytest.raises(ValueError, match="two or more"):
        frechet_distance(np.zeros((1, 3)), np.zeros((9, 3)))
    with pytest.raises(ValueError, match="cannot be compared"):
        frechet_distance(np.zeros((5, 3)), np.zeros((5, 4)))


def test_total_variance_adds_up_over_features() -> None:
    x = np.random.default_rng(4).standard_normal((30, 4)) * [1, 2, 3, 4]
    assert total_variance(x) == pytest.approx(np.trace(np.cov(x, rowvar=False)))
