"""Binary cross-entropy in which both classes of a batch count alike."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def balanced_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean of −log p of the targets (B,) of 0 and 1, each weighted by how many times rarer than the batch its class is.

    The weights are those of Latent Transformer: N over the number of targets of the same class, so that a batch of both
    classes gives the sum of their means.
    """
    present = targets.sum()
    weights = len(targets) * (targets / present.clamp(min=1) + (1 - targets) / (len(targets) - present).clamp(min=1))
    return (weights * F.binary_cross_entropy_with_logits(logits, targets, reduction="none")).mean()
