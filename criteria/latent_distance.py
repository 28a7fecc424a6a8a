"""L_reg: distance of the edited and the original latent code (paper, equation 7)."""

from __future__ import annotations

from torch import Tensor


def latent_distance(edited: Tensor, original: Tensor) -> Tensor:
    """Mean squared difference of two latent codes (B, L, D), over all elements."""
    return (edited - original).square().mean()
