"""InterFaceGAN: a linear support vector machine for each attribute, fitted at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from sklearn.svm import SVC
from torch import Tensor

from models.domain import Domain
from models.editors.interfacegan import InterFaceGANEditor
from training.editing import AttributeEditorMethod, codes_and_scores
from training.method import Items, Phase
from utils.ranges import MANY, Between


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
        share: of the codes at either end that is taken; above 1, their number.
        training_share: of these; the others measure the accuracy.
    Raises:
        ValueError: so few codes that none is left to train or to measure.
    """
    count = min(int(share if share > 1 else len(codes) * share), len(codes) // 2)
    training = int(count * training_share)
    if not 0 < training < count:
        raise ValueError(f"{count} codes at either end are too few to train on {training} and test on the rest")
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


class InterFaceGANMethod(AttributeEditorMethod):
    """No phases: `fit` finds the hyperplane of each attribute and reports its accuracy on held-out extreme codes.

    Args:
        space: `w+`, a normal over all rows of a code, or `w`, one over the mean of the rows, which moves them alike.
        share, training_share: see `fit_boundary`.
        conditional: edit along normals that are freed of each other.
        seed: of the choice of held-out codes.
    """

    normals: Tensor
    intercepts: Tensor
    gaps: Tensor

    def __init__(
        self,
        domain: Domain,
        space: Literal["w", "w+"] = "w+",
        share: Annotated[float, Between(0, MANY, above=True)] = 0.02,
        training_share: Annotated[float, Between(0, 1, above=True, below=True)] = 0.7,
        conditional: bool = True,
        seed: Annotated[int, Between(0, 2**32 - 1)] = 0,
    ) -> None:
        super().__init__(domain)
        self.space, self.share, self.training_share, self.seed = space, share, training_share, seed
        self.settings = {"conditional": conditional}
        count, rows = len(domain.attributes), domain.styles if space == "w+" else 1
        self.register_buffer("normals", torch.zeros(count, rows, domain.style_dim))
        self.register_buffer("intercepts", torch.zeros(count))
        self.register_buffer("gaps", torch.ones(count))

    def phases(self) -> list[Phase]:
        return []

    def fit(self, data: Items) -> dict[str, float]:
        codes, scores = codes_and_scores(data)
        seen = (codes if self.space == "w+" else codes.mean(1)).flatten(1)
        measures = {}
        for column, name in enumerate(self.domain.attributes):
            random = np.random.RandomState(self.seed)
            one = scores[:, column]
            boundary = fit_boundary(seen.numpy(), one.numpy(), random, self.share, self.training_share)
            normal = torch.from_numpy(boundary.normal)
            spread = one - one.mean()
            if not bool(spread.any()):
                raise ValueError(f"{name} has the same score for all codes: no hyperplane can be fitted")
            self.normals[column] = normal.view_as(self.normals[column])
            self.intercepts[column] = boundary.intercept
            self.gaps[column] = (seen @ normal) @ spread / spread.square().sum()
            measures[f"accuracy_{name}"] = boundary.accuracy
        return measures

    def editor(self) -> InterFaceGANEditor:
        return InterFaceGANEditor(self.normals, self.intercepts, self.gaps, self.domain.attributes, **self.settings)
