"""How well two masks agree: pixel accuracy and intersection over union, by class."""

from __future__ import annotations

import torch
from torch import Tensor

from models.parsing.palette import CLASSES


def confusion(truth: Tensor, found: Tensor) -> Tensor:
    """Pixels (19, 19) int64 of each class of the truth, in rows, that were found to be of each class, in columns.

    Args:
        truth, found: masks of equal shape. Counts of several batches add up.
    """
    return confusions(truth[None], found[None])[0]


def confusions(truth: Tensor, found: Tensor) -> Tensor:
    """The same of each mask alone, (N, 19, 19) int64.

    Args:
        truth, found: masks (N, …) of equal shape.
    """
    count = len(CLASSES)
    pairs = truth.flatten(1).long() * count + found.flatten(1).long()
    pairs += count**2 * torch.arange(len(pairs), device=pairs.device)[:, None]
    return torch.bincount(pairs.flatten(), minlength=len(pairs) * count**2).view(-1, count, count)


def intersection_over_union(counts: Tensor) -> Tensor:
    """IoU (19,) of each class from a confusion; NaN where neither mask has it."""
    right = counts.diagonal().double()
    return right / (counts.sum(0) + counts.sum(1) - right)


def class_accuracy(counts: Tensor) -> Tensor:
    """Share (19,) of each class's pixels in the truth that were found; NaN where it has none."""
    return counts.diagonal().double() / counts.sum(1)


def pixel_accuracy(counts: Tensor) -> float:
    """Share of all pixels whose class was found."""
    return float(counts.diagonal().sum() / counts.sum())


def mean_iou(counts: Tensor) -> float:
    """Mean IoU of the classes that occur."""
    return float(intersection_over_union(counts).nanmean())
