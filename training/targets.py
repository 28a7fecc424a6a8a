"""Random edit targets: ŝ, towards which a training step moves its faces."""

from __future__ import annotations

import torch
from torch import Tensor


def replace_one_attribute(semantics: Tensor, low: float = 0.0, high: float = 1.0) -> Tensor:
    """ŝ: a detached copy of (B, A) in which one attribute of each row, drawn uniformly, becomes u ~ U[low, high]."""
    rows, columns = semantics.shape
    chosen = torch.randint(0, columns, (rows,), device=semantics.device)
    value = low + (high - low) * torch.rand(rows, device=semantics.device)
    return semantics.detach().clone().scatter_(1, chosen[:, None], value.to(semantics.dtype)[:, None])
