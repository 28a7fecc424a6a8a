"""Binary cross-entropy with missing targets."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def known_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """−t log σ(x) − (1 − t) log(1 − σ(x)), averaged over the targets that are known; 0 if none is.

    Args:
        logits: x, of any shape.
        targets: t in [0, 1], of the same shape; NaN where it is missing.
    """
    known = ~targets.isnan()
    # Unknown targets are replaced, not multiplied by zero: NaN × 0 is NaN, and so would be the gradient.
    losses = F.binary_cross_entropy_with_logits(logits, targets.where(known, 0.5), reduction="none")
    return losses.where(known, 0.0).sum() / known.sum().clamp(min=1)
