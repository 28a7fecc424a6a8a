"""AdaTrans: as many adaptive steps as an edit is strong ("Adaptive Nonlinear Latent Transformation for Conditional Face
Editing", 2023).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from models.adatrans import AdaTrans
from models.domain import Domain
from models.editors.base import Editor
from models.editors.stored import StoredEditor

MOST_STEPS = 10


class AdaTransEditor(Editor):
    """s = C(I), the frozen classifier's; w_e lies on the path from w towards the wanted attributes.

    The path is told 1 or −1 of each attribute: the decision s > ½, or where ŝ differs from s the side that it leads to.
    Its length, at most ten steps, is `steps` for a change of s by 1; between two states the code is interpolated. Of
    several attributes the largest change decides. (The published evaluation strengthens edits by whole steps.)

    Args:
        steps: of the paths that the network learned.
    """

    name: ClassVar[str] = "adatrans"
    title: ClassVar[str] = "AdaTrans"

    def __init__(self, transformer: AdaTrans, domain: Domain, attributes: Sequence[str], steps: int) -> None:
        super().__init__(attributes)
        self.transformer = transformer
        self.domain, self.steps = domain, steps

    @classmethod
    def restore(cls, stored: StoredEditor) -> AdaTransEditor:
        return cls(stored.network("transformer"), stored.domain, stored.attributes, **stored.settings)

    @torch.no_grad()
    def semantics(self, w: Tensor, image: Tensor) -> Tensor:
        return self.domain.teacher_probabilities(image)

    @torch.no_grad()
    def move(self, prepared: Tensor, semantics: Tensor, wanted: Tensor) -> Tensor:
        change = wanted - semantics
        sides = torch.where(change == 0, semantics - 0.5, change)
        place = (self.steps * change.abs().amax(1)).clamp(max=MOST_STEPS)
        path, _ = self.transformer.eval()(prepared, signs(sides), steps=int(place.max().ceil()))
        rows, before = torch.arange(len(place), device=place.device), place.floor().long()
        after = (before + 1).clamp(max=len(path) - 1)
        return path[before, rows].lerp(path[after, rows], (place - before)[:, None, None])


def signs(values: Tensor) -> Tensor:
    """1 above zero, else −1: what AdaTrans is told is wanted."""
    return torch.where(values > 0, 1.0, -1.0)
