"""The classes of face masks in the order of CelebAMask-HQ, their colours, and masks in pictures.

As a picture a mask is grey (a byte is the class index) or coloured. The colours are a part of S²-Flow: its mask encoder
reads them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from utils.photos import PhotoError, read_file, stored_picture

CLASSES: tuple[str, ...] = (
    "background", "skin", "nose", "eyeglasses", "left eye", "right eye", "left brow", "right brow", "left ear",
    "right ear", "mouth interior", "upper lip", "lower lip", "hair", "hat", "earring", "necklace", "neck", "clothes",
)  # fmt: skip
PALETTE = np.array(
    [
        (0, 0, 0), (204, 0, 0), (76, 153, 0), (204, 204, 0), (51, 51, 255), (204, 0, 204), (0, 255, 255),
        (51, 255, 255), (102, 51, 0), (255, 0, 0), (102, 204, 0), (255, 255, 0), (0, 0, 153), (0, 0, 204),
        (255, 51, 153), (0, 204, 204), (0, 51, 0), (255, 153, 51), (0, 204, 0),
    ],
    dtype=np.uint8,
)  # fmt: skip
_BYTES = np.array([1 << 16, 1 << 8, 1])
_CODES = PALETTE.astype(np.int64) @ _BYTES  # a colour as one number
_ORDER = np.argsort(_CODES)
_LOOKED_AT = 128  # side of the pixels of a picture that are compared with the palette
_NEAR = 24  # largest difference that compression makes in a colour
_GREYS = 32  # no photograph has so few
_GREY_MODES = ("L", "LA", "I", "I;16", "I;16B", "I;16L", "I;16N", "F")


class MaskError(PhotoError):
    """A picture that is no face mask; the message is the reason, without the file's name."""


def painted(mask: np.ndarray) -> np.ndarray:
    """The colours (…, 3) uint8 of class indices (…)."""
    colours: np.ndarray = PALETTE[mask]
    return colours


def colour_values(mask: Tensor) -> Tensor:
    """The colours (…, 3, H, W) in [0, 1] of class indices (…, H, W), as S²-Flow's mask encoder reads them."""
    colours = torch.from_numpy(PALETTE).to(mask.device).float() / 255
    return colours[mask.long()].movedim(-1, -3).contiguous()


def classes_of(colours: np.ndarray) -> np.ndarray:
    """The class indices (H, W) uint8 of the colours (H, W, 3) uint8 of a mask.

    Raises:
        MaskError: colours that are not in the palette.
    """
    codes = colours.astype(np.int64) @ _BYTES
    places = np.searchsorted(_CODES[_ORDER], codes).clip(max=len(CLASSES) - 1)
    found = _ORDER[places]
    foreign = _CODES[found] != codes
    if foreign.any():
        example = ", ".join(str(value) for value in colours[foreign][0])
        raise MaskError(
            f"{_share(foreign)} have a colour outside the palette, such as ({example}); JPEG and anti-aliasing make "
            "such colours: save masks as PNG, drawn and resized without smoothing"
        )
    classes: np.ndarray = found.astype(np.uint8)
    return classes


def mask_in(picture: Image.Image) -> np.ndarray:
    """The class indices (H, W) uint8 of a grey or coloured mask.

    Raises:
        MaskError: values that are no class, or colours outside the palette.
    """
    values = np.asarray(picture.getchannel(0) if picture.mode == "LA" else picture)
    if picture.mode not in _GREY_MODES:
        values = np.asarray(picture.convert("RGB"))
        grey = (values == values[..., :1]).all() and values.max() < len(CLASSES)  # class indices, saved as colours
        if not grey:
            return classes_of(values)
        values = values[..., 0]
    foreign = ~np.isin(values, np.arange(len(CLASSES)))
    if foreign.any():
        raise MaskError(
            f"{_share(foreign)} have a grey value that is no class (0 to {len(CLASSES) - 1}), such as "
            f"{values[foreign][0]}; a mask is grey with class indices or has the palette's colours"
        )
    return values.astype(np.uint8)


def resembles_mask(picture: Image.Image) -> bool:
    """Whether this is a damaged mask and no photograph: it has few grey values, or colours near the palette's."""
    small = picture.resize([min(side, _LOOKED_AT) for side in picture.size], Image.Resampling.NEAREST)
    if small.mode in _GREY_MODES:
        values = np.asarray(small.getchannel(0) if small.mode == "LA" else small)
        bright = values[values > 0]  # black is the background of masks and of many photographs
        return len(np.unique(values)) <= _GREYS or bool((bright < len(CLASSES)).mean() > 0.5)
    colours = np.asarray(small.convert("RGB")).reshape(-1, 3).astype(np.int16)
    colours = colours[colours.max(axis=1) > _NEAR]
    distances = np.abs(colours[:, None] - PALETTE).max(axis=2).min(axis=1)
    return bool(len(colours) and (distances <= _NEAR).mean() > 0.5)


def read_mask(path: str | Path, side: int | None = None) -> np.ndarray:
    """The class indices (H, W) uint8 in a picture file, grey or coloured.

    Args:
        side: of the wanted mask (side, side); the nearest pixel is taken where the picture has another.
    Raises:
        PhotoError: no such file, no picture, no mask, or not square where a side is given.
    """
    mask = mask_in(stored_picture(read_file(path)))
    return mask if side is None else resized(mask, side)


def resized(mask: np.ndarray, side: int) -> np.ndarray:
    """A square mask (H, H) with another side: of the nearest pixels.

    Raises:
        MaskError: it is not square.
    """
    height, width = mask.shape
    if height != width:
        raise MaskError(f"a mask of {width} × {height} pixels; a face's mask is square")
    nearest = (2 * np.arange(side) + 1) * height // (2 * side)
    return mask[np.ix_(nearest, nearest)]


def _share(foreign: np.ndarray) -> str:
    return f"{int(foreign.sum()):,} of {foreign.size:,} pixels"
