"""Softmax over identities with a margin on cosines."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def margin_softmax(
    cosines: Tensor, identity: Tensor, scale: float = 32.0, angular_margin: float = 0.0, cosine_margin: float = 0.0
) -> Tensor:
    """Mean cross-entropy of s·c, where the own class's c = cos θ becomes cos(θ + m₂) − m₃.

    "ArcFace: Additive Angular Margin Loss for Deep Face Recognition" (2019), eq. 4 with m₁ = 1: m₂ is ArcFace's margin,
    m₃ is CosFace's. Where θ + m₂ would pass π the cosine would rise again; it goes on falling linearly there
    instead, as in the authors' code.

    Args:
        cosines: (B, N) between embeddings and class centres.
        identity: (B,) own classes, int64.
    """
    own = cosines.gather(1, identity[:, None])
    changed = own
    if angular_margin:
        margin = torch.tensor(angular_margin, dtype=cosines.dtype, device=cosines.device)
        sine = (1 - own.square()).clamp_min(1e-7).sqrt()  # its gradient is infinite at 0
        turned = own * margin.cos() - sine * margin.sin()
        changed = torch.where(own > -margin.cos(), turned, own - margin.sin() * margin)
    logits = scale * cosines.scatter(1, identity[:, None], changed - cosine_margin)
    return F.cross_entropy(logits, identity)
