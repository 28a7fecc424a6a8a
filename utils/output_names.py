"""File names for results: safe, short enough, and never the same for two inputs."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from utils.photos import Photo

NAME_LIMIT = 240  # bytes of a whole file name; file systems take 255


def _digest(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:8]


def shortened(name: str, limit: int) -> str:
    """The name within `limit` bytes; what is cut off is replaced by a hash of the whole name."""
    if len(os.fsencode(name)) <= limit:
        return name
    digest = _digest(name)
    while len(os.fsencode(name)) > limit - len(digest) - 1:
        name = name[:-1]
    return f"{name}-{digest}"


def _key(path: Path) -> str:
    """What case-insensitive and Unicode-normalising file systems hold to be one name."""
    return unicodedata.normalize("NFC", str(path)).casefold()


def _candidates(photo: Photo) -> list[str]:
    stem, suffix, parent = photo.name.stem, photo.name.suffix.lstrip("."), photo.path.absolute().parent.name
    stem = photo.name.name if stem.strip(".") == "" else stem  # of `..png`: a dot names a folder
    marked = f"{stem}-{suffix}" if suffix else stem
    return [stem, marked, f"{parent}-{marked}", f"{marked}-{_digest(str(photo.path.absolute()))}"]


def output_names(photos: Sequence[Photo], limit: int) -> list[Path]:
    """A relative path without suffix for each photo: its own name, and more where several would get the same one.

    Equal stems get their suffixes (`face-jpg`, `face-png`), equal files of several folders the folder's name too. The
    last part has at most `limit` bytes.
    """
    names: dict[int, Path] = {}
    taken: set[str] = set()
    waiting = list(range(len(photos)))
    levels = len(_candidates(photos[0])) if photos else 0
    for level in range(levels):
        wanted: dict[str, list[int]] = {}
        for index in waiting:
            name = photos[index].name.with_name(shortened(_candidates(photos[index])[level], limit))
            names[index] = name
            wanted.setdefault(_key(name), []).append(index)
        resolved = {indices[0] for key, indices in wanted.items() if len(indices) == 1 and key not in taken}
        taken |= {_key(names[index]) for index in resolved}
        waiting = [index for index in waiting if index not in resolved]
    for index in waiting:  # only if hashes meet
        names[index] = names[index].with_name(f"{names[index].name}-{index}")
    return [names[index] for index in range(len(photos))]
