"""Differences between the style vectors of a latent code."""

from __future__ import annotations

from torch import Tensor


def delta_loss(latent: Tensor) -> Tensor:
    """Σ_i ‖w_i − w_0‖₂, mean over the batch, of codes (B, L, D).

    "Designing an Encoder for StyleGAN Image Manipulation" (2021, eq. 3), with the norm itself as in the authors' code.
    """
    distances: Tensor = (latent[:, 1:] - latent[:, :1]).norm(dim=2)
    return distances.sum(1).mean()
