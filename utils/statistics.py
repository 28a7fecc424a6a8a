"""Measures on samples: ranking by scores, correlation, and distances of distributions of features."""

from __future__ import annotations

import numpy as np
from scipy import linalg, stats


def roc_auc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Probability that a random positive's score is above a random negative's; ties count one half.

    Args:
        positive, negative: scores (N,) and (M,).
    Raises:
        ValueError: one of them is empty.
    """
    positive, negative = np.ravel(positive), np.ravel(negative)
    if not positive.size or not negative.size:
        raise ValueError(f"{positive.size} positive and {negative.size} negative scores: both are needed")
    ranks = stats.rankdata(np.concatenate([positive, negative]))
    above = ranks[: positive.size].sum() - positive.size * (positive.size + 1) / 2
    return float(above / (positive.size * negative.size))


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's correlation of two samples (N,); NaN where one of them is constant."""
    first, second = np.ravel(first), np.ravel(second)
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(stats.spearmanr(first, second).statistic)


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Squared Fréchet distance of the normal distributions fitted to two samples of features (N, F) and (M, F).

    ‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2 (Σ₁Σ₂)^½), "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash
    Equilibrium" (2017), eq. 6. The trace of the root is the sum of the singular values of Σ₁^½ Σ₂^½, which stays real
    and accurate for covariances without full rank.

    Raises:
        ValueError: fewer than two rows, or other widths.
    """
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
        raise ValueError(f"features of shapes {first.shape} and {second.shape} cannot be compared")
    if len(first) < 2 or len(second) < 2:
        raise ValueError(f"{len(first)} and {len(second)} samples: a covariance needs two or more")
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    covariances = np.atleast_2d(np.cov(first, rowvar=False)), np.atleast_2d(np.cov(second, rowvar=False))
    offset = first.mean(0) - second.mean(0)
    root = linalg.svdvals(_root(covariances[0]) @ _root(covariances[1])).sum()
    return float(max(offset @ offset + np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * root, 0.0))


def _root(covariance: np.ndarray) -> np.ndarray:
    values, vectors = linalg.eigh(covariance)
    return (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T


def total_variance(features: np.ndarray) -> float:
    """Trace of the covariance of features (N, F)."""
    return float(np.asarray(features, np.float64).var(axis=0, ddof=1).sum())
