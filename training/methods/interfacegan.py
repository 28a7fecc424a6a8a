"""InterFaceGAN: a linear support vector machine for each attribute, fitted at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.svm import SVC


@dataclass
class Boundary:
    """A hyperplane between codes without and with an attribute.

    Attributes:
        normal: unit vector (P,), pointing to the high scores.
        intercept: signed distance of the origin.
        accuracy: share of the held-out extreme samples on their side.
        training: rows of the positive and of the negative training samples.
    """

    normal: np.ndarray
    intercept: float
    accuracy: float
    training: tuple[np.ndarray, np.ndarray]


def fit_boundary(
    codes: np.ndarray,
    scores: np.ndarray,
    random: np.random.RandomState,
    share: float = 0.02,
    training_share: float = 0.7,
) -> Boundary:
    """The hyperplane that parts the highest from the lowest scored codes, as the published code fits it.

    Args:
        codes: (N, P).
        scores: (N,).
        random: decides which of the extreme samples are held out.
        share: of the codes at either end that is taken.
        training_share: of these; the others measure the accuracy.
    Raises:
        ValueError: so few codes that none is left to train or to measure.
    """
    count = min(int(len(codes) * share), len(codes) // 2)
    training = int(count * training_share)
    if not 0 < training < count:
        raise ValueError(f"{count} codes at either end are too few to learn from {training} and test with the others")
    order = np.argsort(scores)[::-1]
    ends = order[:count], order[-count:]
    for rows in ends:
        random.shuffle(rows)
    labels = np.repeat([1, 0], training)
    machine = SVC(kernel="linear").fit(codes[np.concatenate([rows[:training] for rows in ends])], labels)
    held_out = codes[np.concatenate([rows[training:] for rows in ends])]
    accuracy = machine.score(held_out, np.repeat([1, 0], count - training))
    length = float(np.linalg.norm(machine.coef_))
    normal = (machine.coef_[0] / length).astype(np.float32)
    return Boundary(normal, float(machine.intercept_[0]) / length, accuracy, (ends[0][:training], ends[1][:training]))
