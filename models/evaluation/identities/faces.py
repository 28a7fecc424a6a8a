"""Pairs of faces that identity swaps are measured on: whose identity, in whose picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from models.evaluation.factor_reader import FactorReader


@dataclass
class Probed:
    """What probes learn to read: binary facts of further faces, and of those of the test.

    Attributes:
        image: further faces (M, 3, S, S).
        of_people, of_scenes: (M, T) bool, facts of their identities and of everything else.
        own_people, own_scenes: the same (N, T) of the test's scenes.
        names: of the facts: `people` and `scenes` → T names.
    """

    image: Tensor
    of_people: Tensor
    of_scenes: Tensor
    own_people: Tensor
    own_scenes: Tensor
    names: Mapping[str, tuple[str, ...]]


@dataclass
class SwapTestSet:
    """All that a measurement needs. Tensors are on the CPU, N rows each.

    Attributes:
        scene: pictures (N, 3, S, S) that are edited, B.
        others: (N,), whose identity each gets: row `others[n]` is A.
        again: (N, 3, S, S), the people of `scene` in other pictures; None where nobody has them.
        truth: (N, 3, S, S), the scene drawn with the other's identity; None where nobody knows it.
        probed: further faces; None where nothing is known of any.
        reader: reads numbers off pictures that an identity does not decide; `asked` (N, F) are the scenes' true ones.
        missing: what is not measured, and why.
    """

    scene: Tensor
    others: np.ndarray
    again: Tensor | None = None
    truth: Tensor | None = None
    probed: Probed | None = None
    reader: FactorReader | None = None
    asked: np.ndarray | None = None
    missing: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.scene)

    @property
    def person(self) -> Tensor:
        """Pictures (N, 3, S, S) of those whose identity each scene gets, A."""
        return self.scene[self.others]
