"""The same random squares of two pictures, compared one by one ("Controllable face image editing in a disentanglement
way", 2023, L_attr).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Crop(NamedTuple):
    """A square of a picture, in pixels."""

    side: int
    top: int
    left: int


def draw_crops(side: int, count: int = 8, shares: Sequence[float] = (1 / 8, 1 / 4)) -> list[Crop]:
    """Squares of random sizes and places in a picture of this side, drawn by PyTorch's generator.

    Args:
        shares: of the smallest and of the largest square's side in the picture's.
    """
    least, most = shares
    crops = []
    for share, top, left in torch.rand(count, 3).tolist():
        square = max(int(side * (least + (most - least) * share)), 1)
        crops.append(Crop(square, int(top * (side - square)), int(left * (side - square))))
    return crops


def patches(image: Tensor, crops: Sequence[Crop], side: int) -> Tensor:
    """Squares of pictures (B, 3, H, W), each resized: (B · crops, 3, side, side), those of a picture together."""
    squares = [
        F.interpolate(
            image[:, :, crop.top : crop.top + crop.side, crop.left : crop.left + crop.side],
            size=(side, side),
            mode="bilinear",
            align_corners=False,
        )
        for crop in crops
    ]
    return torch.stack(squares, dim=1).flatten(0, 1)
