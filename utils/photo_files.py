"""Which files are pictures: what folders, files and patterns stand for, and what is passed over on the way."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from utils.photos import Photo, printable

SUFFIXES = frozenset(
    (".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
    + (".pnm", ".tga", ".jp2", ".avif", ".heic", ".heif", ".hif")
)
# What lies beside pictures and is not missed: texts, tables, settings, links, sidecars of cameras and systems.
_LITTER = frozenset(
    (".txt", ".md", ".rst", ".html", ".htm", ".json", ".jsonl", ".csv", ".tsv", ".xml", ".yaml", ".yml", ".log", ".ini")
    + (".db", ".lock", ".url", ".webloc", ".lnk", ".xmp", ".aae")
)
_SUFFIX = re.compile(r"\.(?=[0-9]*[a-z])[a-z0-9]{1,12}")  # else it is a part of the name: photo.jpg?w=64, J. Smith, a.2
_SIGNATURES = (
    *(b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*"),
    b"\0\0\0\x0cjP  \r\n\x87\n",  # JPEG 2000
)
_BRANDS = re.compile(rb"....ftyp(avi[fs]|hei[cxms]|hev[cxms]|mif1|msf1)", re.DOTALL)
_BITMAP = re.compile(rb"BM.{4}\0{4}", re.DOTALL)
_NO_SUFFIX, _LINK = "without suffix", "linked folders"
_PICTURE, _MISSED_BY_NOBODY = "picture", "litter"
_SHOWN_KINDS = 8


@dataclass
class FoundPhotos:
    """What `find_photos` found.

    Attributes:
        photos: the pictures, each once.
        problems: a sentence for each argument that names no picture and for each folder that cannot be read.
        passed_over: suffix (or `without suffix`, `linked folders`) → number of files that were no candidates.
    """

    photos: list[Photo] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    passed_over: Counter[str] = field(default_factory=Counter)

    def remarks(self) -> list[str]:
        """`passed over: 2 .jxl, 1 without suffix`; nothing where nothing was."""
        kinds = self.passed_over.most_common()
        said = [f"{count:,} {kind}" for kind, count in kinds[:_SHOWN_KINDS]]
        if rest := kinds[_SHOWN_KINDS:]:
            said.append(f"{sum(count for _, count in rest):,} of {len(rest)} other kinds")
        return [f"passed over: {', '.join(said)}"] if said else []


def find_photos(
    arguments: Iterable[str], leave_out: Path | None = None, suffixes: frozenset[str] = SUFFIXES
) -> FoundPhotos:
    """The pictures that files, folders (with sub-folders) and patterns stand for.

    In folders and patterns, files with one of the `suffixes` count, and files without a suffix whose contents begin as
    a picture's do; a file named by itself always does. All others are passed over and counted, except for texts, tables
    and the like. Hidden files and everything below `leave_out` are neither taken nor counted.
    """
    photos: dict[str, Photo] = {}
    passed_over: dict[str, str] = {}
    problems: list[str] = []
    for argument in arguments:
        if os.path.isdir(argument):
            paths, others = _walk(Path(argument), leave_out, problems)
            named = [(path, path.relative_to(argument)) for path in paths]
            reason = "no pictures in this folder"
        elif os.path.lexists(argument) or not glob.has_magic(argument):
            photos.setdefault(os.path.abspath(argument), Photo(Path(argument), Path(Path(argument).name)))
            continue
        else:
            matches = [Path(match) for match in sorted(glob.glob(argument, recursive=True))]
            named = [(path, Path(path.name)) for path in matches if path.is_file() and not path.name.startswith(".")]
            others, reason = {}, "no pictures match this pattern"
        kinds = {path: _kind(path, suffixes) for path, _ in named}
        found = [Photo(path, name) for path, name in named if kinds[path] == _PICTURE]
        others |= {path: kind for path, kind in kinds.items() if kind not in (_PICTURE, _MISSED_BY_NOBODY)}
        if not found:
            remarks = FoundPhotos(passed_over=Counter(others.values())).remarks()
            problems.append("; ".join([f"{printable(argument)}: {reason}", *remarks]))
        for photo in found:
            photos.setdefault(os.path.abspath(photo.path), photo)
        passed_over |= {os.path.abspath(path): kind for path, kind in others.items()}
    return FoundPhotos(list(photos.values()), problems, Counter(passed_over.values()))


def _walk(folder: Path, leave_out: Path | None, problems: list[str]) -> tuple[list[Path], dict[Path, str]]:
    """The files in a folder and below, by name, and the links to folders, which are not followed; hidden ones of both
    left out."""
    left_out = os.path.realpath(leave_out) if leave_out is not None else None  # takes circles of links as they are

    def note(error: OSError) -> None:
        problems.append(f"{printable(error.filename)}: this folder cannot be read ({error.strerror})")

    files: list[Path] = []
    links: dict[Path, str] = {}
    for root, folders, names in os.walk(folder, onerror=note):
        below = [Path(root) / name for name in folders if not name.startswith(".")]
        folders[:] = [path.name for path in below if os.path.realpath(path) != left_out]
        links |= {path: _LINK for path in below if path.is_symlink()}
        files += [Path(root) / name for name in names if not name.startswith(".")]
    return sorted(files), links


def _kind(path: Path, suffixes: frozenset[str]) -> str:
    """Whether a file is a picture, and else how it is counted."""
    suffix = path.suffix.lower()
    if path.name.endswith("~"):  # an editor's copy of the file before
        return _MISSED_BY_NOBODY
    if suffix in suffixes:
        return _PICTURE
    if _SUFFIX.fullmatch(suffix):
        return _MISSED_BY_NOBODY if suffix in _LITTER else suffix
    return _PICTURE if begins_as_picture(path) else _NO_SUFFIX


def begins_as_picture(path: Path) -> bool:
    """Whether the first bytes of a file are those of a picture of a known format; damaged ones count, too."""
    try:
        if not path.is_file():  # a pipe would block
            return False
        with path.open("rb") as stream:
            head = stream.read(16)
    except OSError:
        return False
    web = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    return web or head.startswith(_SIGNATURES) or any(pattern.match(head) for pattern in (_BRANDS, _BITMAP))
