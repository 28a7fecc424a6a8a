"""How near generated pictures are to real ones as a whole: Fréchet distance, precision, recall, density and coverage.

Both are computed from features of pictures and by the packages that the published numbers can be compared with,
torch-fidelity and prdc; neither needs all features or all distances in memory at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from utils.torchvision_operators import torchvision  # noqa: F401 (torch-fidelity imports it)

_DISTANCES = 2**24  # at once; prdc needs sixteen bytes for each


class Moments:
    """Mean and covariance of features that come in portions.

    Attributes:
        count: of the rows so far.
    """

    def __init__(self, portions: Iterable[np.ndarray] = ()) -> None:
        self.count = 0
        self._origin: np.ndarray = np.zeros(0)  # sums about a place near the mean keep their digits
        self._sums: np.ndarray = np.zeros(0)
        self._products: np.ndarray = np.zeros((0, 0))
        for features in portions:
            self.add(features)

    def add(self, features: np.ndarray) -> None:
        """Features (B, F) of further pictures."""
        features = np.asarray(features, np.float64)
        if not self.count:
            self._origin = features.mean(0)
            self._sums, self._products = np.zeros(features.shape[1]), np.zeros((features.shape[1],) * 2)
        offsets = features - self._origin
        self.count += len(features)
        self._sums += offsets.sum(0)
        self._products += offsets.T @ offsets

    @property
    def mean(self) -> np.ndarray:
        """(F,)."""
        return self._origin + self._sums / self.count

    @property
    def covariance(self) -> np.ndarray:
        """(F, F), with the divisor count − 1.

        Raises:
            ValueError: fewer than two rows.
        """
        if self.count < 2:
            raise ValueError(f"{self.count} samples: a covariance needs two or more")
        return (self._products - np.outer(self._sums, self._sums) / self.count) / (self.count - 1)


def frechet_distance_of(generated: Moments, real: Moments) -> float:
    """Squared Fréchet distance of two normal distributions, as torch-fidelity computes it; with Inception's features
    the FID ("GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium", 2017, eq. 6).

    Raises:
        ValueError: fewer than two rows.
    """
    from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_statistics_to_metric

    first, second = ({"mu": of.mean, "sigma": of.covariance} for of in (generated, real))
    return float(fid_statistics_to_metric(first, second, verbose=False)[KEY_METRIC_FID])


@dataclass(frozen=True)
class Neighbourhoods:
    """Shares of pictures that lie among those of the other set ("Reliable Fidelity and Diversity Metrics for Generative
    Models", 2020). The ball of a picture reaches to its k-th neighbour; what lies on its surface is outside.

    Attributes:
        precision: generated pictures in the ball of a real one.
        recall: real pictures in the ball of a generated one.
        density: mean number of real balls in which a generated picture lies, over k.
        coverage: real pictures in whose ball a generated one lies.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def radii(features: np.ndarray, neighbours: int) -> np.ndarray:
    """Distance (N,) of each row of (N, F) to the k-th nearest other row.

    Raises:
        ValueError: fewer than k + 2 rows.
    """
    from prdc.prdc import get_kth_value

    if len(features) < neighbours + 2:
        raise ValueError(f"{len(features)} samples are too few for {neighbours} neighbours")
    # a row is its own nearest
    parts = [get_kth_value(distances, neighbours + 1) for _, distances in _distances(features, features)]
    return np.concatenate(parts)


def neighbourhoods(real: np.ndarray, generated: np.ndarray, neighbours: int = 3) -> Neighbourhoods:
    """The four shares for features (N, F) and (M, F).

    Raises:
        ValueError: too few samples.
    """
    of_real, of_generated = radii(real, neighbours), radii(generated, neighbours)
    inside, balls = np.zeros(len(generated), bool), 0
    recalled, covered = 0, 0
    for rows, distances in _distances(real, generated):
        within = distances < of_real[rows, None]
        inside |= within.any(0)
        balls += int(within.sum())
        recalled += int((distances < of_generated).any(1).sum())
        covered += int((distances.min(1) < of_real[rows]).sum())
    return Neighbourhoods(
        precision=float(inside.mean()),
        recall=recalled / len(real),
        density=balls / (neighbours * len(generated)),
        coverage=covered / len(real),
    )


def _distances(first: np.ndarray, second: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Rows of the first (N, F), and their distances (rows, M) to all of the second (M, F)."""
    from prdc.prdc import compute_pairwise_distance

    size = max(1, _DISTANCES // len(second))
    for start in range(0, len(first), size):
        rows = slice(start, min(start + size, len(first)))
        yield rows, compute_pairwise_distance(first[rows], second)
