"""Why a weight file is not read."""

from __future__ import annotations

_SHOWN = 80


class RefusedFile(ValueError):
    """The file is damaged, of no known format or not safe to read; the message is the reason, without its name."""


def shown(text: object) -> str:
    """Words out of a file for a message: short, and without what a terminal might obey."""
    words = str(text)[: _SHOWN + 1]
    words = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in words)
    return words if len(words) <= _SHOWN else f"{words[: _SHOWN - 1]}…"
