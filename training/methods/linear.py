"""Linear directions: least squares at once, the cheapest of the peers."""

from __future__ import annotations

import torch
from torch import Tensor

from models.domain import Domain
from models.editors.linear import LinearDirectionsEditor
from training.editing import AttributeEditorMethod, codes_and_scores
from training.method import Items, Phase
from utils.ranges import Positive


class LinearDirectionsMethod(AttributeEditorMethod):
    """No phases: `fit` finds the directions and the readout.

    Args:
        ridge: see `LinearDirectionsEditor.fit`.
    """

    directions: Tensor
    readout: Tensor

    def __init__(self, domain: Domain, ridge: Positive = 1e-2) -> None:
        super().__init__(domain)
        self.ridge = ridge
        count, rows, width = len(domain.attributes), domain.styles, domain.style_dim
        self.register_buffer("directions", torch.zeros(count, rows, width))
        self.register_buffer("readout", torch.zeros(rows * width + 1, count))

    def phases(self) -> list[Phase]:
        return []

    def fit(self, data: Items) -> dict[str, float]:
        """Shares of the classifier's variance that the readout explains, by attribute."""
        codes, scores = codes_and_scores(data)
        fitted = LinearDirectionsEditor.fit(codes, scores, self.domain.attributes, self.ridge)
        self.directions.copy_(fitted.directions)
        self.readout.copy_(fitted.readout)
        explained = 1 - (fitted.read(codes, codes) - scores).var(0) / scores.var(0)
        return {f"explained_{name}": float(v) for name, v in zip(self.domain.attributes, explained, strict=True)}

    def editor(self) -> LinearDirectionsEditor:
        return LinearDirectionsEditor(self.directions, self.readout, self.domain.attributes)
