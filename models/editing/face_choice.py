"""Which faces of a photograph are edited. Nothing here imports PyTorch, NumPy or Pillow."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Literal

_ONLY = "only-"


@dataclass(frozen=True)
class Only:
    """One face: the one with this number, from 1, in the order of `all`."""

    number: int

    def __str__(self) -> str:
        return f"{_ONLY}{self.number}"


FaceChoice = Literal["all", "largest"] | int | Only  # a number: so many, highest score first


def check_face_choice(choice: object) -> None:
    """Refuse what is no choice of faces.

    Raises:
        ValueError: it is none.
    """
    number = choice.number if isinstance(choice, Only) else choice
    counted = isinstance(number, int) and not isinstance(number, bool) and number >= 1
    if choice not in ("all", "largest") and not counted:
        raise ValueError(f"faces: must be 'all', 'largest', a number from 1 or Only(number from 1), not {choice!r:.60}")


def face_choice(text: str) -> FaceChoice:
    """`all`, `largest`, a number from 1, or `only-` and a number from 1; a type of argparse."""
    if text in ("all", "largest"):
        return "all" if text == "all" else "largest"
    number = text.removeprefix(_ONLY)
    if number.isdecimal() and len(number) < 10 and int(number) >= 1:
        return Only(int(number)) if text.startswith(_ONLY) else int(number)
    raise argparse.ArgumentTypeError(f"'{text}' is neither all, nor largest, nor a number from 1, nor such as only-2")
