"""Distance of codes from the mean code."""

from __future__ import annotations

from torch import Tensor


def code_norm(latent: Tensor, mean: Tensor) -> Tensor:
    """‖w − w̄‖₂ over rows and channels, mean over the batch, of codes (B, L, D) and a mean code (L, D).

    "Encoding in Style" (2021, eq. 4), as the authors' code has it; off in its published trainings of faces.
    """
    distance: Tensor = (latent - mean).flatten(1).norm(dim=1).mean()
    return distance
