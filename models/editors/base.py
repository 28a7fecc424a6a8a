"""What every editor offers, and how wishes become semantics."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from utils.config import nearest

if TYPE_CHECKING:
    from models.editors.stored import StoredEditor


@dataclass(frozen=True)
class SetTo:
    """A wanted value in attribute units: 0 absent, 1 present; values outside [0, 1] exaggerate."""

    value: float


@dataclass(frozen=True)
class Flip:
    """Away from a decision: present → −strength, absent → 1 + strength."""

    strength: float = 0.2


Target = SetTo | Flip


class Editor(nn.Module, ABC):
    """From a latent code and wanted attribute values to an edited latent code.

    Edits run without gradients and without state that depends on the batch.

    Its state dict is what a file keeps of it.

    Args:
        attributes: names, in the order of the semantics' columns.
    Attributes:
        name: what files call this kind of editor, see `models.editors.EDITORS`.
        title: what people call it.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    requests: ClassVar[tuple[str, ...]] = ("attributes",)

    def __init__(self, attributes: Sequence[str]) -> None:
        super().__init__()
        self.attributes = tuple(attributes)

    @classmethod
    def restore(cls, stored: StoredEditor) -> Editor:
        """The editor that a file describes, ready to take its tensors.

        Raises:
            ConfigError: the description fits no network here.
        """
        raise NotImplementedError(f"{cls.__name__} is not kept in files")

    @abstractmethod
    def read(self, w: Tensor, image: Tensor) -> Tensor:
        """Estimated attribute values (B, A) of faces given as codes (B, L, D) and pictures (B, 3, S, S)."""

    def prepare(self, w: Tensor, semantics: Tensor) -> Tensor:
        """What `move` starts from, computed once for any number of edits of the same codes: the codes themselves."""
        return w

    @abstractmethod
    def move(self, prepared: Tensor, semantics: Tensor, wanted: Tensor) -> Tensor:
        """Codes (B, L, D) whose semantics (B, A) became `wanted` (B, A), from what `prepare` made of them."""

    @torch.no_grad()
    def edit(self, w: Tensor, image: Tensor, targets: Mapping[str, Target], decisions: Tensor | None = None) -> Tensor:
        """Edited codes (B, L, D).

        Args:
            targets: attribute name → wanted value; several are set in one pass.
            decisions: (B, A), which attributes count as present for `Flip`; default: semantics ≥ 0.5.
        Raises:
            ValueError: unknown attribute (the nearest name is suggested).
        """
        semantics = self.read(w, image)
        wanted = resolve_targets(semantics, targets, self.attributes, decisions)
        return self.move(self.prepare(w, semantics), semantics, wanted)


def resolve_targets(
    semantics: Tensor, targets: Mapping[str, Target], attributes: Sequence[str], decisions: Tensor | None = None
) -> Tensor:
    """A copy of the semantics (B, A) with the targeted columns replaced.

    Raises:
        ValueError: unknown attribute.
    """
    present = semantics >= 0.5 if decisions is None else decisions.bool()
    wanted = semantics.detach().clone()
    for name, target in targets.items():
        if name not in attributes:
            raise ValueError(f"unknown attribute '{name}'{nearest(name, attributes)}")
        column = list(attributes).index(name)
        if isinstance(target, SetTo):
            wanted[:, column] = target.value
        else:
            wanted[:, column] = torch.where(
                present[:, column],
                torch.full_like(wanted[:, column], -target.strength),
                torch.full_like(wanted[:, column], 1 + target.strength),
            )
    return wanted
