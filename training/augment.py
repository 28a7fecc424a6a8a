"""Random changes of pictures that a classifier should not care about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional as F

from utils.ranges import Between, Fraction, NonNegative


@dataclass(frozen=True)
class Augmentation:
    """Each picture is changed on its own, with strengths drawn uniformly up to the given ones; 0 leaves one out.

    Generated pictures are a little softer, noisier and displaced than drawn ones: who judges them must not mind.

    Args:
        shift: pixels to any side; borders are repeated.
        blur: share of a 3 × 3 binomial blur in the picture.
        noise: standard deviation of normal noise, pictures being in [−1, 1].
        brightness: added to all channels.
        contrast: relative change about grey.
    """

    shift: Annotated[int, Between(0, 65536)] = 0
    blur: Fraction = 0.0
    noise: NonNegative = 0.0
    brightness: NonNegative = 0.0
    contrast: NonNegative = 0.0

    def __call__(self, image: Tensor) -> Tensor:
        """Changed copies (B, 3, H, W); randomness comes from torch's global generator."""

        def strengths(limit: float, symmetric: bool = True) -> Tensor:
            drawn = torch.rand(len(image), 1, 1, 1, device=image.device)
            return limit * (2 * drawn - 1 if symmetric else drawn)

        if self.shift:
            image = shifted(image, torch.randint(-self.shift, self.shift + 1, (len(image), 2), device=image.device))
        if self.blur:
            image = image.lerp(blurred(image), strengths(self.blur, symmetric=False))
        if self.contrast or self.brightness:
            image = image * (1 + strengths(self.contrast)) + strengths(self.brightness)
        if self.noise:
            image = image + strengths(self.noise, symmetric=False) * torch.randn_like(image)
        return image


def shifted(image: Tensor, offsets: Tensor) -> Tensor:
    """Pictures (B, C, H, W) moved by whole pixels (B, 2) down and to the right; borders are repeated."""
    height, width = image.shape[2:]
    rows = (torch.arange(height, device=image.device) - offsets[:, :1]).clamp(0, height - 1)
    columns = (torch.arange(width, device=image.device) - offsets[:, 1:]).clamp(0, width - 1)
    batch = torch.arange(len(image), device=image.device)[:, None, None]
    moved = image.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]]
    return moved.permute(0, 3, 1, 2).contiguous()


def blurred(image: Tensor) -> Tensor:
    """Pictures (B, C, H, W) under the kernel [1, 2, 1] / 4 in both directions; borders are repeated."""
    kernel = torch.tensor([1.0, 2.0, 1.0], device=image.device, dtype=image.dtype)
    kernel = (kernel[:, None] * kernel).div(16).expand(image.shape[1], 1, 3, 3)
    return F.conv2d(F.pad(image, (1, 1, 1, 1), mode="replicate"), kernel, groups=image.shape[1])
