"""Between pictures in files and tensors in [−1, 1]."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F


def to_tensor(picture: Image.Image) -> Tensor:
    """RGB picture → (3, H, W) float32 in [−1, 1]."""
    array = np.asarray(picture.convert("RGB"), dtype=np.uint8)
    return torch.from_numpy(array.copy()).permute(2, 0, 1).float().div_(127.5).sub_(1)


def grey_levels(image: Tensor) -> Tensor:
    """Values in [−1, 1] → whole numbers 0 … 255 of the same type, rounded to nearest; values outside are clipped."""
    return image.clamp(-1, 1).add(1).mul(127.5).round()


def to_bytes(image: Tensor) -> np.ndarray:
    """(3, H, W) in [−1, 1] → (H, W, 3) uint8, see `grey_levels`."""
    return grey_levels(image.detach().float().cpu()).to(torch.uint8).permute(1, 2, 0).contiguous().numpy()


def to_pillow(image: Tensor) -> Image.Image:
    """(3, H, W) in [−1, 1] → RGB picture."""
    return Image.fromarray(to_bytes(image), "RGB")


def at_side(image: Tensor, side: int) -> Tensor:
    """Images (B, C, H, W) resized to (B, C, side, side), smoothly; differentiable."""
    if image.shape[-2:] == (side, side):
        return image
    return F.interpolate(image, (side, side), mode="bilinear", antialias=True)


def grid(images: Tensor, columns: int, gap: int = 2) -> Tensor:
    """(N, 3, H, W) → one (3, H', W') picture, row by row, white gaps between."""
    count, channels, height, width = images.shape
    rows = -(-count // columns)
    sheet = images.new_ones(channels, rows * (height + gap) - gap, columns * (width + gap) - gap)
    for index, image in enumerate(images):
        top, left = (index // columns) * (height + gap), (index % columns) * (width + gap)
        sheet[:, top : top + height, left : left + width] = image
    return sheet
