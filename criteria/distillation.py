"""L_kd: the semantic encoder learns from the classifier (paper, equation 5)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def distillation(semantics: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of E_s(I) and C(I), both (B, A) in [0, 1]; no gradient reaches the teacher."""
    return F.mse_loss(semantics, teacher.detach())
