"""The high-frequency picture, on which the identity swap compares two identities ("Controllable face image editing in
a disentanglement way", 2023, L_id_2).
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

_GREY = (0.299, 0.587, 0.114)
PUBLISHED_KERNEL = 21  # for pictures of 256 × 256


def high_frequency(image: Tensor, kernel: int = PUBLISHED_KERNEL) -> Tensor:
    """h(x) = grey(x) − blur(grey(x)) (B, 3, H, W) of pictures (B, 3, H, W) in [0, 1]; around 0, three equal channels.

    Args:
        kernel: side of the Gaussian's window, odd; its σ is that which OpenCV takes for it, and beyond the border
            the picture is 0.
    """
    grey = (image * image.new_tensor(_GREY).view(1, 3, 1, 1)).sum(1, keepdim=True)
    return (grey - blurred(grey, kernel)).expand(-1, 3, -1, -1)


def blurred(image: Tensor, kernel: int = PUBLISHED_KERNEL) -> Tensor:
    """Pictures (B, C, H, W), each channel blurred by the same Gaussian; arguments as in `high_frequency`."""
    channels = image.shape[1]
    weight = gaussian_kernel(kernel).to(image).expand(channels, 1, kernel, kernel)
    return F.conv2d(image, weight, padding=kernel // 2, groups=channels)


@lru_cache
def gaussian_kernel(side: int) -> Tensor:
    """Weights (side, side) float32 of a Gaussian of this window, with the sum 1."""
    sigma = 0.3 * ((side - 1) * 0.5 - 1) + 0.8
    distance = torch.arange(side, dtype=torch.float64) - (side - 1) / 2
    weights = (-distance.square() / (2 * sigma**2)).exp()
    weights /= weights.sum()
    return torch.outer(weights, weights).float()
