"""Similarity of two pictures at several scales ("Multiscale structural similarity for image quality assessment", 2003),
mixed with their mean difference ("Loss Functions for Image Restoration With Neural Networks", 2017).
"""

from __future__ import annotations

from pytorch_msssim import ms_ssim
from torch import Tensor

_WINDOW = 11
_COARSEST = 16  # by what the last of the five scales is smaller


def structural_similarity(image: Tensor, target: Tensor) -> Tensor:
    """MS-SSIM (B,) of pictures (B, 3, H, W) in [0, 1]: the mean over channels.

    Its window is 11 pixels wide, in pictures of 160 pixels or less as wide as five scales allow.

    Raises:
        ValueError: pictures of 32 pixels or less.
    """
    side = min(image.shape[2:])
    window = min(_WINDOW, (side - 1) // _COARSEST // 2 * 2 + 1)
    if window < 3:
        raise ValueError(f"MS-SSIM takes pictures of more than {2 * _COARSEST} pixels, not {side}")
    values: Tensor = ms_ssim(image, target, data_range=1, size_average=False, win_size=window)
    return values


def mixed_distance(image: Tensor, target: Tensor, share: float = 0.9) -> Tensor:
    """share · (1 − MS-SSIM) + (1 − share) · mean |x − y| of pictures (B, 3, H, W) in [0, 1]."""
    structure = 1 - structural_similarity(image, target).mean()
    return share * structure + (1 - share) * (image - target).abs().mean()
