"""Short quotations of what a file holds, for messages."""

from __future__ import annotations

import reprlib

_EXCERPT = reprlib.Repr()
_EXCERPT.maxlevel, _EXCERPT.maxdict, _EXCERPT.maxlist, _EXCERPT.maxtuple = 2, 2, 3, 3
_EXCERPT.maxstring, _EXCERPT.maxlong, _EXCERPT.maxother = 60, 60, 60


def excerpt(value: object) -> str:
    """A value as Python writes it, the middle left out where it is long and what lies deep inside."""
    return _EXCERPT.repr(value)


def shortened(text: str, limit: int) -> str:
    """The text in at most `limit` characters, the middle left out."""
    if len(text) <= limit:
        return text
    half = (limit - 3) // 2
    return f"{text[: limit - 3 - half]} … {text[len(text) - half :]}"
