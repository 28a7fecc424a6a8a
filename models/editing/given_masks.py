"""Masks that a person gives: one for all faces, or a folder with one for each."""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from models.parsing.palette import MaskError, mask_in, resized
from utils.paths import displayed
from utils.photo_files import find_photos
from utils.photos import PhotoError, printable, read_file, stored_picture

AnyMask = str | Path | bytes | Image.Image | np.ndarray
_MADE = re.compile(r"--(?:(face\d+)-)?(?:mask|latents|aligned|input|inversion)$")  # ends of names that edit.py gives


def face_name(name: str) -> str:
    """The name by which a face is known, out of that of its photograph or of any file that edit.py made of it.

    >>> face_name("party--mask")
    'party'
    >>> face_name("party--face2-latents")
    'party--face2'
    """
    return _MADE.sub(lambda found: f"--{found[1]}" if found[1] else "", name)


def as_mask(given: AnyMask, side: int) -> np.ndarray:
    """The class indices (side, side) uint8 of a face's mask.

    Args:
        given: name or bytes of a file, Pillow picture, array (H, H) of class indices or (H, H, 3) of their colours.
    Raises:
        PhotoError: no mask, not square, or no face in it.
    """
    if isinstance(given, str | Path):
        given = read_file(given)
    if isinstance(given, bytes):
        given = stored_picture(given)
    if isinstance(given, np.ndarray):
        given = _picture(given)
    if not isinstance(given, Image.Image):
        raise MaskError(
            f"a mask is the name of a file, its bytes, a Pillow picture or an array, not {type(given).__name__}"
        )
    return resized(not_empty(mask_in(given)), side)


def not_empty(mask: np.ndarray) -> np.ndarray:
    """The mask, if there is a face in it.

    Raises:
        PhotoError: it is background alone.
    """
    if not mask.any():
        raise MaskError("this mask is background alone")
    return mask


def _picture(given: np.ndarray) -> Image.Image:
    if given.ndim == 2 and given.size and np.issubdtype(given.dtype, np.integer):
        return Image.fromarray(given.astype(np.int32), "I")
    if given.ndim == 3 and given.shape[2] == 3 and given.size and given.dtype == np.uint8:
        return Image.fromarray(given)
    raise MaskError(
        f"an array must be (H, H) of class numbers or (H, H, 3) of bytes, not {given.shape} of {given.dtype}"
    )


class GivenMasks(ABC):
    """The masks of faces.

    Attributes:
        name: of the file or folder, for labels and reports.
        digest: short hash of their contents.
    """

    name: str
    digest: str

    @abstractmethod
    def of(self, face: str) -> np.ndarray:
        """The mask (side, side) of the face of this name, see `Inversion.names`.

        Raises:
            PhotoError: there is none that can be used.
        """


@dataclass(frozen=True, eq=False)
class OneMask(GivenMasks):
    """The same mask for all faces."""

    name: str
    digest: str
    mask: np.ndarray

    @classmethod
    def read(cls, given: AnyMask, side: int) -> OneMask:
        """As `as_mask` takes it."""
        mask = as_mask(given, side)
        name = Path(given).stem if isinstance(given, str | Path) else ""
        return cls(name, hashlib.sha256(mask.tobytes()).hexdigest()[:8], mask)

    def of(self, face: str) -> np.ndarray:
        return self.mask


@dataclass(frozen=True, eq=False)
class MaskFolder(GivenMasks):
    """A mask for each face, in a file with the face's name: `party.png` or `party--mask.png` is that of `party.jpg`."""

    name: str
    digest: str
    folder: Path
    files: Mapping[str, Path]
    side: int

    @classmethod
    def read(cls, folder: Path, side: int) -> MaskFolder:
        """The folder with its sub-folders; the masks are read when they are asked for.

        Raises:
            PhotoError: no masks, or two for one face.
        """
        found = find_photos([str(folder)])
        if not found.photos:
            raise PhotoError("no pictures in this folder")
        files: dict[str, Path] = {}
        digest = hashlib.sha256()
        for photo in found.photos:
            key = face_name(photo.name.with_suffix("").as_posix())
            if key in files:
                raise PhotoError(f"{printable(files[key].name)} and {printable(photo.name.name)} are of one face")
            files[key] = photo.path
            digest.update(photo.name.as_posix().encode("utf-8", "surrogateescape") + read_file(photo.path))
        return cls(folder.name, digest.hexdigest()[:8], folder, files, side)

    def of(self, face: str) -> np.ndarray:
        key = face_name(face)
        path = self.files.get(key)
        if path is None:
            raise MaskError(f"{displayed(self.folder)} holds no mask of this face (it would be {printable(key)}.png)")
        try:
            return as_mask(path, self.side)
        except PhotoError as error:
            raise MaskError(f"{displayed(path)}: {error}") from None
