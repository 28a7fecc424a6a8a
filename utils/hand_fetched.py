"""Files that were downloaded with a browser: recognised in a folder and copied to their destination."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from utils.download import DownloadError, Fetched, check_room
from utils.failures import described
from utils.files import write_atomically
from utils.integrity import Expected, file_sha256, inspect
from utils.paths import displayed

_COPY_NUMBER = re.compile(r" ?\(\d+\)(?=(\.[^.]*)?$)")  # browsers save a second `a.pt` as `a (1).pt` or `a(1).pt`


def _files(folder: Path) -> Iterator[Path]:
    """The files in a folder and its subfolders, without hidden ones."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place, name) for name in sorted(names) if not name.startswith("."))


def _candidates(folder: Path, published: Sequence[str], expected: Expected) -> list[Path]:
    """Files that may be the wanted one: by name, else by name with a copy number, else by size and checksum."""
    if folder.is_file():
        return [folder]
    files = [path for path in _files(folder) if path.is_file()]
    named = [path for path in files if path.name in published]
    renamed = [path for path in files if _COPY_NUMBER.sub("", path.name) in published]
    if named or renamed:
        return named or renamed
    if expected.size is None and expected.sha256 is None:
        return []
    files = [path for path in files if expected.size in (None, path.stat().st_size)]
    return [path for path in files if expected.sha256 in (None, file_sha256(path))]


def take_from(
    folder: Path, published: Sequence[str], destination: Path, expected: Expected
) -> tuple[Path, Fetched] | None:
    """Find a file in `folder` and copy it to `destination`; the original stays.

    It is recognised by a published name, else by that name with a browser's ` (1)` in it, else by its checksum or size.
    If `folder` is a file itself, it is taken whatever its name.

    Args:
        published: names under which its publishers offer it.
    Returns:
        the path of the file found, with its size and checksum; None if no file is recognised.
    Raises:
        DownloadError: no recognised file is complete and right, several differ, or it cannot be copied.
    """
    try:
        paths = _candidates(folder, published, expected)
        if not paths:
            return None
        inspected = [(path, inspect(path, expected)) for path in paths]
        sound = {sha256: (path, size) for path, (size, sha256, problem) in reversed(inspected) if problem is None}
        if not sound:
            reasons = "; ".join(f"{displayed(path)} {problem}" for path, (_, _, problem) in inspected)
            raise DownloadError(f"{displayed(folder)}: {reasons}")
        if len(sound) > 1:
            several = ", ".join(displayed(path) for path, _ in sound.values())
            raise DownloadError(f"{displayed(folder)}: {several} differ; give the path of the right one instead")
        [(sha256, (path, size))] = sound.items()
        destination.parent.mkdir(parents=True, exist_ok=True)
        if not destination.is_file() or file_sha256(destination) != sha256:
            check_room(destination.parent, size)
            write_atomically(destination, lambda temporary: shutil.copyfile(path, temporary))
        return path, Fetched(size, sha256, "")
    except OSError as error:
        error.filename = error.filename or str(folder)
        raise DownloadError(described(error)) from error
