"""Masks as pictures: in colours, over a face, as a file to paint in; and their mirror image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from models.parsing.palette import CLASSES, PALETTE, colour_values
from utils.images import to_bytes
from utils.sheets import font

_PAIRS = ((4, 5), (6, 7), (8, 9))  # left and right eye, brow and ear
_PAPER, _INK = (255, 255, 255), (40, 40, 40)


def mirrored(mask: Tensor) -> Tensor:
    """The mask (…, H, W) of the mirrored face: what was a left eye, brow or ear is a right one."""
    exchanged = torch.arange(len(CLASSES), dtype=mask.dtype, device=mask.device)
    for left, right in _PAIRS:
        exchanged[left], exchanged[right] = right, left
    return exchanged[mask.flip(-1).long()]


def as_image(mask: Tensor) -> Tensor:
    """The mask (…, H, W) in the colours of its classes, as images (…, 3, H, W) in [−1, 1]."""
    return 2 * colour_values(mask) - 1


def overlaid(image: Tensor, mask: Tensor, share: float = 0.5) -> Tensor:
    """Images (…, 3, H, W) under this share of the colours of their masks (…, H, W); the background stays clear."""
    return torch.where((mask > 0).unsqueeze(-3), image.lerp(as_image(mask), share), image)


def indexed(mask: Tensor) -> Image.Image:
    """A mask (H, W) as a picture whose pixels are the class numbers, shown in the classes' colours.

    Saved as PNG it can be painted in and read again without loss.
    """
    picture = Image.fromarray(mask.to(device="cpu", dtype=torch.uint8).numpy(), "P")
    picture.putpalette(np.asarray(PALETTE, dtype=np.uint8).tobytes())
    return picture


def enlarged(mask: Tensor, side: int) -> Image.Image:
    """A mask (H, H) in the colours of its classes, of at least this side, by whole and sharp pixels."""
    picture = indexed(mask).convert("RGB")
    scale = -(-side // picture.width)
    return picture.resize((scale * picture.width, scale * picture.height), Image.Resampling.NEAREST)


def with_legend(picture: Tensor, classes: Sequence[int] = range(len(CLASSES)), scale: int = 1) -> Image.Image:
    """A picture (3, H, W) in [−1, 1] with the colours and names of classes at its right.

    Args:
        classes: that are named; `mask.unique().tolist()` names those of a mask.
        scale: enlargement of the picture, without smoothing.
    """
    shown = Image.fromarray(to_bytes(picture), "RGB")
    shown = shown.resize((scale * shown.width, scale * shown.height), Image.Resampling.NEAREST)
    line, letters = 18, font(13)
    width = 32 + max(int(letters.getlength(CLASSES[index])) for index in classes)
    sheet = Image.new("RGB", (shown.width + width, max(shown.height, line * len(classes) + 4)), _PAPER)
    sheet.paste(shown, (0, 0))
    draw = ImageDraw.Draw(sheet)
    for row, index in enumerate(classes):
        left, top = shown.width + 6, 4 + row * line
        colour = tuple(int(channel) for channel in PALETTE[index])
        draw.rectangle((left, top, left + 13, top + 13), fill=colour, outline=_INK)
        draw.text((left + 20, top - 1), CLASSES[index], fill=_INK, font=letters)
    return sheet
