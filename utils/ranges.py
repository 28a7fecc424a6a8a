"""Ranges of settings, as annotations of the arguments that a config sets: `width: Size`, `betas: Betas`.

`utils.config.convert` enforces them. A plain `float` is any number up to 1e30,
a plain `int` any of 64 bits.
"""

from __future__ import annotations

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from utils.paths import innermost, resolve

FAR = 65536  # bounds from here on only keep numbers out that no computer could follow
MANY = 10**9


class Rule(ABC):
    """What a value must be beyond its type."""

    @abstractmethod
    def holds(self, value: Any) -> bool:
        """Whether a value of the right type is allowed."""

    @abstractmethod
    def __str__(self) -> str:
        """What is allowed, after "must be "."""

    def allowed(self, value: Any) -> str:
        """The part of it that tells what is wrong with a value."""
        return str(self)


@dataclass(frozen=True)
class Between(Rule):
    """Numbers from `low` to `high`; `above` and `below` leave the bound itself out."""

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    below: bool = False

    def holds(self, value: float) -> bool:
        return self._after(value) and (value < self.high if self.below else value <= self.high)

    def _after(self, value: float) -> bool:
        return value > self.low if self.above else value >= self.low

    def allowed(self, value: float) -> str:
        return self._first if self.high >= FAR and not self._after(value) else str(self)

    def __str__(self) -> str:
        last = f"{'below' if self.below else 'at most'} {_plain(self.high)}"
        bounds = (self._first, self.low > -math.inf), (last, self.high < math.inf)
        return " and ".join(text for text, bounded in bounds if bounded)

    @property
    def _first(self) -> str:
        return f"{'above' if self.above else 'at least'} {_plain(self.low)}"


def _plain(bound: float) -> str:
    return str(int(bound)) if math.isfinite(bound) and bound == int(bound) else f"{bound:g}"


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


class Distinct(Rule):
    """Lists in which nothing occurs twice."""

    def holds(self, value: Sequence[Any]) -> bool:
        return len(set(value)) == len(value)

    def __str__(self) -> str:
        return "a list in which nothing occurs twice"


class Written(Rule):
    """Text with something in it."""

    def holds(self, value: str) -> bool:
        return bool(value.strip())

    def __str__(self) -> str:
        return "a text that is not empty"


class Nameable(Rule):
    """Text that a file or folder may be called, with the folders that it lies in."""

    def holds(self, value: str) -> bool:
        parts = [os.fsencode(part) for part in value.split("/")]
        return bool(value.strip()) and "\0" not in value and max(map(len, parts)) <= 255 and sum(map(len, parts)) < 4000

    def __str__(self) -> str:
        return "the name of a file or folder"


class Makeable(Rule):
    """Path of a folder that is there or can be made: neither it nor what it lies in is anything else."""

    def holds(self, value: str) -> bool:
        try:
            there = innermost(resolve(value))
        except ValueError:  # of a user who is not there
            return False
        return there is None or there.is_dir()

    def __str__(self) -> str:
        return "a folder that is there or can be made"


Count = Annotated[int, Between(1, MANY)]
Whole = Annotated[int, Between(0, MANY)]
Size = Annotated[int, Between(1, FAR)]  # channels, widths, pixels
Side = Annotated[int, Between(16, FAR)]  # of the images of a network that halves them four times
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
FileName = Annotated[str, Nameable()]
NewFolder = Annotated[FileName, Makeable()]
PictureBox = Annotated[tuple[int, int, int, int], Box()]
