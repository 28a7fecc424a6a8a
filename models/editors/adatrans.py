"""AdaTrans: for each attribute a path of adaptive steps, as many as an edit is strong ("Adaptive Nonlinear Latent
Transformation for Conditional Face Editing", 2023).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from models.adatrans import AdaTrans
from models.domain import Domain
from models.editors.base import AttributeEditor
from models.editors.stored import StoredEditor

MOST_STEPS = 10


class AdaTransEditor(AttributeEditor):
    """s = C(I), the frozen classifier's; w_e = w + Σ_a (p_a − w), with p_a a place on attribute a's path from w.

    A path's condition is 1 where ŝ is above s, −1 where it is below. Its length, at most ten steps, is `steps` for a
    change of s by 1; between two states the code is interpolated. (The published evaluation strengthens edits by whole
    steps. Several attributes are also published as the sum of paths that all begin at w.)

    Args:
        transformers: one for each attribute, each of a single condition.
        steps: length of the paths in training.
    """

    name: ClassVar[str] = "adatrans"
    title: ClassVar[str] = "AdaTrans"

    def __init__(self, transformers: Sequence[AdaTrans], domain: Domain, attributes: Sequence[str], steps: int) -> None:
        super().__init__(attributes)
        self.transformers = nn.ModuleList(transformers)
        self.domain, self.steps = domain, steps

    @classmethod
    def restore(cls, stored: StoredEditor) -> AdaTransEditor:
        transformers = [stored.network("transformer") for _ in stored.attributes]
        return cls(transformers, stored.domain, stored.attributes, **stored.settings)

    @torch.no_grad()
    def read(self, w: Tensor, image: Tensor) -> Tensor:
        return self.domain.teacher_probabilities(image)

    @torch.no_grad()
    def move(self, rest: Tensor, condition: Tensor, target: Tensor) -> Tensor:
        moved = rest
        for transformer, change in zip(self.transformers, (target - condition).unbind(1), strict=True):
            rows = change.nonzero()[:, 0]
            if len(rows):
                moved = moved.index_add(0, rows, self._displacement(transformer, rest[rows], change[rows]))
        return moved

    def _displacement(self, transformer: nn.Module, w: Tensor, change: Tensor) -> Tensor:
        place = (self.steps * change.abs()).clamp(max=MOST_STEPS)
        path: Tensor = transformer.eval()(w, change.sign()[:, None], steps=int(place.max().ceil()))[0]
        rows, before = torch.arange(len(w), device=w.device), place.floor().long()
        after = (before + 1).clamp(max=len(path) - 1)
        return path[before, rows].lerp(path[after, rows], (place - before)[:, None, None]) - w
