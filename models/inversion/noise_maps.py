"""Noise maps that are optimised with a code: they are to stay noise, lest they hold the picture themselves
("Analyzing and Improving the Image Quality of StyleGAN", Karras et al., 2020, appendix D).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

_SMALLEST = 8  # side of the last level of the pyramid


def neighbour_correlation(maps: Sequence[Tensor], coupled: bool = False) -> Tensor:
    """Σ over maps, levels of their pyramids and the two axes of (mean of a map times itself moved by one pixel)².

    Args:
        maps: (B, 1, H, W), one for each layer.
        coupled: the means go over the whole batch, as in the published code, where the pictures of a batch therefore
            influence each other; otherwise each picture has its own and the sum over the batch is returned.
    Returns:
        a scalar.
    """
    axes = (0, 1, 2, 3) if coupled else (1, 2, 3)
    total = torch.zeros((), dtype=maps[0].dtype, device=maps[0].device)
    for level in maps:
        while True:
            for axis in (2, 3):
                total = total + (level * level.roll(1, dims=axis)).mean(axes).square().sum()
            if level.shape[2] <= _SMALLEST:
                break
            level = F.avg_pool2d(level, 2)
    return total


@torch.no_grad()
def renormalise(maps: Sequence[Tensor], coupled: bool = False) -> None:
    """Give each map, in place, mean 0 and standard deviation 1 (unbiased).

    Args:
        maps, coupled: as in `neighbour_correlation`.
    """
    axes = (0, 1, 2, 3) if coupled else (1, 2, 3)
    for values in maps:
        values -= values.mean(axes, keepdim=True)
        values /= values.std(axes, keepdim=True)
