"""Picture files as data sets: which files, how they become squares, and which row of a table belongs to which."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from utils.images import to_tensor
from utils.paths import displayed, resolve
from utils.photos import SUFFIXES, PhotoError, find_photos, read_photo

Box = Sequence[int]


def find_pictures(folder: str | Path) -> tuple[Path, list[Path]]:
    """The folder and the pictures in it and its sub-folders, without hidden ones, in the order of their names.

    Raises:
        FileNotFoundError: no such folder.
    """
    root = resolve(folder)
    if not root.is_dir():
        raise FileNotFoundError(f"{displayed(root)}: no such folder of pictures (see datasets/README.md)")
    return root, [photo.path for photo in find_photos([str(root)])[0]]


def number_in(path: Path) -> int | None:
    """The last number in a file's name without its suffix: 00012.png and img00000012.png are 12."""
    digits = re.findall(r"\d+", path.stem)
    return int(digits[-1]) if digits else None


def read_square(path: Path, side: int, crop: Box | None = None) -> Image.Image:
    """A picture as side × side RGB (Lanczos).

    Args:
        crop: (left, top, right, bottom) in its pixels, of which the centred square is taken; by default all of it.
    Raises:
        PhotoError: unreadable, or smaller than the crop; names the file.
    """
    try:
        picture = read_photo(path, 1 << 30 if crop else 4 * side)
    except PhotoError as error:
        raise PhotoError(f"{displayed(path)}: {error}") from error
    left, top, right, bottom = crop or (0, 0, *picture.size)
    if right > picture.width or bottom > picture.height:
        raise PhotoError(f"{displayed(path)}: {picture.width} × {picture.height} pixels, too small for the crop {crop}")
    square = min(right - left, bottom - top)
    left, top = left + (right - left - square) // 2, top + (bottom - top - square) // 2
    if (square, square) != picture.size:
        picture = picture.crop((left, top, left + square, top + square))
    return picture if square == side else picture.resize((side, side), Image.Resampling.LANCZOS)


class Pictures(Dataset):
    """Picture files as items: `image` (3, side, side) in [−1, 1] and `index`.

    Args:
        root: folder that the files lie in.
        crop: see `read_square`.
    """

    def __init__(self, root: Path, paths: Sequence[Path], side: int, crop: Box | None = None) -> None:
        self.root, self.paths, self.side, self.crop = root, list(paths), side, tuple(crop) if crop else None

    def fingerprint(self) -> str:
        """Hash of the pictures' side and crop, and of the files' names and sizes."""
        files = (f"{path.relative_to(self.root)} {path.stat().st_size}" for path in self.paths)
        crop = [str(self.crop)] if self.crop else []
        listing = "\n".join([str(self.side), *crop, *files])
        return hashlib.sha256(listing.encode()).hexdigest()[:16]

    def __len__(self) -> int:
        return len(self.paths)

    def path(self, index: int) -> Path:
        """File of an item."""
        return self.paths[index]

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
    """

    def __init__(self, root: Path, paths: Iterable[Path]) -> None:
        self.root = root
        self.found: set[Path] = set()
        self._by_key: list[dict[str, Path | None]] = [{}, {}, {}]
        for path in paths:
            for keys, key in zip(self._by_key, _keys(path.relative_to(root).as_posix()), strict=True):
                keys[key] = None if key in keys else path

    def find(self, name: str) -> Path | None:
        """The picture of that name, or None."""
        for keys, key in zip(self._by_key, _keys(name.replace("\\", "/")), strict=True):
            path = keys.get(key)
            if path is not None:
                self.found.add(path)
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
            f"{displayed(table)}: none of its {len(wanted)} pictures ('{wanted[0]}' is the first) is in "
            f"{displayed(root)}, which has {unused} others"
        )
    if lost:
        print(
            f"{displayed(table)}: {len(lost)} of its {len(wanted)} pictures are not in {displayed(root)} and are left "
            f"out ('{lost[0]}' is the first)",
            file=sys.stderr,
        )
    if unused:
        print(f"{displayed(table)}: names no values of {unused} pictures in {displayed(root)}", file=sys.stderr)
