"""The project's folder, so that every command works from any other."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def resolve(path: str | Path) -> Path:
    """Absolute form of a path from a config: relative ones start at the project's folder."""
    path = Path(path).expanduser()
    return path if path.is_absolute() else ROOT / path


def displayed(path: str | Path) -> str:
    """The shortest way to name a file to a person: relative to the project or to the current folder."""
    path = Path(path).resolve()
    for base in (Path.cwd(), ROOT):
        if path.is_relative_to(base):
            return str(path.relative_to(base))
    return str(path)
