"""Pasting edited faces into the photographs that they were cut out of."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from models.editing.alignment import Frame
from utils.photos import Box, Photograph

PasteMode = Literal["difference", "crop"]
FEATHER = 0.2  # of the square's side, over which the mask rises from nothing at the edge to one
_ROUNDNESS = 4  # exponent of the superellipse that the mask's level lines are: 2 is a circle, more is squarer


def bounds(frame: Frame, size: tuple[int, int]) -> Box | None:
    """The part of a picture of this width and height that holds the frame; None where they do not meet."""
    corners = frame.corners()
    low = np.maximum(np.floor(corners.min(0)), 0).astype(int)
    high = np.minimum(np.ceil(corners.max(0)), size).astype(int)
    return None if (high <= low).any() else (int(low[0]), int(low[1]), int(high[0]), int(high[1]))


def positions(frame: Frame, box: Box) -> np.ndarray:
    """Where the centres of the box's pixels lie in the frame: (h, w, 2) as u and v, in [0, 1] within it."""
    x = np.arange(box[0], box[2]) + 0.5
    y = np.arange(box[1], box[3]) + 0.5
    return frame.inverse(np.stack(np.meshgrid(x, y), axis=-1)).astype(np.float32)


def feathered_mask(uv: np.ndarray, feather: float = FEATHER) -> np.ndarray:
    """(h, w) weights: 0 on the square's edge and beyond it, 1 further inside than `feather`, smooth between.

    The corners are rounded, since the eye finds a square, however soft, sooner than an oval.

    Args:
        uv: (h, w, 2) positions in the unit square.
        feather: width of the rise as a share of the side.
    """
    radius = (np.abs(2 * uv - 1) ** _ROUNDNESS).sum(-1) ** (1 / _ROUNDNESS)
    depth = np.clip((1 - radius) / (2 * feather), 0, 1)
    mask: np.ndarray = depth * depth * (3 - 2 * depth)
    return mask


def resampled(values: np.ndarray, uv: np.ndarray, side: float) -> np.ndarray:
    """Values of a square picture at positions in it: (R, R, 3) → (h, w, 3), float32.

    Args:
        uv: (h, w, 2) positions in the unit square.
        side: of the square in pixels of the target; a finer picture is smoothed to that resolution first.
    """
    tensor = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)).permute(2, 0, 1)[None]
    target = max(int(np.ceil(side)), 1)
    if target < tensor.shape[-1]:
        tensor = F.interpolate(tensor, size=(target, target), mode="bilinear", antialias=True, align_corners=False)
    grid = torch.from_numpy(2 * uv - 1)[None]
    sampled = F.grid_sample(tensor, grid, mode="bicubic", padding_mode="border", align_corners=False)
    return sampled[0].permute(1, 2, 0).numpy()


def paste_back(
    photograph: Photograph,
    frame: Frame,
    edited: Image.Image,
    inversion: Image.Image,
    mode: PasteMode = "difference",
    feather: float = FEATHER,
) -> None:
    """Bring an edit of one face into its photograph, which is changed; pixels outside the mask keep their bytes.

    Args:
        frame: where the face was cut out.
        edited, inversion: the generator's RGB pictures of the face, with and without the edit, of equal size.
        mode: `difference` adds what the edit changed to the photograph's own pixels, so that whatever the generator
            cannot reproduce stays; `crop` puts the edited picture itself over them.
    """
    box = bounds(frame, photograph.own.size)
    if box is None:
        return
    uv = positions(frame, box)
    mask = feathered_mask(uv, feather)[..., None]
    picture = np.asarray(edited.convert("RGB"), dtype=np.float32)
    before = photograph.colours(box)
    if mode == "difference":
        change = resampled(picture - np.asarray(inversion.convert("RGB"), dtype=np.float32), uv, frame.side)
    else:
        change = resampled(picture, uv, frame.side) - before
    after = np.clip(np.rint(before + mask * change), 0, 255).astype(np.uint8)
    photograph.change(box, before, after)
