"""e4e's latent discriminator, which keeps an encoder's codes in the distribution of the mapping network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from utils.ranges import Depth, Size


class LatentDiscriminator(nn.Module):
    """Tells encoded from mapped style vectors (e4e, "Designing an Encoder for StyleGAN Image Manipulation", 3.3).

    Args:
        style_dim: size of a style vector.
        layers: number of linear layers, leaky ReLU 0.2 between them.
    """

    def __init__(self, style_dim: Size, layers: Depth = 4) -> None:
        super().__init__()
        self.style_dim = style_dim
        stack: list[nn.Module] = []
        for _ in range(layers - 1):
            stack += [nn.Linear(style_dim, style_dim), nn.LeakyReLU(0.2)]
        self.mlp = nn.Sequential(*stack, nn.Linear(style_dim, 1))

    def forward(self, latent: Tensor) -> Tensor:
        """Logits (..., 1) of style vectors (..., style_dim): above 0 for codes of the mapping network.

        Each vector has a logit of its own: codes (B, L, D) give (B, L, 1).
        """
        logits: Tensor = self.mlp(latent)
        return logits


def latent_discriminator_sizes(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Constructor arguments of the latent discriminator whose weight file has these keys and shapes."""
    weights = [key for key in shapes if key.startswith("mlp.") and key.endswith(".weight")]
    if not weights:
        raise ValueError("no latent discriminator here: keys 'mlp.*' are missing")
    return {"style_dim": int(shapes["mlp.0.weight"][1]), "layers": len(weights)}
