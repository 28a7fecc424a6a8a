"""True edits of drawn faces: each face as it would have been drawn after a request, and the mask of that."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from datasets.avatar_factors import GEOMETRY, GEOMETRY_LIMIT, Factors, generator
from datasets.avatar_renderer import MASK_VERSION, Face, render, render_mask
from datasets.avatars import AvatarFaces, cached_rows

# What no mask shows of a face, and its age, of which a mask shows next to nothing: it is grey hair and wrinkles.
STYLE = ("age", "skin", "eye_colour", "hair_colour", "light", "brightness", "clothes", "background", "frame_colour")
_VERSION = 2  # of the edits below: a part of the names of cached pictures


def _smile(face: Factors, other: Factors, random: np.random.Generator) -> tuple[Factors, str]:
    return face.with_value("Smiling", 1 - face.smile), "weaker" if face.smile > 0.5 else "stronger"


def _glasses(face: Factors, other: Factors, random: np.random.Generator) -> tuple[Factors, str]:
    return replace(face, eyeglasses=not face.eyeglasses), "off" if face.eyeglasses else "on"


def _waves(face: Factors, other: Factors, random: np.random.Generator) -> tuple[Factors, str]:
    return replace(face, wavy_hair=not face.wavy_hair), "smooth" if face.wavy_hair else "wavy"


def _hair_length(face: Factors, other: Factors, random: np.random.Generator) -> tuple[Factors, str]:
    long = Face.of(face).long_hair > 0
    return replace(face, hair_length=0.0 if long else 1.0), "shorter" if long else "longer"


def _one_feature(face: Factors, other: Factors, random: np.random.Generator) -> tuple[Factors, str]:
    geometry = list(face.geometry)
    feature = int(random.integers(len(GEOMETRY)))
    geometry[feature] = -GEOMETRY_LIMIT if geometry[feature] > 0 else GEOMETRY_LIMIT
    return replace(face, geometry=tuple(geometry)), GEOMETRY[feature].replace("_", " ")


def _turned_head(face: Factors, other: Factors, random: np.random.Generator) -> tuple[Factors, str]:
    return replace(face, turn=face.turn - 1 if face.turn > 0 else face.turn + 1), ""


def _other_shape(face: Factors, other: Factors, random: np.random.Generator) -> tuple[Factors, str]:
    return in_style_of(other, face), ""


EDITS: dict[str, Callable[[Factors, Factors, np.random.Generator], tuple[Factors, str]]] = {
    "smile": _smile,
    "glasses": _glasses,
    "waves": _waves,
    "hair length": _hair_length,
    "one feature": _one_feature,
    "head turned": _turned_head,
    "another face's mask": _other_shape,
}

_ATTRIBUTES = {"smile": "Smiling", "glasses": "Eyeglasses", "waves": "Wavy_Hair"}


def in_style_of(face: Factors, other: Factors) -> Factors:
    """The face with the colours, the light and the age of another. Its mask stays, but for hairline and upper lids,
    which age moves a little.
    """
    return replace(face, **{name: getattr(other, name) for name in STYLE})


def pairs(count: int, seed: int) -> np.ndarray:
    """Another of so many faces for each of them (N,): one ring through all, so that each is another's once.

    Raises:
        ValueError: one face alone.
    """
    if count < 2:
        raise ValueError(f"{count} face has no other to take a mask or a style from")
    order = np.random.default_rng(seed).permutation(count)
    others = np.empty(count, dtype=np.int64)
    others[order] = np.roll(order, -1)
    return others


class AvatarEdits:
    """The true answers to requests on drawn faces.

    Requests: `smile` (value v becomes 1 − v), `glasses` (put on or taken off), `waves` (wavy hair becomes smooth,
    smooth hair wavy), `hair length` (long becomes short, short as long as this sex wears it), `one feature` (a measure
    of the face, drawn at random, goes to the end of its range on the other side), `head turned` (by half of the range,
    towards the other side), `another face's mask` (the other face in this one's style: what a mask like the other's
    asks for).

    Args:
        faces: without mirrored ones.
        seed: of whose mask and style a face gets, and which feature changes.
        folder: in which pictures and masks are kept, once drawn.
    Attributes:
        kinds: names of the requests.
        attributes: kind → the attribute that it turns, of those that turn one.
        others: (N,), whose mask or style each face gets.
    """

    kinds = tuple(EDITS)

    def __init__(self, faces: AvatarFaces, seed: int = 0, folder: Path | None = None) -> None:
        self.attributes: Mapping[str, str] = _ATTRIBUTES
        self.faces, self.seed, self.folder = faces, seed, folder
        self.others = pairs(faces.count, seed)
        self._factors = cache(faces.factors)

    def edited(self, kind: str, index: int) -> tuple[Factors, str]:
        """What face `index` is drawn from after a request of `kinds`, and which case of it that is (may be empty)."""
        random = generator(self.seed, self.faces.number(index), 3)
        return EDITS[kind](self._factors(index), self._factors(int(self.others[index])), random)

    def labels(self, kind: str) -> list[str]:
        """The case of each face, see `edited`."""
        return [self.edited(kind, index)[1] for index in range(self.faces.count)]

    def images(self, kind: str) -> Tensor:
        """The faces (N, 3, side, side) in [−1, 1] after a request of `kinds`, or, for `style`, each in the style of its
        other.
        """
        pixels = torch.from_numpy(self._rows(kind, partial(self._picture, kind)))
        return pixels.permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)

    def masks(self, kind: str) -> Tensor:
        """The masks (N, side, side) uint8 of `images(kind)`."""
        return torch.from_numpy(self._rows(f"masks of {kind}", partial(self._mask, kind)))

    def _picture(self, kind: str, index: int) -> np.ndarray:
        if kind == "style":
            return render(in_style_of(self._factors(index), self._factors(int(self.others[index]))), self.faces.side)
        return render(self.edited(kind, index)[0], self.faces.side)

    def _mask(self, kind: str, index: int) -> np.ndarray:
        return render_mask(self.edited(kind, index)[0], self.faces.side)

    def _rows(self, what: str, draw: Callable[[int], np.ndarray]) -> np.ndarray:
        count = self.faces.count
        if self.folder is None:
            return np.stack([draw(index) for index in range(count)])
        described = json.dumps([self.faces.fingerprint(), self.seed, _VERSION, MASK_VERSION, what])
        path = self.folder / f"edits-{hashlib.sha256(described.encode()).hexdigest()[:16]}.npy"
        cached_rows(path, count, draw, f"drawing {what}")
        rows: np.ndarray = np.load(path)
        return rows
