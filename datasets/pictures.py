"""Picture files as data sets: which files, how they become squares, and which row of a table belongs to which.

One rule for pictures that cannot be read holds for all of these data sets: none is left out in silence, since with it
would go the number of items and their order. Before work begins (a training, its dry run, an evaluation, the encoding
of a latent cache), `check_pictures` reads every picture once and names all that cannot be read in one error; the user
removes or replaces them, or, as for a picture that is too small for the crop, changes the setting. A picture that goes
bad later stops a training after its state is saved (`training.loop.UnreadableItem`).
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from utils.excerpts import excerpt
from utils.files import write_text
from utils.images import to_tensor
from utils.paths import displayed, resolve
from utils.photo_files import SUFFIXES, find_photos
from utils.photos import PhotoError, printable, read_photo

Box = Sequence[int]
_SHOWN = 20  # unreadable pictures in a message
_AT_ONCE = 256  # pictures handed to the reading threads


class UnreadablePictures(ValueError):
    """Pictures of a data set cannot be read; the message names the first ones and counts all.

    Attributes:
        reasons: a sentence for each of them.
        count: pictures in all.
    """

    def __init__(self, reasons: Sequence[str], count: int) -> None:
        self.reasons, self.count = list(reasons), count
        super().__init__(self.message())

    def message(self, folder: Path | None = None) -> str:
        """What to tell the user.

        Args:
            folder: gets the whole list as `unreadable_pictures.txt` where it is too long for a message.
        """
        lines = self.reasons
        head = f"{len(lines):,} of {self.count:,} pictures cannot be read; remove or replace them, then start again:"
        if len(lines) <= _SHOWN:
            return "\n  ".join([head, *lines])
        rest = f"and {len(lines) - _SHOWN:,} more"
        if folder is not None:
            path = folder / "unreadable_pictures.txt"
            with suppress(OSError):  # the pictures are what matters
                write_text(path, "\n".join(lines) + "\n")
                rest += f"; all are listed in {displayed(path)}"
        return "\n  ".join([head, *lines[:_SHOWN], rest])


@runtime_checkable
class ReadsPictures(Protocol):
    """A data set that reads picture files."""

    def files(self) -> Sequence[Path]:
        """The files that have not been read yet and will be, in the order of the items."""

    def unreadable(self, path: Path) -> str:
        """Which of them it is and why it cannot be read; empty if it can."""


@runtime_checkable
class Prepares(Protocol):
    """A data set that computes what it keeps before work begins."""

    def prepare(self, checked: bool = False) -> Any:
        """Compute what is not stored yet; until then, items are computed when they are read.

        Args:
            checked: `check_pictures` has been called with this data set.
        """


def check_pictures(*sources: object) -> None:
    """Read every picture that these data sets will read, several at once; data sets of other kinds need no check.

    Raises:
        UnreadablePictures: naming all that cannot be read.
    """
    todo = [(source, path) for source in sources if isinstance(source, ReadsPictures) for path in source.files()]
    reasons: dict[str, None] = {}  # in order, each once
    with (
        ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as readers,
        tqdm(total=len(todo), unit="picture", desc="reading all pictures once", dynamic_ncols=True, delay=2) as bar,
    ):
        for first in range(0, len(todo), _AT_ONCE):  # an interrupt waits for no more than these
            part = todo[first : first + _AT_ONCE]
            for reason in readers.map(lambda one: one[0].unreadable(one[1]), part):
                reasons |= {reason: None} if reason else {}
                bar.update()
    if reasons:
        raise UnreadablePictures(list(reasons), len({path for _, path in todo}))


def find_pictures(folder: str | Path) -> tuple[Path, list[Path]]:
    """The folder and the pictures in it and its sub-folders, without hidden ones, in the order of their names.

    What else lies there is counted on the terminal, see `utils.photo_files.find_photos`.

    Raises:
        FileNotFoundError: no such folder, or no picture in it.
    """
    root = resolve(folder)
    if not root.is_dir():
        raise FileNotFoundError(f"{displayed(root)}: no such folder of pictures (see datasets/README.md)")
    found = find_photos([str(root)])
    if not found.photos:
        raise FileNotFoundError("; ".join([*found.problems, *found.remarks()]))
    for remark in (*found.problems, *(f"{displayed(root)}: {remark}" for remark in found.remarks())):
        print(remark, file=sys.stderr)
    return root, [photo.path for photo in found.photos]


def number_in(path: Path) -> int | None:
    """The last number in a file's name without its suffix: 00012.png and img00000012.png are 12."""
    digits = re.findall(r"\d+", path.stem)
    return int(digits[-1]) if digits else None


def read_square(path: Path, side: int, crop: Box | None = None) -> Image.Image:
    """A picture as side × side RGB (Lanczos).

    Args:
        crop: (left, top, right, bottom) in its pixels, of which the centred square is taken; by default all of it.
    Raises:
        PhotoError: unreadable, smaller than the crop, or less than half as wide or high as `side`, as `ResizeAligner`
            refuses it; names the file.
    """
    picture = read_cropped(path, 4 * side, crop)
    if min(picture.size) < side // 2:
        size = f"{picture.width} × {picture.height}"
        raise PhotoError(f"{named(path)}: {size} pixels, too small: at least {side // 2} a side are needed")
    picture = _centred_square(picture, (0, 0, *picture.size))
    return picture if picture.width == side else picture.resize((side, side), Image.Resampling.LANCZOS)


def read_cropped(path: Path, enough: int, crop: Box | None = None) -> Image.Image:
    """The centred square of a picture's crop; without a crop the picture, reduced as `read_photo` does.

    Raises:
        PhotoError: see `read_square`.
    """
    try:
        picture = read_photo(path, 1 << 30 if crop else enough)
    except PhotoError as error:
        raise PhotoError(f"{named(path)}: {error}") from error
    if crop is None:
        return picture
    if crop[2] > picture.width or crop[3] > picture.height:
        size = f"{picture.width} × {picture.height} pixels"
        raise PhotoError(f"{named(path)}: {size}, too small for the crop {crop}")
    return _centred_square(picture, crop)


def _centred_square(picture: Image.Image, box: Box) -> Image.Image:
    left, top, right, bottom = box
    square = min(right - left, bottom - top)
    left, top = left + (right - left - square) // 2, top + (bottom - top - square) // 2
    if (square, square) == picture.size:
        return picture
    return picture.crop((left, top, left + square, top + square))


def named(path: Path) -> str:
    """How messages call a picture's file."""
    return printable(Path(displayed(path.parent)) / path.name)  # a link by its own name, not by its target's


def _state(path: Path) -> tuple[int, int]:
    """Size (bytes) and time of change (ns) of a file; of one that cannot be read, which `check_pictures` names, −1."""
    try:
        state = path.stat()
    except OSError:
        return -1, -1
    return state.st_size, state.st_mtime_ns


class Pictures(Dataset):
    """Picture files as items: `image` (3, side, side) in [−1, 1] and `index`.

    Args:
        root: folder that the files lie in.
        crop: see `read_square`.
    """

    holds: tuple[str, ...] = ("image", "index")  # keys of the items

    def __init__(self, root: Path, paths: Sequence[Path], side: int, crop: Box | None = None) -> None:
        self.root, self.paths, self.side, self.crop = root, list(paths), side, tuple(crop) if crop else None

    def fingerprint(self) -> str:
        """Hash of the pictures' side and crop, and of the files' names and sizes."""
        files = (f"{path.relative_to(self.root)} {_state(path)[0]}" for path in self.paths)
        crop = [str(self.crop)] if self.crop else []
        listing = "\n".join([str(self.side), *crop, *files])
        return hashlib.sha256(os.fsencode(listing)).hexdigest()[:16]

    def __len__(self) -> int:
        return len(self.paths)

    def path(self, index: int) -> Path:
        """File of an item."""
        return self.paths[index % len(self.paths)]

    def files(self) -> list[Path]:
        """See `ReadsPictures`."""
        return self.paths

    def keys(self) -> list[str]:
        """A hash for each item of its file (place, size, time of change) and of how it is cut out and reduced.

        Equal in all data sets that the picture is in, as long as nobody touches the file.
        """
        said = (f"{self.side} {self.crop} {_state(path)} {path.absolute()}" for path in self.paths)
        return [hashlib.blake2b(os.fsencode(one), digest_size=12).hexdigest() for one in said]

    def unreadable(self, path: Path) -> str:
        """See `ReadsPictures`."""
        try:
            read_square(path, self.side, self.crop)
        except PhotoError as error:
            return str(error)
        return ""

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        image = to_tensor(read_square(self.paths[index], self.side, self.crop))
        return {"image": image, "index": torch.tensor(index)}


class LabelledPictures(Pictures):
    """Pictures with attribute values.

    Items: `image` and `index`, `values` (A,) in [0, 1] and `labels` (A,), values above 0.5 as 0 or 1; both NaN where
    the value is not known.

    Args:
        attributes: names of the A columns.
        values: (N, A) float32.
        mirror: items N … 2 N − 1 are the same pictures, mirrored.
    """

    holds = ("image", "values", "labels", "index")

    def __init__(
        self, root: Path, paths: Sequence[Path], attributes: Sequence[str], values: np.ndarray, side: int,
        crop: Box | None = None, mirror: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(root, paths, side, crop)
        self.attributes, self.values, self.mirror = tuple(attributes), torch.from_numpy(values), mirror

    def __len__(self) -> int:
        return len(self.paths) * (2 if self.mirror else 1)

    def fingerprint(self) -> str:
        """As of the pictures alone: labels do not change what a network sees."""
        return super().fingerprint() + ("-mirrored" if self.mirror else "")

    def keys(self) -> list[str]:
        """Of the pictures and of their mirror images."""
        keys = super().keys()
        return keys + [f"{key}-mirrored" for key in keys] if self.mirror else keys

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if not 0 <= index < len(self):
            raise IndexError(f"picture {index} of {len(self)}")
        source = index % len(self.paths)
        item = super().__getitem__(source)
        values = self.values[source]
        labels = torch.where(values.isnan(), values, (values > 0.5).float())
        image = item["image"] if source == index else item["image"].flip(-1)
        return {"image": image, "values": values, "labels": labels, "index": torch.tensor(index)}


class PictureIndex:
    """Finds the picture that a table means, though suffix or sub-folder differ.

    A name is looked up as it stands, then without its suffix, then without its folder; what two pictures share finds
    neither of them.

    Attributes:
        found: picture → the name that it was found by.
    """

    def __init__(self, root: Path, paths: Iterable[Path]) -> None:
        self.root = root
        self.found: dict[Path, str] = {}
        self._by_key: list[dict[str, Path | None]] = [{}, {}, {}]
        for path in paths:
            for keys, key in zip(self._by_key, _keys(path.relative_to(root).as_posix()), strict=True):
                keys[key] = None if key in keys else path

    def find(self, name: str) -> Path | None:
        """The picture of that name, or None.

        Raises:
            ValueError: another name has found it already: one of the two would be taken for the other.
        """
        for keys, key in zip(self._by_key, _keys(name.replace("\\", "/")), strict=True):
            path = keys.get(key)
            if path is not None:
                if self.found.setdefault(path, name) != name:
                    both = f"{excerpt(self.found[path])} and {excerpt(name)}"
                    raise ValueError(f"{displayed(path)}: is meant by two rows of the table, {both}; delete one")
                return path
        return None


def _keys(name: str) -> tuple[str, str, str]:
    path = PurePosixPath(name)
    bare = path.with_suffix("") if path.suffix.lower() in SUFFIXES else path
    return str(path), str(bare), bare.name


def report_unmatched(table: Path, root: Path, wanted: Sequence[str], lost: Sequence[str], unused: int) -> None:
    """Say how many rows of a table have no picture and how many pictures no row.

    Args:
        wanted, lost: names of all rows, and of those without a picture.
        unused: pictures without a row.
    Raises:
        FileNotFoundError: no picture is left.
    """
    if len(lost) == len(wanted):
        raise FileNotFoundError(
            f"{displayed(table)}: none of its {len(wanted)} pictures ({excerpt(wanted[0])} is the first) is in "
            f"{displayed(root)}, which has {unused} others"
        )
    if lost:
        print(
            f"{displayed(table)}: {len(lost)} of its {len(wanted)} pictures are not in {displayed(root)} and are left "
            f"out ({excerpt(lost[0])} is the first)",
            file=sys.stderr,
        )
    if unused:
        print(f"{displayed(table)}: names no values of {unused} pictures in {displayed(root)}", file=sys.stderr)
