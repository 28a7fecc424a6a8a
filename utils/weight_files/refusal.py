"""Why a weight file is not read."""

from __future__ import annotations

_SHOWN = 80
_PLAIN = (str, int, float, Exception)


class RefusedFile(ValueError):
    """The file is damaged, of no known format or not safe to read; the message is the reason, without its name."""


class WeightsError(ValueError):
    """A weight file that is missing, damaged or made for another network; the message names it."""


def shown(text: object) -> str:
    """Words out of a file for a message: short, and without what a terminal might obey.

    Of anything but text, a number or an error only the type is named: nested collections may unfold without end.
    """
    words = str(text)[: _SHOWN + 1] if isinstance(text, _PLAIN) else f"({type(text).__name__})"
    words = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in words)
    return words if len(words) <= _SHOWN else f"{words[: _SHOWN - 1]}…"
