"""What a person asks for, as text, turned into targets for an editor."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from models.editors.base import Flip, SetTo, Target
from utils.config import nearest

_LABEL_LIMIT = 100  # labels become parts of file names
_SWEEP_LIMIT = 100


class RequestError(ValueError):
    """A wish that cannot be understood; the message says what would be."""


@dataclass(frozen=True)
class Request:
    """One edit: the attributes that change together.

    Attributes:
        label: short text without spaces, unique among requests with other targets.
        targets: attribute name → wanted value.
    """

    label: str
    targets: Mapping[str, Target]

    @property
    def title(self) -> str:
        """The label for readers: `Smiling = 1,Male flipped`; commas may become line breaks."""
        return ",".join(
            f"{name} = {_short(target.value)}" if isinstance(target, SetTo) else f"{name} flipped"
            for name, target in self.targets.items()
        )

    @staticmethod
    def of(targets: Mapping[str, Target]) -> Request:
        """The request with these targets and its label."""
        label = ",".join(f"{name}={describe(target)}" for name, target in targets.items())
        if len(label) > _LABEL_LIMIT:
            digest = hashlib.sha256(label.encode()).hexdigest()[:8]
            label = f"{label[: _LABEL_LIMIT - 9]}-{digest}"
        return Request(label, dict(targets))


def describe(target: Target) -> str:
    """`1`, `-0.25`, `flip` or `flip0.2`."""
    if isinstance(target, SetTo):
        return _short(target.value)
    return f"flip{_short(target.strength)}" if target.strength else "flip"


def _short(value: float) -> str:
    return repr(float(value)).removesuffix(".0")


def parse_requests(
    attributes: Sequence[str],
    assignments: Iterable[str] = (),
    flips: Iterable[str] = (),
    sweeps: Iterable[str] = (),
    strength: float = 0.2,
    each: bool = False,
) -> list[Request]:
    """The edits that a command line asks for.

    All assignments and flips together are one edit. A sweep is one edit a value and `each` one edit for every attribute
    that is not mentioned otherwise; both include the assignments and flips. With nothing asked, `each` holds.

    Args:
        assignments: texts such as `Smiling=1`; values may leave [0, 1].
        flips: names of attributes to turn to the other side, `strength` beyond it.
        sweeps: texts such as `Young=-0.2:1.2:7` (first value, last value, how many).
    Raises:
        RequestError: unknown attribute, value that is no number, attribute named twice, malformed sweep.
    """
    common: dict[str, Target] = {}
    for text in assignments:
        name, value = _split(text, "--set", "Smiling=1")
        _add(common, _known(name, attributes), SetTo(_number(value, text)))
    if not math.isfinite(strength):
        raise RequestError(f"strength {strength} is no finite number")
    for name in flips:
        _add(common, _known(name, attributes), Flip(strength))
    ranges = [_parse_sweep(text, attributes) for text in sweeps]
    requests = []
    for name, values in ranges:
        if name in common:
            raise RequestError(f"attribute '{name}' is swept and set at once; choose one")
        requests += [Request.of({**common, name: SetTo(value)}) for value in values]
    if each or not (common or ranges):
        swept = {name for name, _ in ranges}
        free = [name for name in attributes if name not in common and name not in swept]
        requests += [Request.of({**common, name: Flip(strength)}) for name in free]
    elif not ranges:
        requests.append(Request.of(common))
    return list({request.label: request for request in requests}.values())


def _split(text: str, option: str, example: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise RequestError(f"{option} '{text}': write attribute=value, such as {example}")
    return name.strip(), value.strip()


def _known(name: str, attributes: Sequence[str]) -> str:
    if name in attributes:
        return name
    for attribute in attributes:
        if attribute.lower() == name.lower():
            return attribute
    raise RequestError(f"unknown attribute '{name}'{nearest(name, attributes)}")


def _number(text: str, whole: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise RequestError(f"'{whole}': '{text}' is no number; 1 means present, 0 absent")
    return value


def _add(targets: dict[str, Target], name: str, target: Target) -> None:
    if name in targets:
        raise RequestError(f"attribute '{name}' is named twice")
    targets[name] = target


def _parse_sweep(text: str, attributes: Sequence[str]) -> tuple[str, list[float]]:
    name, value = _split(text, "--sweep", "Young=-0.2:1.2:7")
    parts = value.split(":")
    if len(parts) != 3:
        raise RequestError(f"--sweep '{text}': write attribute=first:last:count, such as Young=-0.2:1.2:7")
    first, last = _number(parts[0], text), _number(parts[1], text)
    if not parts[2].isdecimal() or not 2 <= int(parts[2]) <= _SWEEP_LIMIT:
        raise RequestError(f"--sweep '{text}': the count must be a whole number from 2 to {_SWEEP_LIMIT}")
    count = int(parts[2])
    values = [round(first + (last - first) * index / (count - 1), 6) for index in range(count)]
    return _known(name, attributes), values
