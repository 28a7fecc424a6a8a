"""YAML configs that become objects, with errors that name the file, the key and the nearest valid key.

A config is a tree of sections. `base: other.yaml` (relative to the file that says it) is read first and overridden key
by key. `dotted.key=value` from the command line overrides both. An object is built from `name:` and its constructor's
own keyword arguments; whatever the constructor does not take is an error.
"""

from __future__ import annotations

import copy
import difflib
import inspect
import re
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml

from utils.paths import displayed
from utils.ranges import Rule

LARGEST = 1e30  # number, so that it and its products are finite in 32 bits
QUOTED = 200  # characters of a value that a message shows
MOST_KEYS, MOST_LEVELS = 10_000, 50  # of a config: aliases of YAML multiply


class ConfigError(ValueError):
    """A config that cannot be used; the message names the file, the key and what would be valid."""


class Section(dict[str, Any]):
    """A mapping that remembers where it stands (`path`) and which file set each key (`sources`, by dotted key)."""

    def __init__(self, values: Mapping[str, Any], path: str = "", sources: Mapping[str, str] | None = None) -> None:
        super().__init__(values)
        self.path = path
        self.sources = dict(sources or {})

    def key(self, name: str) -> str:
        """Dotted name of a key of this section."""
        return f"{self.path}.{name}" if self.path else str(name)

    def where(self, name: str | None = None) -> str:
        """`file: dotted.key` for messages."""
        key = self.path if name is None else self.key(name)
        parts = key.split(".")
        for end in range(len(parts), 0, -1):
            source = self.sources.get(".".join(parts[:end]))
            if source:
                return f"{source}: {key[:QUOTED]}"
        return key[:QUOTED] or "config"

    def section(self, name: str) -> Section:
        """The sub-section `name`.

        Raises:
            ConfigError: it is missing or no mapping.
        """
        if name not in self:
            raise ConfigError(f"{self.where(name)}: this section is missing")
        if not isinstance(self[name], Mapping):
            raise ConfigError(f"{self.where(name)}: must be a section, not {_shown(self[name])}")
        return Section(self[name], self.key(name), self.sources)

    def plain(self) -> dict[str, Any]:
        """A deep copy made of ordinary dicts, ready for YAML or JSON."""
        return copy.deepcopy(dict(self))


def as_section(values: Mapping[str, Any], path: str) -> Section:
    """`values` themselves where they are a section already, else a section that stands at `path`."""
    return values if isinstance(values, Section) else Section(values, path)


def load_config(path: str | Path, overrides: Iterable[str] = ()) -> Section:
    """Read a YAML file, its bases and `dotted.key=value` overrides into one section.

    Raises:
        ConfigError: unreadable file, no mapping, circular base, or an override without `=`.
    """
    values, sources = _read(Path(path), ())
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator or not all(key.split(".")):
            raise ConfigError(f"command line: '{override}' is not of the form dotted.key=value")
        nested: Any = _parsed(text, f"command line: {key}") if text else None
        for part in reversed(key.split(".")):
            nested = {part: nested}
        _merge(values, nested, "command line", sources)
    return Section(values, "", sources)


def _read(path: Path, chain: tuple[Path, ...]) -> tuple[dict[str, Any], dict[str, str]]:
    try:
        path = path.resolve()
        if path in chain:
            raise ConfigError(f"{displayed(path)}: base files form a circle")
        if path.exists() and not path.is_file():  # a device would be read for ever
            raise ConfigError(f"{displayed(path)}: cannot be read: it is a {'folder' if path.is_dir() else 'device'}")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        near = difflib.get_close_matches(path.name, [p.name for p in path.parent.glob("*.yaml")], 1)
        raise ConfigError(f"{displayed(path)}: no such config file{_suggest(near)}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{displayed(path)}: cannot be read: it is not UTF-8; save it so") from None
    except (OSError, RuntimeError) as error:  # the latter: a circle of links
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"{str(path)[:QUOTED]}: cannot be read: {reason[:QUOTED]}") from error
    values = _parsed(text, displayed(path))
    if not isinstance(values, dict):
        found = "and is empty" if values is None else f"not {type(values).__name__}"
        raise ConfigError(f"{displayed(path)}: must hold sections, {found}")
    merged: dict[str, Any] = {}
    sources: dict[str, str] = {}
    base = values.pop("base", None)
    if base is not None:
        merged, sources = _read(path.parent / str(base), (*chain, path))
    _merge(merged, values, displayed(path), sources)
    return merged, sources


class _Loader(yaml.SafeLoader):
    """YAML of plain values that refuses a key which occurs twice: the first value would be lost without a word."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:merge" and isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.composer.ComposerError(None, None, f"'{key.value}' occurs twice", key.start_mark)
                seen.add(key.value)
        return node


def _parsed(text: str, where: str) -> Any:
    """What a YAML text says.

    Raises:
        ConfigError: it is no YAML.
    """
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, RecursionError, ValueError, LookupError, AttributeError, TypeError) as error:
        # the latter: values that look like dates and are none, and tags with values of another kind
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None) or str(error)
        place = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(f"{where}: cannot be read as YAML{place}: {problem[:QUOTED]}") from error


def _merge(into: dict[str, Any], new: Mapping[str, Any], source: str, sources: dict[str, str], path: str = "") -> None:
    replaced = "name" in new and "name" in into and new["name"] != into["name"]
    if replaced:  # another object: the arguments of the old one do not fit
        into.clear()
    for key, value in new.items():
        dotted = f"{path}.{key}" if path else str(key)
        sources[dotted] = source
        if len(sources) > MOST_KEYS or dotted.count(".") > MOST_LEVELS:
            raise ConfigError(f"{source}: has more than {MOST_KEYS} keys, or more than {MOST_LEVELS} levels of them")
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value, source, sources, dotted)
        elif isinstance(value, Mapping):
            into[key] = {}
            _merge(into[key], value, source, sources, dotted)
        else:
            into[key] = value


def nearest(name: str, valid: Iterable[str]) -> str:
    """A `; did you mean …` clause for messages, or the list of what is valid where nothing is near."""
    valid = sorted(str(v) for v in valid)
    near = difflib.get_close_matches(str(name), valid, 1, cutoff=0.5)
    return _suggest(near) if near else f"; valid: {', '.join(valid) or 'nothing'}"


def _suggest(near: list[str]) -> str:
    return f"; did you mean '{near[0]}'?" if near else ""


def check_arguments(
    section: Section, function: Any, given: Iterable[str] = (), what: str = "", others: Iterable[str] = ()
) -> dict[str, Any]:
    """The section's values as keyword arguments for `function`, checked against its signature and annotations.

    Args:
        given: parameters that the caller supplies itself and that a config may not set.
        what: how to call the function in messages.
        others: keys of the section that are not for the function.
    Raises:
        ConfigError: unknown key, missing key or wrong type.
    """
    what = what or getattr(function, "__name__", str(function))
    target = function.__init__ if inspect.isclass(function) else function
    parameters = {
        name: parameter
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    hints = typing.get_type_hints(target, include_extras=True)
    given, others = set(given), set(others)
    arguments = {}
    for key, value in section.items():
        if key in others or key == "name" and key not in parameters:  # the latter names the function itself
            continue
        if key not in parameters or key in given:
            valid = set(parameters) - given | others
            raise ConfigError(f"{section.where(key)}: '{what}' has no such key{nearest(key, valid)}")
        if isinstance(value, Mapping):  # sections inside keep their place, for messages of whoever builds from them
            value = Section(value, section.key(key), section.sources)
        try:
            arguments[key] = convert(value, hints.get(key, Any))
        except Unfit as error:
            raise ConfigError(f"{section.where(key + error.path)}: {error}") from None
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in arguments and name not in given:
            raise ConfigError(f"{section.where()}: '{what}' needs the key '{name}'")
    return arguments


class Unfit(TypeError):
    """A value that an annotation does not allow.

    Attributes:
        keys: where in the value it is: keys of mappings, numbers of list items.
        near: it is of the right type, and of the wrong size or form.
    """

    def __init__(self, allowed: str, value: object, near: bool = False, keys: tuple[object, ...] = ()) -> None:
        self.allowed, self.value, self.near, self.keys = allowed, value, near, keys
        items = [f"item {key + 1} " for key in keys if isinstance(key, int)]
        super().__init__(f"{''.join(items)}must be {allowed}, not {_shown(value)}")

    def inside(self, key: object) -> Unfit:
        """The same of a value that holds this one under `key`."""
        return Unfit(self.allowed, self.value, True, (key, *self.keys))

    @property
    def path(self) -> str:
        """Dotted keys of mappings that lead to the value, with a dot before each."""
        return "".join(f".{key}" for key in self.keys if not isinstance(key, int))


def convert(value: Any, annotation: Any) -> Any:
    """`value` as the annotated type, where YAML can spell it, and within its ranges (`utils.ranges`).

    Raises:
        Unfit: the value is of another type, not finite, or out of range.
    """
    if annotation is Any or annotation is inspect.Parameter.empty:
        return value
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        converted = convert(value, inner[0])
        for rule in inner[1:]:
            if isinstance(rule, Rule) and not rule.holds(converted):
                raise Unfit(rule.allowed(converted), value, near=True)
        return converted
    if origin in (typing.Union, types.UnionType):
        return _as_one_of(value, annotation, inner)
    if origin is typing.Literal:
        if any(value == option and type(value) is type(option) for option in inner):
            return value
        near = isinstance(value, str) and difflib.get_close_matches(value[:QUOTED], map(str, inner), 1)
        raise Unfit(_spelled(annotation), value, near=bool(near))
    if annotation is None or annotation is type(None):
        if value is None:
            return None
    elif _is_list(annotation):
        if isinstance(value, list | tuple):
            return _as_list(value, annotation, origin or annotation, inner)
    elif inspect.isclass(origin) and issubclass(origin, Mapping):
        if isinstance(value, Mapping):
            converted = {_at(k, k, inner[0]): _at(k, v, inner[1]) for k, v in value.items()}
            return Section(converted, value.path, value.sources) if isinstance(value, Section) else converted
    elif annotation is float:
        return _as_number(value)
    elif annotation is int:
        return _as_whole(value)
    elif annotation is Path:
        if isinstance(value, str | Path):
            return Path(value)
    elif inspect.isclass(annotation) and isinstance(value, annotation):
        return value
    raise Unfit(_spelled(annotation), value)


def _is_list(annotation: Any) -> bool:
    origin = typing.get_origin(annotation)
    listed = inspect.isclass(origin) and issubclass(origin, Iterable) and not issubclass(origin, Mapping)
    return annotation in (list, tuple) or listed


def _as_one_of(value: Any, annotation: Any, options: tuple[Any, ...]) -> Any:
    nearest_miss = None
    for option in options:
        try:
            return convert(value, option)
        except Unfit as error:
            nearest_miss = error if error.near else nearest_miss
    raise nearest_miss or Unfit(_spelled(annotation), value)


def _as_list(value: list[Any] | tuple[Any, ...], annotation: Any, kind: Any, inner: tuple[Any, ...]) -> Any:
    if kind is tuple and inner and inner[-1] is not Ellipsis:
        if len(value) != len(inner):
            raise Unfit(_spelled(annotation), value, near=True)
        return tuple(_at(index, item, own) for index, (item, own) in enumerate(zip(value, inner, strict=True)))
    items = [_at(index, item, inner[0] if inner else Any) for index, item in enumerate(value)]
    return tuple(items) if kind is tuple else items


def _at(key: object, value: Any, annotation: Any) -> Any:
    """An item of a list or a mapping."""
    try:
        return convert(value, annotation)
    except Unfit as error:
        raise error.inside(key) from None


def _as_number(value: Any) -> float:
    if not isinstance(value, int | float | str) or isinstance(value, bool):
        raise Unfit("float", value)
    try:
        number = float(value)  # text, too: YAML 1.1 reads 1e-4 (no dot) as text
    except (ValueError, OverflowError):
        raise Unfit("float", value) from None
    if not abs(number) <= LARGEST:
        raise Unfit("a finite number", value, near=True)
    return number


def _as_whole(value: Any) -> int:
    if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]{1,30}", value):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise Unfit("int", value)
    if not -(2**63) <= value < 2**63:
        raise Unfit("a whole number of 64 bits", value, near=True)
    return value


def _shown(value: object) -> str:
    """A value as a message quotes it."""
    try:
        text = repr(value.plain() if isinstance(value, Section) else value)
    except ValueError:  # Python writes no numbers of thousands of digits
        return "a number of thousands of digits"
    return text if len(text) <= QUOTED else f"{text[:QUOTED]}…"


def _spelled(annotation: Any) -> str:
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return "one of " + ", ".join(repr(a) for a in inner)
    if origin is Annotated:
        own = [str(rule) for rule in inner[1:] if isinstance(rule, Rule)]
        return ", ".join([_spelled(inner[0]), *own])
    if origin in (typing.Union, types.UnionType):  # written in two ways before Python 3.14
        return " | ".join("None" if part is type(None) else _spelled(part) for part in inner)
    if inspect.isclass(origin) and issubclass(origin, Mapping):
        return "a section"
    if inner and _is_list(annotation):
        parts = [_spelled(part) for part in inner if part is not Ellipsis]
        if Ellipsis not in inner and origin is tuple:
            return f"a list of {len(parts)} ({'; '.join(dict.fromkeys(parts))})"
        return f"a list of {parts[0]}"
    plain = {dict: "a section", list: "a list", tuple: "a list"}
    return plain.get(annotation) or str(getattr(annotation, "__name__", annotation))
