"""Where the weight files of a domain lie now."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.domain import PARTS, DomainSettings
from utils.config import ConfigError, Section, load_config
from utils.hub import available
from utils.paths import displayed, expanded, resolve


def config_path(path: str | Path) -> Path:
    """A config that a person names: in the current folder, or below the project's."""
    here = expanded(path)
    return here if here.is_file() else resolve(here)


def relocated(
    domain: Section, beside: Path, weights: str | Path | None = None, config: str | Path | None = None
) -> Section:
    """A domain's section with the places where its weight files lie now; fingerprints tell whether they are the same.

    A part that the section lacks, because the editor is older than it, is that of `config`.

    Args:
        beside: folder of the editor.
        weights, config: see `load_editor`.
    Raises:
        ConfigError: the folder is none or holds none of the files, or the config cannot be read or is of no domain, or
            of another one.
    """
    folder = None if weights is None else expanded(weights)
    if folder is not None and not folder.is_dir():
        raise ConfigError(f"--weights {folder}: there is no such folder")
    named: Mapping[str, Any] = {} if config is None else _config_of(domain, config_path(config))
    moved, names = domain.plain(), []
    for part in PARTS:
        section, other = moved.get(part), named.get(part)
        if section is None and isinstance(other, Mapping):
            section = moved[part] = dict(other)
        if not isinstance(section, dict) or not isinstance(section.get("weights"), str):
            continue
        if isinstance(other, Mapping) and isinstance(other.get("weights"), str):
            section["weights"] = other["weights"]
        name = Path(section["weights"]).name
        names.append(name)
        if folder is not None and (folder / name).is_file():
            section["weights"] = str((folder / name).absolute())
        elif not resolve(section["weights"]).exists() and available(beside / name):
            section["weights"] = str((beside / name).absolute())
    if folder is not None and not any((folder / name).is_file() for name in names):
        raise ConfigError(f"--weights {folder}: holds none of the domain's weight files ({', '.join(names)})")
    return Section(moved, domain.path, domain.sources)


def _config_of(domain: Section, path: Path) -> Section:
    """The config of the same domain in a file.

    Raises:
        ConfigError: it cannot be read, or is of another domain or of something else.
    """
    config = load_config(path)
    settings = DomainSettings.from_section(config, PARTS)
    if settings.name != domain.get("name"):
        raise ConfigError(f"{displayed(path)}: is of domain '{settings.name}', not of '{domain.get('name')}'")
    return config
