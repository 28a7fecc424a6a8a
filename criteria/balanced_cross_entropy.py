"""Binary cross-entropy in which both classes of a batch have equal weight."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def balanced_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean of −log p of binary targets (B,), each weighted by the batch size over the number of targets of its class.

    The weights are those of the authors' code of Latent Transformer: a batch of both classes gives the sum of the
    classes' means.
    """
    present = targets.sum()
    weights = len(targets) * (targets / present.clamp(min=1) + (1 - targets) / (len(targets) - present).clamp(min=1))
    return (weights * F.binary_cross_entropy_with_logits(logits, targets, reduction="none")).mean()
