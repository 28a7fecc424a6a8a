"""Names that configs use for kinds of objects, and the classes behind them, which are imported when they are used."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Generic, TypeVar

from utils.config import ConfigError, Section, check_arguments, nearest

Kind = TypeVar("Kind")
Part = TypeVar("Part")


class Names(ABC, Generic[Kind]):
    """Names of classes of one kind.

    Args:
        kind: what such an object is called in messages.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind

    @abstractmethod
    def names(self) -> list[str]:
        """All names, without importing what they stand for."""

    @abstractmethod
    def load(self, name: str) -> type[Kind]:
        """The class that one of the names stands for."""

    def find(self, section: Section) -> type[Kind]:
        """The class named by the section.

        Raises:
            ConfigError: no name, or an unknown one.
        """
        name, names = section.get("name"), self.names()
        if name is None:
            raise ConfigError(f"{section.where()}: a {self.kind} needs 'name', one of {', '.join(names)}")
        if name not in names:
            raise ConfigError(f"{section.where('name')}: unknown {self.kind} '{name}'{nearest(name, names)}")
        return self.load(name)

    def build_a(self, kind: type[Part], section: Section, **interface: Any) -> Part:
        """The object that the section describes, which is of a kind.

        Raises:
            ConfigError: as `build`, or the name is that of another kind of object.
        """
        if not issubclass(self.find(section), kind):
            fit = [name for name in self.names() if issubclass(self.load(name), kind)]
            raise ConfigError(f"{section.where('name')}: must be {' or '.join(fit)}, not '{section['name']}'")
        built: Any = self.build(section, **interface)
        found: Part = built
        return found

    def build(self, section: Section, **interface: Any) -> Kind:
        """The object that the section describes; `interface` holds what only the caller knows (domain, sizes).

        Entries of `interface` that the constructor does not take are left out.

        Raises:
            ConfigError: unknown name or key, missing key or wrong type.
        """
        cls = self.find(section)
        interface = {key: value for key, value in interface.items() if key in inspect.signature(cls).parameters}
        arguments = check_arguments(section, cls, interface, f"{self.kind} {section['name']}")
        return cls(**arguments, **interface)


class Catalogue(Names[Any]):
    """Names that are listed one by one.

    Args:
        entries: name → `module:Class`.
    """

    def __init__(self, kind: str, entries: Mapping[str, str]) -> None:
        super().__init__(kind)
        self.entries = dict(entries)

    def names(self) -> list[str]:
        return list(self.entries)

    def load(self, name: str) -> type[Any]:
        module, _, attribute = self.entries[name].partition(":")
        found: type[Any] = getattr(importlib.import_module(module), attribute)
        return found


class Modules(Names[Kind]):
    """The modules of a package, each of which defines one class of the kind and is called as configs call it.

    Args:
        package: full name of the package.
        base: what the classes derive from.
        helpers: modules of the package that define no such class.
    """

    def __init__(self, kind: str, package: str, base: type[Kind], helpers: Collection[str] = ()) -> None:
        super().__init__(kind)
        self.package, self.base, self.helpers = package, base, frozenset(helpers)

    def names(self) -> list[str]:
        folders: Iterable[str] = importlib.import_module(self.package).__path__
        return sorted(module.name for module in pkgutil.iter_modules(folders) if module.name not in self.helpers)

    def load(self, name: str) -> type[Kind]:
        """The class that the module defines.

        Raises:
            TypeError: it defines none, or several.
        """
        module = importlib.import_module(f"{self.package}.{name}")
        own = [value for value in vars(module).values() if getattr(value, "__module__", None) == module.__name__]
        found = [value for value in own if isinstance(value, type) and issubclass(value, self.base)]
        if len(found) != 1:
            raise TypeError(
                f"{module.__name__} must define one subclass of {self.base.__name__}, not {len(found)}; "
                f"modules that define none are named as helpers in {self.package}"
            )
        return found[0]
