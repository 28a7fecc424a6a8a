"""An edited picture must show the mask that was asked for (S²-Flow, 2022; its formula is not published)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def mask_agreement(logits: Tensor, target: Tensor, balance: float = 0.0) -> Tensor:
    """Weighted mean cross-entropy of a parser's logits (B, K, H, W) and the classes (B, H, W) of a mask.

    A pixel weighs f^(−balance), f the share of its class in the targets of the batch: at 0 all pixels count alike, at 1
    all classes that occur do, however few pixels an eye has.
    """
    share = torch.bincount(target.flatten(), minlength=logits.shape[1]) / target.numel()
    weights = torch.where(share > 0, share, 1.0).pow(-balance)
    return F.cross_entropy(logits, target, weights.to(logits.dtype))
