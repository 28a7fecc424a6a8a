"""The project's folder, so that every command works from any other."""

from __future__ import annotations

import os
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HUB = "hf:"  # start of the address of a file on the Hugging Face Hub, see `utils.hub`
_IN_HUB_CACHE = re.compile(r"/models--(?!.*/models--)(.+?)--(.+?)/snapshots/([0-9a-f]{40})/(.+)$")  # `--` is in no name


def expanded(path: str | Path) -> Path:
    """A path whose leading `~` is the home folder.

    Raises:
        ValueError: of a user who is not there.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ValueError(f"{str(path)[:200]}: there is no home folder of that name") from None


def absolute(path: str | Path) -> Path:
    """The absolute path without links; of a circle of links its own, so that reading it says what is wrong."""
    try:
        return Path(path).resolve()
    except (OSError, RuntimeError):
        return Path(path).absolute()


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


def hub_address(path: str | Path) -> str | None:
    """`hf:OWNER/NAME/FILE@COMMIT` of a file in the cache of the hub's library; None of any other."""
    found = _IN_HUB_CACHE.search(Path(path).as_posix())
    return f"{HUB}{found[1]}/{found[2]}/{found[4]}@{found[3]}" if found else None


def displayed(path: str | Path) -> str:
    """The shortest way to name a file to a person: relative to the project or to the current folder, or its address on
    the hub."""
    if address := hub_address(path):
        return address
    path = absolute(path)
    for base in (Path.cwd(), ROOT):
        if path.is_relative_to(base):
            return str(path.relative_to(base))
    return str(path)
