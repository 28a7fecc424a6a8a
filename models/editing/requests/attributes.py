"""Requests for values of attributes: `--set`, `--flip`, `--sweep` and `--each`."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from models.editing.requests.base import Goal, Request, RequestError, as_label
from models.editing.requests.kind import RequestKind
from models.editors.attribute_names import known_attribute, unknown_attribute
from models.editors.targets import Flip, SetTo, Target, resolve_targets

if TYPE_CHECKING:
    from models.editing.inversion import Inversion
    from models.editing.pipeline import EditingPipeline
    from models.editors.base import Editor

_SWEEP_LIMIT = 100
_STRENGTH = 0.2
TARGET_LIMIT = 100.0  # of values, in both directions: flows and directions are trained on 0 to 1
_SCALE = "1 means present, 0 absent"
_SHOWN = 60  # characters of a text that a message repeats


@dataclass(frozen=True)
class AttributeRequest(Request):
    """The attributes that change together.

    Attributes:
        targets: attribute name → target.
    """

    label: str
    targets: Mapping[str, Target]

    @staticmethod
    def of(targets: Mapping[str, Target]) -> AttributeRequest:
        """The request with these targets and its label, such as `Smiling=1,Male=flip0.2`."""
        label = ",".join(f"{name}={describe(target)}" for name, target in targets.items())
        return AttributeRequest(as_label(label), dict(targets))

    @property
    def title(self) -> str:
        """Such as `Smiling = 1,Male flipped`."""
        return ",".join(
            f"{name} = {_short(target.value)}" if isinstance(target, SetTo) else f"{name} flipped"
            for name, target in self.targets.items()
        )

    def described(self) -> dict[str, str]:
        return {name: describe(target) for name, target in self.targets.items()}

    def resolve(self, faces: Inversion, editor: Editor) -> Goal:
        return Goal(faces.rest, resolve_targets(faces.condition, self.targets, _attributes(editor)))


class AttributeRequests(RequestKind):
    """Values of attributes; the default is each attribute flipped in a picture of its own."""

    name: ClassVar[str] = "attributes"
    title: ClassVar[str] = "attribute requests"

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        group = parser.add_argument_group(
            "attributes",
            f"all --set and --flip together are one edit; values may lie outside [0, 1], up to ±{TARGET_LIMIT:g}",
        )
        group.add_argument("--set", action="append", default=[], metavar="ATTRIBUTE=VALUE", help="1 present, 0 absent")
        group.add_argument("--flip", action="append", default=[], metavar="ATTRIBUTE", help="turn to the other side")
        group.add_argument(
            "--sweep",
            action="append",
            default=[],
            metavar="ATTRIBUTE=FIRST:LAST:COUNT",
            help="one picture for every value",
        )
        group.add_argument(
            "--each",
            action="store_true",
            help="flip each attribute in a picture of its own (default if nothing is asked)",
        )
        group.add_argument(
            "--strength", type=float, default=_STRENGTH, help="how far a flip goes beyond 0 or 1 (default: %(default)s)"
        )

    def parse(self, options: argparse.Namespace, pipeline: EditingPipeline) -> Sequence[AttributeRequest]:
        return self._requests(options, pipeline, options.each)

    def default(self, options: argparse.Namespace, pipeline: EditingPipeline) -> Sequence[AttributeRequest]:
        return self._requests(options, pipeline, each=True)

    def settings(self, options: argparse.Namespace) -> dict[str, Any]:
        return {"strength": options.strength}

    @staticmethod
    def _requests(options: argparse.Namespace, pipeline: EditingPipeline, each: bool) -> list[AttributeRequest]:
        names = _attributes(pipeline.editor)
        flips = options.flip or each or not (options.set or options.sweep)
        if not flips and options.strength != _STRENGTH:
            raise RequestError("--strength: is of --flip and --each, and neither is given")
        return attribute_requests(names, options.set, options.flip, options.sweep, options.strength, each)


KIND = AttributeRequests()


def attribute_requests(
    attributes: Sequence[str],
    assignments: Iterable[str] = (),
    flips: Iterable[str] = (),
    sweeps: Iterable[str] = (),
    strength: float = _STRENGTH,
    each: bool = False,
) -> list[AttributeRequest]:
    """The edits that the texts of options ask for; none where there are none.

    All assignments and flips together are one edit. A sweep is one edit for each value and `each` one edit for every
    attribute that is not mentioned otherwise; both include the assignments and flips.

    Args:
        attributes: names that may be used.
        assignments: texts such as `Smiling=1`; values may lie outside [0, 1].
        flips: names of attributes to turn to the other side, `strength` beyond it.
        sweeps: texts such as `Young=-0.2:1.2:7` (first value, last value, how many).
    Raises:
        RequestError: unknown attribute, value that is not a number, attribute named twice, malformed sweep.
    """
    common: dict[str, Target] = {}
    for text in assignments:
        name, value = _split(text, "--set", "Smiling=1")
        _add(common, _known(name, attributes), SetTo(_number(value, text)))
    if not abs(strength) <= TARGET_LIMIT:  # nor is nan
        raise RequestError(f"--strength {strength:g}: must be a number between {-TARGET_LIMIT:g} and {TARGET_LIMIT:g}")
    for name in flips:
        _add(common, _known(name, attributes), Flip(strength))
    ranges = [_parse_sweep(text, attributes) for text in sweeps]
    requests = []
    for name, values in ranges:
        if name in common:
            raise RequestError(f"attribute '{name}' is swept and set at once; choose one")
        requests += [AttributeRequest.of({**common, name: SetTo(value)}) for value in values]
    if each:
        swept = {name for name, _ in ranges}
        free = [name for name in attributes if name not in common and name not in swept]
        requests += [AttributeRequest.of({**common, name: Flip(strength)}) for name in free]
    elif common and not ranges:
        requests.append(AttributeRequest.of(common))
    return requests


def sweep_values(first: float, last: float, count: int) -> list[float]:
    """The values of a sweep, in equal steps.

    Raises:
        RequestError: too few or too many.
    """
    if not isinstance(count, int) or not 2 <= count <= _SWEEP_LIMIT:
        raise RequestError(f"a sweep takes 2 to {_SWEEP_LIMIT} values, not {count!r:.60}")
    return [round(first + (last - first) * index / (count - 1), 6) for index in range(count)]


def describe(target: Target) -> str:
    """`1`, `-0.25`, `flip` or `flip0.2`."""
    if isinstance(target, SetTo):
        return _short(target.value)
    return f"flip{_short(target.strength)}" if target.strength else "flip"


def _attributes(editor: Editor) -> Sequence[str]:
    from models.editors.base import attribute_editor  # imports PyTorch

    return attribute_editor(editor).attributes


def _short(value: float) -> str:
    return repr(float(value)).removesuffix(".0")


def _split(text: str, option: str, example: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise RequestError(f"{option} '{_cut(text)}': write attribute=value, such as {example}")
    return name.strip(), value.strip()


def _known(name: str, attributes: Sequence[str]) -> str:
    attribute = known_attribute(name, attributes)
    if attribute is None:
        raise RequestError(unknown_attribute(name, attributes))
    return attribute


def _number(text: str, whole: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise RequestError(f"'{_cut(whole)}': '{_cut(text)}' is not a number; {_SCALE}")
    if abs(value) > TARGET_LIMIT:
        raise RequestError(f"'{_cut(whole)}': values lie between {-TARGET_LIMIT:g} and {TARGET_LIMIT:g}; {_SCALE}")
    return value


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _add(targets: dict[str, Target], name: str, target: Target) -> None:
    if name in targets:
        raise RequestError(f"attribute '{name}' is named twice")
    targets[name] = target


def _parse_sweep(text: str, attributes: Sequence[str]) -> tuple[str, list[float]]:
    name, value = _split(text, "--sweep", "Young=-0.2:1.2:7")
    parts = value.split(":")
    if len(parts) != 3:
        raise RequestError(f"--sweep '{_cut(text)}': write attribute=first:last:count, such as Young=-0.2:1.2:7")
    first, last = _number(parts[0], text), _number(parts[1], text)
    if not parts[2].isdecimal() or len(parts[2]) > 9 or not 2 <= int(parts[2]) <= _SWEEP_LIMIT:
        raise RequestError(f"--sweep '{_cut(text)}': the count must be a whole number from 2 to {_SWEEP_LIMIT}")
    return _known(name, attributes), sweep_values(first, last, int(parts[2]))
