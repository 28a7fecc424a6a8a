"""Data sets of drawn avatars: pictures with true attribute values, annotators' labels, masks and identities."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import numpy as np
import torch
from numpy.lib.format import dtype_to_descr, write_array_header_1_0
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from datasets.avatar_factors import (
    ATTRIBUTES,
    Factors,
    annotate,
    draw_factors,
    draw_identity,
    generator,
    redraw,
    source_normals,
)
from datasets.avatar_renderer import MASK_VERSION, RENDERER_VERSION, render, render_mask
from models.parsing.masks import mirrored
from utils.files import remove_litter, write_atomically
from utils.paths import resolve
from utils.ranges import Between, Count, Fraction, NewFolder, Whole

__all__ = ["ATTRIBUTES", "SPLITS", "AvatarFaces", "AvatarIdentities", "Factors", "annotate", "draw_factors", "render"]

Split = Literal[
    "train", "validation", "test", "judge_train", "judge_test", "identity_train", "identity_test", "editor_train",
    "samples",
]  # fmt: skip
Drawn = Annotated[int, Between(8, 4096)]  # side of a picture
Identities = Annotated[int, Between(1, 10_000_000)]
Views = Annotated[int, Between(1, 1000)]  # of one of them

# One seed for each use, so that no face of one is a face of another.
SPLITS: dict[Split, int] = {
    "train": 0,
    "validation": 1,
    "test": 2,
    "judge_train": 3,
    "judge_test": 4,
    "identity_train": 5,
    "identity_test": 6,
    "editor_train": 7,
    "samples": 8,
}
_Kind = TypeVar("_Kind", bound="_Avatars")
_LABEL_STREAM = 1  # beside the stream that draws the factors


def cached_rows(path: Path, count: int, draw: Callable[[int], np.ndarray], what: str) -> None:
    """Make a file of `count` equal arrays unless it exists; an interrupted run leaves no such file behind."""
    if not path.exists():
        remove_litter(path.parent)
        write_atomically(path, lambda temporary: _write_rows(temporary, count, draw, what))


def _write_rows(path: Path, count: int, draw: Callable[[int], np.ndarray], what: str) -> None:
    """A .npy file of `count` equal arrays. Written row by row: a memory map on a full disk kills the process."""
    first = draw(0)
    with path.open("wb") as stream:
        header = {"descr": dtype_to_descr(first.dtype), "fortran_order": False, "shape": (count, *first.shape)}
        write_array_header_1_0(stream, header)
        for item in tqdm(range(count), desc=what, unit="face", leave=False):
            stream.write(np.ascontiguousarray(draw(item), first.dtype).tobytes())


def _to_mask(mask: np.ndarray) -> Tensor:
    return torch.from_numpy(mask).long()


def _to_image(picture: np.ndarray) -> Tensor:
    return torch.from_numpy(picture).permute(2, 0, 1).contiguous().float().div_(127.5).sub_(1.0)


class _Avatars(Dataset):
    """Pictures of `count` records, drawn when they are read, or kept in a memory-mapped file once `prepare` made it.

    Attributes:
        holds: keys of the items.
        paths: files of the cache: of the pictures, and of what belongs to them; none without a cache.
    """

    holds: tuple[str, ...] = ("image", "values", "labels", "index")

    def __init__(self, count: int, seed: int, side: int, cache: str | None, arguments: dict[str, object]) -> None:
        self.count, self.seed, self.side = count, seed, side
        self.attributes = ATTRIBUTES
        self.arguments = {"kind": type(self).__name__, "count": count, "seed": seed, **arguments}
        self.paths: tuple[Path, ...] = ()
        if cache is not None:
            path = resolve(cache) / f"faces-{self.fingerprint()}.npy"
            self.paths = path, path.with_suffix(".values.npy")
        self._opened: list[np.ndarray] = []

    def prepare(self: _Kind, checked: bool = False) -> _Kind:
        """Draw what is not in the cache yet, with a progress bar; returns itself.

        Args:
            checked: see `LatentCache.prepare`; here there is nothing to check.
        """
        if self.paths:
            cached_rows(self.paths[1], self.count, self._values_and_labels, "attributes")
            cached_rows(self.paths[0], self.count, self._draw, "drawing avatars")
        return self

    @property
    def undrawn(self) -> int:
        """Faces that `prepare` will draw."""
        return 0 if all(path.exists() for path in self.paths) else self.count

    def factors(self, index: int) -> Factors:
        """The record that item `index` is drawn from."""
        raise NotImplementedError

    def number(self, index: int) -> int:
        """What makes item `index` unique within its seed."""
        raise NotImplementedError

    def fingerprint(self) -> str:
        """Hash of all that decides the items."""
        key = json.dumps({**self.arguments, "side": self.side, "renderer": RENDERER_VERSION}, sort_keys=True)
        return hashlib.sha256(key.encode()).hexdigest()[:16]

    def _draw(self, index: int) -> np.ndarray:
        return render(self.factors(index), self.side)

    def _values_and_labels(self, index: int) -> np.ndarray:
        factors = self.factors(index)
        labels = annotate(factors, generator(self.seed, self.number(index), _LABEL_STREAM))
        return np.stack([factors.values(), labels])

    def _stored(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Pixels (side, side, 3) uint8; true values and labels (2, 5) of an item."""
        if not self._files():
            return self._draw(index), self._values_and_labels(index)
        pictures, truth, *_ = self._files()
        return np.array(pictures[index]), np.array(truth[index])

    def _files(self) -> list[np.ndarray]:
        """The files of `paths`, as memory maps; none until all are there."""
        if not self._opened and all(path.exists() for path in self.paths):
            self._opened = [np.load(path, mmap_mode="r") for path in self.paths]
        return self._opened

    def __getstate__(self) -> dict[str, object]:
        # Worker processes open the files themselves: a pickled memory map would be a copy of it all.
        return {**self.__dict__, "_opened": []}

    def __len__(self) -> int:
        return self.count

    def item(self, index: int) -> dict[str, Tensor]:
        """Image in [−1, 1], true values, labels and number of an item."""
        picture, (values, labels) = self._stored(index)
        return {
            "image": _to_image(picture),
            "values": torch.from_numpy(values),
            "labels": torch.from_numpy(labels),
            "index": torch.tensor(index),
        }


class AvatarFaces(_Avatars):
    """Faces of different people.

    Items: `image` (3, side, side) in [−1, 1], `values` (5,) true attribute values in [0, 1], `labels` (5,) binary as
    annotators give them, `index`.

    Args:
        count: faces of the split that are used, from number `first` on.
        split: no face occurs in two of them.
        correlation: strength of the copula of the attributes; 0 is independence.
        cache: folder in which the pictures are kept, once drawn.
        mirror: items `count` … 2 `count` − 1 are the same faces, mirrored.
        normals: items also hold `normals` (35,), the numbers that the face was drawn from.
        masks: items also hold `mask` (side, side) int64, the class of each pixel, see `models.parsing.palette`; a
            mirrored face's left eye, brow and ear are the right ones of the face itself.
    Raises:
        ValueError: `mirror` with `normals`: a mirrored face was drawn from no numbers.
    """

    def __init__(
        self, count: Count, split: Split = "train", first: Whole = 0, correlation: Fraction = 0.6, side: Drawn = 64,
        cache: NewFolder | None = None, mirror: bool = False, normals: bool = False,
        masks: bool = False,
    ) -> None:  # fmt: skip
        if mirror and normals:
            raise ValueError("normals: mirrored faces have no such numbers; use either mirror or normals")
        self.first, self.correlation, self.mirror, self.normals, self.masks = first, correlation, mirror, normals, masks
        if normals:
            self.holds = (*self.holds, "normals")
        if masks:
            self.holds = (*self.holds, "mask")
        super().__init__(count, SPLITS[split], side, cache, {"first": first, "correlation": correlation})
        if masks and self.paths:
            self.paths = (*self.paths, self.paths[0].with_suffix(f".masks-{MASK_VERSION}.npy"))

    def prepare(self, checked: bool = False) -> AvatarFaces:
        super().prepare(checked)
        if self.masks and self.paths:
            cached_rows(self.paths[2], self.count, self._draw_mask, "drawing masks")
        return self

    def number(self, index: int) -> int:
        return self.first + index

    def factors(self, index: int) -> Factors:
        return draw_factors(self.seed, self.first + index % self.count, self.correlation)

    def counterfactual(self, index: int, attribute: str) -> Tensor:
        """The true answer to turning an attribute of an item: the face drawn with its value v at 1 − v, all else equal.

        Image (3, side, side) in [−1, 1].
        """
        image = _to_image(render(self._turned(index, attribute), self.side))
        return image.flip(-1) if index >= self.count else image

    def counterfactual_mask(self, index: int, attribute: str) -> Tensor:
        """The mask (side, side) int64 of `counterfactual`."""
        mask = _to_mask(render_mask(self._turned(index, attribute), self.side))
        return mirrored(mask) if index >= self.count else mask

    def _turned(self, index: int, attribute: str) -> Factors:
        factors = self.factors(index)
        return factors.with_value(attribute, float(1 - factors.values()[ATTRIBUTES.index(attribute)]))

    def _draw_mask(self, index: int) -> np.ndarray:
        return render_mask(self.factors(index), self.side)

    def _mask(self, index: int) -> Tensor:
        return _to_mask(np.array(self._files()[2][index]) if self._files() else self._draw_mask(index))

    def __len__(self) -> int:
        return self.count * (2 if self.mirror else 1)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if not 0 <= index < len(self):
            raise IndexError(f"face {index} of {len(self)}")
        item = self.item(index % self.count)
        if self.masks:
            item["mask"] = self._mask(index % self.count)
        if index >= self.count:
            item["image"] = item["image"].flip(-1)
            if self.masks:
                item["mask"] = mirrored(item["mask"])
        if self.normals:
            item["normals"] = torch.from_numpy(source_normals(self.seed, self.first + index))
        return item | {"index": torch.tensor(index)}


class AvatarIdentities(_Avatars):
    """People in several pictures each, under other attributes, pose, light, clothes and background.

    Items as those of `AvatarFaces`, and `identity`; the views of a person follow each other.

    Args:
        identities, views: people, and pictures of each.
        first: number of the first person.
        correlation: strength of the copula of the attributes of each picture.
        cache: folder in which the pictures are kept, once drawn.
    """

    holds = (*_Avatars.holds, "identity")

    def __init__(
        self, identities: Identities, views: Views, split: Split = "identity_train", first: Whole = 0,
        correlation: Fraction = 0.0, side: Drawn = 64, cache: NewFolder | None = None,
    ) -> None:  # fmt: skip
        self.identities, self.views, self.first, self.correlation = identities, views, first, correlation
        arguments: dict[str, object] = {"views": views, "first": first, "correlation": correlation}
        super().__init__(identities * views, SPLITS[split], side, cache, arguments)

    def number(self, index: int) -> int:
        return self.first * self.views + index

    def factors(self, index: int) -> Factors:
        identity, view = self.first + index // self.views, index % self.views
        return redraw(draw_identity(self.seed, identity), self.seed, identity, view, self.correlation)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if not 0 <= index < len(self):
            raise IndexError(f"face {index} of {len(self)}")
        return self.item(index) | {"identity": torch.tensor(index // self.views)}
