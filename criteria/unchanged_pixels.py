"""Where a mask stays, so does the picture (S²-Flow, 2022; its formula is not published)."""

from __future__ import annotations

from torch import Tensor


def unchanged_pixels(edited: Tensor, picture: Tensor, kept: Tensor) -> Tensor:
    """Mean |x' − x| of pictures (B, C, H, W) over the pixels that are kept, (B, H, W) bool; 0 where none is."""
    difference = (edited - picture).abs().mean(1) * kept
    return difference.sum() / kept.sum().clamp(min=1)
