"""Edit targets of attributes, and how they become attribute values. Nothing here imports PyTorch at run time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.editors.attribute_names import unknown_attribute

if TYPE_CHECKING:  # the options of commands are read, with their targets, before PyTorch is imported
    from torch import Tensor


@dataclass(frozen=True)
class SetTo:
    """Reach a value: 0 absent, 1 present; values outside [0, 1] exaggerate."""

    value: float


@dataclass(frozen=True)
class Flip:
    """Turn the decision: present → −strength, absent → 1 + strength."""

    strength: float = 0.2


Target = SetTo | Flip


def resolve_targets(
    semantics: Tensor, targets: Mapping[str, Target], attributes: Sequence[str], decisions: Tensor | None = None
) -> Tensor:
    """A copy of the attribute values (B, A) with the targeted columns replaced.

    Args:
        targets: attribute name → target.
        attributes: names of the columns.
        decisions: (B, A), which attributes count as present for `Flip`; default: values of 0.5 or more.
    Raises:
        ValueError: unknown attribute.
    """
    present = semantics >= 0.5 if decisions is None else decisions.bool()
    resolved = semantics.detach().clone()
    for name, target in targets.items():
        if name not in attributes:
            raise ValueError(unknown_attribute(name, attributes))
        index = list(attributes).index(name)
        column = resolved[:, index]  # a view: writing to it changes `resolved`
        if isinstance(target, SetTo):
            column.fill_(target.value)
        else:
            column.fill_(1 + target.strength).masked_fill_(present[:, index], -target.strength)
    return resolved
