"""Whose part an automatic mask edit puts on a face, by what face-API records say; and whether the edit is possible."""

from __future__ import annotations

from collections.abc import Mapping, MutableSequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from models.parsing.palette import CLASSES

CHOICES = ("smile", "nose", "brows", "remove_glasses", "add_glasses", "hair")
_GLASSES = 0.005  # share of a mask's pixels above which they are glasses
_INSIDE = 0.2  # of the mouth's pixels above which it is open
_NONE, _READING = "NoGlasses", "ReadingGlasses"


@dataclass(frozen=True)
class FaceRecord:
    """What a face API says of a face; None where it says nothing.

    Attributes:
        glasses: `NoGlasses`, `ReadingGlasses` or another kind.
        smile: 0 to 1.
        hair: its most likely colour.
    """

    glasses: str | None = None
    smile: float | None = None
    gender: str | None = None
    hair: str | None = None

    @classmethod
    def of(cls, stored: Any) -> FaceRecord:
        """From a record with `faceAttributes`, or the list with the records of a picture, of which the first counts."""
        if isinstance(stored, list | tuple):
            stored = stored[0] if stored else None
        attributes = stored.get("faceAttributes") if isinstance(stored, Mapping) else None
        if not isinstance(attributes, Mapping):
            return cls()
        smile, hair = attributes.get("smile"), attributes.get("hair")
        colours = hair.get("hairColor") if isinstance(hair, Mapping) else None
        first = colours[0] if isinstance(colours, list | tuple) and colours else None
        return cls(
            _text(attributes.get("glasses")),
            float(smile) if isinstance(smile, int | float) else None,
            _text(attributes.get("gender")),
            _text(first.get("color")) if isinstance(first, Mapping) else None,
        )

    @classmethod
    def of_mask(cls, mask: np.ndarray) -> FaceRecord:
        """What a mask (H, W) tells in place of a face API: glasses, for reading if they leave an eye to be seen; a
        smile where the inside of the mouth shows. Parsers err in single pixels, so a few of them count for nothing. It
        tells no gender: all count as one.
        """
        pixels = dict(zip(CLASSES, np.bincount(mask.ravel(), minlength=len(CLASSES)).tolist(), strict=True))
        kind = _NONE
        if pixels["eyeglasses"] > _GLASSES * mask.size:
            kind = _READING if pixels["left eye"] or pixels["right eye"] else "Sunglasses"
        mouth = sum(pixels[name] for name in ("mouth interior", "upper lip", "lower lip"))
        smiles = mouth > 0 and pixels["mouth interior"] > _INSIDE * mouth
        return cls(glasses=kind, smile=float(smiles), gender="any")

    @property
    def wears_glasses(self) -> bool | None:
        """Whether it wears any; None where that is unknown."""
        return None if self.glasses is None else self.glasses != _NONE


class Donor(NamedTuple):
    """A face and the name of the edit, one of `models.parsing.mask_edits.EDITS`, that puts a part of it on another."""

    face: int
    edit: str


def choose_donor(
    edit: str,
    base: int,
    neighbours: MutableSequence[int],
    records: Mapping[int, FaceRecord],
    random: np.random.RandomState,
) -> Donor | None:
    """The neighbour whose part the face `base` gets; None where the edit is impossible.

    What no record tells is unknown and makes a face unfit (the published code takes a missing record for that of
    sunglasses, and two missing genders for the same).

    Args:
        edit: one of `CHOICES`.
        neighbours: faces in a given order. As published, it is shuffled in place for glasses to add and hair.
        random: seeded alike, it makes the published choices.
    """
    unknown = FaceRecord()
    own = records.get(base, unknown)

    def record(face: int) -> FaceRecord:
        return records.get(face, unknown)

    if edit in ("smile", "nose", "brows"):
        fit = [face for face in neighbours if edit != "smile" or (record(face).smile or 0) > 0.5]
        return Donor(int(random.choice(fit)), edit) if fit else None
    if edit == "remove_glasses":
        fit = [face for face in neighbours if own.wears_glasses and record(face).wears_glasses is False]
        return Donor(fit[0], edit) if fit else None
    if edit == "add_glasses" and own.wears_glasses is not False:
        return None
    random.shuffle(neighbours)
    if edit == "add_glasses":
        fit = [face for face in neighbours if record(face).wears_glasses]
        kind = "reading" if fit and record(fit[0]).glasses == _READING else "other"
        return Donor(fit[0], f"add_{kind}_glasses") if fit else None
    fit = [face for face in neighbours if own.gender is not None and record(face).gender == own.gender]
    return Donor(fit[0], edit) if fit else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
