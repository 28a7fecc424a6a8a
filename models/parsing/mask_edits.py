"""S²-Flow's automatic mask edits: a part of one face's mask put on another's.

All but the edit of hair take the greater class index pixel by pixel. A part therefore shows only where the base has a
smaller index: hair, hat, earring, necklace, neck and clothes are never covered, glasses never cover eyes, brows or
ears, a nose covers skin and background alone, and a part may land on background beside the base's face.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.parsing.inpainting import inpainted
from models.parsing.palette import CLASSES

BACKGROUND, SKIN, NOSE, GLASSES, HAIR = (
    CLASSES.index(name) for name in ("background", "skin", "nose", "eyeglasses", "hair")
)
_EYES = (CLASSES.index("left eye"), CLASSES.index("right eye"))
_BROWS = (CLASSES.index("left brow"), CLASSES.index("right brow"))
_MOUTH = tuple(CLASSES.index(name) for name in ("mouth interior", "upper lip", "lower lip"))
# What is not the donor's face: the rest of it (a necklace as well) hides hair that is found by inpainting.
_AROUND = tuple(CLASSES.index(name) for name in ("background", "hair", "hat", "earring", "neck", "clothes"))


@dataclass(frozen=True)
class Transfer:
    """What a part replaces.

    Attributes:
        cleared: classes of the base that become `cover`.
        taken: classes of the donor that are put on it.
    """

    cleared: tuple[int, ...]
    cover: int
    taken: tuple[int, ...]


TRANSFERS = {
    "smile": Transfer(_MOUTH, SKIN, _MOUTH),
    "nose": Transfer((NOSE,), SKIN, (NOSE,)),
    "brows": Transfer(_BROWS, SKIN, _BROWS),
    "remove_glasses": Transfer((GLASSES,), SKIN, _EYES),  # the base's eyes stay as well
    "add_reading_glasses": Transfer((), SKIN, (GLASSES, *_EYES)),
    "add_other_glasses": Transfer(_EYES, GLASSES, (GLASSES,)),
}
EDITS = (*TRANSFERS, "hair")


def edit_mask(edit: str, base: np.ndarray, donor: np.ndarray) -> np.ndarray:
    """The base's mask (H, W) uint8 with a part of the donor's, of the same size.

    Args:
        edit: one of `EDITS`.
    Raises:
        ValueError: the masks differ in size.
    """
    if base.shape != donor.shape:
        raise ValueError(f"masks of one size are needed, not {base.shape} and {donor.shape}")
    if edit == "hair":
        return with_hair(base, donor)
    transfer = TRANSFERS[edit]
    cleared = np.where(np.isin(base, transfer.cleared), transfer.cover, base)
    taken = np.where(np.isin(donor, transfer.taken), donor, BACKGROUND)
    return np.maximum(cleared, taken).astype(np.uint8)


def shows_part(edit: str, donor: np.ndarray) -> bool:
    """Whether a mask has anything of what the edit takes; without hair as well, which is a bald head's.

    Args:
        edit: one of `EDITS`, or an edit whose kind follows from the donor.
    """
    transfer = TRANSFERS.get(edit)
    return transfer is None or bool(np.isin(donor, transfer.taken).any())


def with_hair(base: np.ndarray, donor: np.ndarray) -> np.ndarray:
    """The donor's hair, also where the donor's face hides it, in the place of the base's hair and background."""
    free = np.isin(base, (BACKGROUND, HAIR))
    return np.where(free, np.where(hair_behind_face(donor) > 0, HAIR, BACKGROUND), base).astype(np.uint8)


def face_region(mask: np.ndarray) -> np.ndarray:
    """Where a mask shows a face rather than what is around it."""
    return ~np.isin(mask, _AROUND)


def hair_behind_face(mask: np.ndarray) -> np.ndarray:
    """The mask's hair alone, continued behind the face: uint8, above 0 where there is hair."""
    return inpainted(np.where(mask == HAIR, HAIR, BACKGROUND).astype(np.uint8), face_region(mask))
