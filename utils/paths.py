"""The project's folder, so that every command works from any other."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def expanded(path: str | Path) -> Path:
    """A path whose leading `~` is the home folder.

    Raises:
        ValueError: of a user who is not there.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ValueError(f"{str(path)[:200]}: there is no home folder of that name") from None


def resolve(path: str | Path) -> Path:
    """Absolute form of a path from a config: relative ones start at the project's folder."""
    path = expanded(path)
    return path if path.is_absolute() else ROOT / path


def innermost(path: Path) -> Path | None:
    """The path itself where there is something, else the innermost file or folder on the way to it."""
    for part in (path, *path.parents):
        if os.path.lexists(part):
            return part
    return None


def displayed(path: str | Path) -> str:
    """The shortest way to name a file to a person: relative to the project or to the current folder."""
    try:
        path = Path(path).resolve()
    except (OSError, RuntimeError):  # a circle of links
        return str(path)
    for base in (Path.cwd(), ROOT):
        if path.is_relative_to(base):
            return str(path.relative_to(base))
    return str(path)
