"""Which masks are most alike."""

from __future__ import annotations

import numpy as np
import torch

from models.parsing.palette import CLASSES

RANKING_SIDE = 32
_BLOCK = 128  # masks that are compared with all others at once


def coarse(masks: np.ndarray) -> np.ndarray:
    """Every n-th pixel of masks (N, S, S), so that a row has about `RANKING_SIDE`; a copy in memory."""
    step = max(1, masks.shape[1] // RANKING_SIDE)
    return np.ascontiguousarray(masks[:, step // 2 :: step, step // 2 :: step])


def nearest_masks(masks: np.ndarray, rows: range, count: int) -> np.ndarray:
    """The other masks most like each mask of `rows`, nearest first, (len(rows), count) int32.

    Alike by the mean intersection over union of the classes that one of the two masks has. Blocks of rows are compared
    with all masks: nothing grows with their number squared.

    Args:
        masks: (N, S, S) uint8.
        count: below N.
    """
    pixels = torch.from_numpy(masks).flatten(1)
    blocks = [rows[first : first + _BLOCK] for first in range(0, len(rows), _BLOCK)]
    return np.concatenate([_nearest(pixels, block, count) for block in blocks])


def _nearest(masks: torch.Tensor, rows: range, count: int) -> np.ndarray:
    total = torch.zeros(len(rows), len(masks))
    classes = torch.zeros_like(total)
    for index in range(len(CLASSES)):
        present = (masks == index).float()
        area = present.sum(1)
        if not area.any():
            continue
        common = present[rows.start : rows.stop] @ present.T
        union = area[rows.start : rows.stop, None] + area - common
        total += common / union.clamp(min=1)
        classes += union > 0
    likeness = total / classes
    likeness[torch.arange(len(rows)), torch.arange(rows.start, rows.stop)] = -1.0  # itself
    return likeness.topk(count, dim=1).indices.to(torch.int32).numpy()
