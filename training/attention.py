"""Pictures of a transformer's attention."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from matplotlib import colormaps
from torch import Tensor

from utils.images import grid

_PIXELS = 8  # side of a pair of tokens


def attention_sheet(maps: Sequence[Tensor]) -> Tensor:
    """One picture (3, H, W) in [−1, 1] of attention maps (B, heads, L, L), one for each block: means over the batch.

    A row for each block, a column for each head; in a map a row is the token that looks, a column the token that is
    looked at. Black is no attention; the largest value of the sheet is the brightest.
    """
    means = torch.cat([block.mean(0) for block in maps])
    shades = colormaps["magma"]((means / means.max()).cpu().numpy())[..., :3]
    pictures = torch.from_numpy(2 * shades - 1).float().permute(0, 3, 1, 2)
    enlarged = pictures.repeat_interleave(_PIXELS, 2).repeat_interleave(_PIXELS, 3)
    return grid(enlarged, columns=maps[0].shape[1], gap=4)
