"""Ranges of settings, as annotations of the arguments that a config sets: `width: Size`, `betas: Betas`.

`utils.config.convert` enforces them. A plain `float` is any number up to 1e30,
a plain `int` any of 64 bits.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

MANY = 10**9  # bounds from here on only keep numbers out that no computer could follow


class Rule(ABC):
    """What a value must be beyond its type."""

    @abstractmethod
    def holds(self, value: Any) -> bool:
        """Whether a value of the right type is allowed."""

    @abstractmethod
    def __str__(self) -> str:
        """What is allowed, after "must be "."""


@dataclass(frozen=True)
class Between(Rule):
    """Numbers from `low` to `high`; `above` and `below` leave the bound itself out."""

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    below: bool = False

    def holds(self, value: float) -> bool:
        after = value > self.low if self.above else value >= self.low
        return after and (value < self.high if self.below else value <= self.high)

    def __str__(self) -> str:
        low, high = (str(int(bound)) if bound == bound // 1 and math.isfinite(bound) else f"{bound:g}"
                     for bound in (self.low, self.high))  # fmt: skip
        first = f"above {low}" if self.above else f"at least {low}"
        last = f"below {high}" if self.below else f"at most {high}"
        bounds = (first, self.low > -math.inf), (last, self.high < math.inf)
        return " and ".join(text for text, bounded in bounds if bounded)


@dataclass(frozen=True)
class Long(Rule):
    """Lists of exactly `length` items, or of at least and at most so many."""

    least: int = 1
    most: int = 1000

    def holds(self, value: Sequence[Any]) -> bool:
        return self.least <= len(value) <= self.most

    def __str__(self) -> str:
        return f"a list of {self.least}" if self.least == self.most else f"a list of {self.least} to {self.most}"


class Ascending(Rule):
    """Lists of numbers, each above the one before."""

    def holds(self, value: Sequence[float]) -> bool:
        return all(low < high for low, high in zip(value, value[1:], strict=False))

    def __str__(self) -> str:
        return "in ascending order"


class Box(Rule):
    """Four edges (left, top, right, bottom) from 0 on that enclose something."""

    def holds(self, value: Sequence[int]) -> bool:
        left, top, right, bottom = value
        return 0 <= left < right and 0 <= top < bottom

    def __str__(self) -> str:
        return "[left, top, right, bottom] from 0 on, with left below right and top below bottom"


@dataclass(frozen=True)
class Rows(Rule):
    """Four edges (first row, end row, first column, end column) that enclose something within a square."""

    side: int

    def holds(self, value: Sequence[int]) -> bool:
        top, bottom, left, right = value
        return 0 <= top < bottom <= self.side and 0 <= left < right <= self.side

    def __str__(self) -> str:
        return f"[first row, end row, first column, end column] within 0 to {self.side}, each end above its first"


@dataclass(frozen=True)
class MultipleOf(Rule):
    """Whole numbers that can be divided."""

    factor: int

    def holds(self, value: int) -> bool:
        return value % self.factor == 0

    def __str__(self) -> str:
        return f"a multiple of {self.factor}"


class PowerOfTwo(Rule):
    """1, 2, 4, 8, …"""

    def holds(self, value: int) -> bool:
        return value > 0 and not value & (value - 1)

    def __str__(self) -> str:
        return "a power of two"


class Written(Rule):
    """Text with something in it, and without characters that no file's name can have."""

    def holds(self, value: str) -> bool:
        return bool(value.strip()) and "\0" not in value

    def __str__(self) -> str:
        return "a text that is not empty"


Count = Annotated[int, Between(1, MANY)]
Whole = Annotated[int, Between(0, MANY)]
Size = Annotated[int, Between(1, 65536)]  # channels, widths, pixels
Side = Annotated[int, Between(16, 65536)]  # of the images of a network that halves them four times
Depth = Annotated[int, Between(1, 1000)]  # layers, blocks
Processes = Annotated[int, Between(0, 256)]  # processes or threads; PyTorch crashes at some thousands
Seed = Annotated[int, Between(0, 2**63 - 1)]

Positive = Annotated[float, Between(0, above=True)]
NonNegative = Annotated[float, Between(0)]
Fraction = Annotated[float, Between(0, 1)]
BelowOne = Annotated[float, Between(0, 1, below=True)]
Betas = tuple[BelowOne, BelowOne]  # Adam's
Interval = Annotated[tuple[float, float], Ascending()]

Sizes = Annotated[Sequence[Size], Long(0, 100)]
Stages = Annotated[Sequence[Depth], Long(4, 4)]  # blocks of the four stages of a residual network
Text = Annotated[str, Written()]
PictureBox = Annotated[tuple[int, int, int, int], Box()]
