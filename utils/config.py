"""YAML configs that become objects, with errors that name the file, the key and the nearest valid key.

A config is a tree of sections. `base: other.yaml` (relative to the file that says it) is read first and overridden key
by key. `dotted.key=value` from the command line overrides both. An object is built from `name:` and its constructor's
own keyword arguments; whatever the constructor does not take is an error.
"""

from __future__ import annotations

import copy
import difflib
import inspect
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from utils.paths import displayed


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
        return f"{self.path}.{name}" if self.path else name

    def where(self, name: str | None = None) -> str:
        """`file: dotted.key` for messages."""
        key = self.path if name is None else self.key(name)
        parts = key.split(".")
        for end in range(len(parts), 0, -1):
            source = self.sources.get(".".join(parts[:end]))
            if source:
                return f"{source}: {key}"
        return key or "config"

    def section(self, name: str) -> Section:
        """The sub-section `name`.

        Raises:
            ConfigError: it is missing or no mapping.
        """
        if name not in self:
            raise ConfigError(f"{self.where(name)}: this section is missing")
        if not isinstance(self[name], Mapping):
            raise ConfigError(f"{self.where(name)}: must be a section, not {self[name]!r}")
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
        if not separator or not key:
            raise ConfigError(f"command line: '{override}' is not of the form dotted.key=value")
        nested: Any = yaml.safe_load(text) if text else None
        for part in reversed(key.split(".")):
            nested = {part: nested}
        _merge(values, nested, "command line", sources)
    return Section(values, "", sources)


def _read(path: Path, chain: tuple[Path, ...]) -> tuple[dict[str, Any], dict[str, str]]:
    path = path.resolve()
    if path in chain:
        raise ConfigError(f"{displayed(path)}: base files form a circle")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        near = difflib.get_close_matches(path.name, [p.name for p in path.parent.glob("*.yaml")], 1)
        raise ConfigError(f"{displayed(path)}: no such config file{_suggest(near)}") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{displayed(path)}: cannot be read: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{displayed(path)}: must hold sections, not {type(values).__name__}")
    merged: dict[str, Any] = {}
    sources: dict[str, str] = {}
    base = values.pop("base", None)
    if base is not None:
        merged, sources = _read(path.parent / str(base), (*chain, path))
    _merge(merged, values, displayed(path), sources)
    return merged, sources


def _merge(into: dict[str, Any], new: Mapping[str, Any], source: str, sources: dict[str, str], path: str = "") -> None:
    replaced = "name" in new and "name" in into and new["name"] != into["name"]
    if replaced:  # another object: the arguments of the old one do not fit
        into.clear()
    for key, value in new.items():
        dotted = f"{path}.{key}" if path else str(key)
        sources[dotted] = source
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
    hints = typing.get_type_hints(target)
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
        except TypeError as error:
            raise ConfigError(f"{section.where(key)}: {error}") from None
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in arguments and name not in given:
            raise ConfigError(f"{section.where()}: '{what}' needs the key '{name}'")
    return arguments


def convert(value: Any, annotation: Any) -> Any:
    """`value` as the annotated type, where YAML can spell it.

    Raises:
        TypeError: the value is of another type.
    """
    if annotation is Any or annotation is inspect.Parameter.empty:
        return value
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        for option in inner:
            try:
                return convert(value, option)
            except TypeError:
                continue
    elif origin is typing.Literal:
        if value in inner:
            return value
    elif annotation is None or annotation is type(None):
        if value is None:
            return None
    elif origin in (list, tuple) or origin is not None and issubclass(origin, Iterable) and not issubclass(
        origin, Mapping
    ):
        if isinstance(value, list | tuple):
            items = [convert(item, inner[0] if inner else Any) for item in value]
            return tuple(items) if origin is tuple else items
    elif annotation in (list, tuple):
        if isinstance(value, list | tuple):
            return annotation(value)
    elif origin in (dict, Mapping) or origin is not None and issubclass(origin, Mapping):
        if isinstance(value, Mapping):
            converted = {convert(k, inner[0]): convert(v, inner[1]) for k, v in value.items()}
            return Section(converted, value.path, value.sources) if isinstance(value, Section) else converted
    elif annotation is float:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        if isinstance(value, str):  # YAML 1.1 reads 1e-4 (no dot) as text
            try:
                return float(value)
            except ValueError:
                pass
    elif annotation is int:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        if isinstance(value, str) and value.isdecimal():
            return int(value)
    elif annotation in (Path,):
        if isinstance(value, str | Path):
            return Path(value)
    elif inspect.isclass(annotation) and isinstance(value, annotation):
        return value
    raise TypeError(f"must be {_spelled(annotation)}, not {value!r}")


def _spelled(annotation: Any) -> str:
    if typing.get_origin(annotation) is typing.Literal:
        return "one of " + ", ".join(repr(a) for a in typing.get_args(annotation))
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):  # written in two ways before Python 3.14
        return " | ".join("None" if part is type(None) else _spelled(part) for part in typing.get_args(annotation))
    return annotation.__name__ if inspect.isclass(annotation) and not typing.get_args(annotation) else str(annotation)
