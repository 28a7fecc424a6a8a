"""Similarity of two identities."""

from __future__ import annotations

from torch import Tensor


def identity_loss(embedding: Tensor, target: Tensor) -> Tensor:
    """Mean of 1 − cosine ("Encoding in Style", 2020, eq. 4) of unit-norm embeddings (B, E)."""
    return 1 - (embedding * target).sum(1).mean()
