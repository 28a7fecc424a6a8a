"""What a caller from Python wants of an attribute."""

from __future__ import annotations

from typing import Any

from models.editing.requests.attributes import TARGET_LIMIT
from models.editing.requests.base import RequestError
from models.editors.targets import Flip, SetTo, Target

Wanted = float | str | Target  # a value, "flip", or a target


def target_of(name: str, wanted: Wanted) -> Target:
    """The target of an attribute.

    Raises:
        RequestError: it is neither a number in the limits nor "flip"; the message names the attribute.
    """
    if isinstance(wanted, SetTo):
        return SetTo(number_of(name, wanted.value))
    if isinstance(wanted, Flip):
        return Flip(number_of(name, wanted.strength))
    return Flip() if isinstance(wanted, str) and wanted == "flip" else SetTo(number_of(name, wanted, ' nor "flip"'))


def number_of(name: str, wanted: Any, nor: str = "") -> float:
    """A value of an attribute as a number.

    Args:
        nor: what else it might have been, for the message.
    Raises:
        RequestError: it is no number, or beyond `TARGET_LIMIT`; the message names the attribute.
    """
    try:
        value = float(wanted)
    except (TypeError, ValueError, OverflowError, RuntimeError):  # the last: of tensors with more than one value
        value = float("nan")
    if not abs(value) <= TARGET_LIMIT:
        limits = f"{-TARGET_LIMIT:g} to {TARGET_LIMIT:g}"
        raise RequestError(f"{name}: {wanted!r:.60} is {'neither' if nor else 'not'} a number from {limits}{nor}")
    return value
