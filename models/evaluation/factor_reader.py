"""Numbers that were drawn, read off pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass
class FactorReader:
    """Reads colours off pictures.

    Attributes:
        names: (F) of the factors.
        read: pictures (B, 3, S, S) → factors (B, F).
    """

    names: tuple[str, ...]
    read: Callable[[Tensor], Tensor]
