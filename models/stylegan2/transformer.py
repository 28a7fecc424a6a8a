"""W++: transformer blocks in place of the mapping's MLP, over one token for each style vector
("Transforming the Latent Space of StyleGAN for Real Face Editing", Li et al., 2021).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from models.stylegan2.layers import EqualLinear

HEADS = 4
_NARROWING = 4  # the attention computes with a quarter of the width


class TokenAttention(nn.Module):
    """Attention of the tokens of a sample to each other, in four heads that share a quarter of the width.

    Args:
        inputs: width of the tokens.
        width: of the results, a multiple of 16.
        lr_multiplier: as in `EqualLinear`.
    Raises:
        ValueError: a width that cannot be divided among the heads.
    """

    def __init__(self, inputs: int, width: int, lr_multiplier: float) -> None:
        super().__init__()
        if width % (_NARROWING * HEADS):
            raise ValueError(f"the transformer's width is {width}, expected a multiple of {_NARROWING * HEADS}")
        narrow = width // _NARROWING
        self.q_transform = EqualLinear(inputs, narrow, lr_multiplier)
        self.k_transform = EqualLinear(inputs, narrow, lr_multiplier)
        self.v_transform = EqualLinear(inputs, narrow, lr_multiplier)
        self.proj = EqualLinear(narrow, width, lr_multiplier)

    def maps(self, x: Tensor) -> Tensor:
        """How much each token looks at each other: (B, N, inputs) -> (B, heads, N of the query, N of the key)."""
        query, key = _heads(self.q_transform(x)), _heads(self.k_transform(x))
        # the published scale is that of all heads together, not of one
        scale = (HEADS * query.shape[-1]) ** -0.5
        maps: Tensor = (query @ key.transpose(2, 3) * scale).softmax(dim=3)
        return maps

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, inputs) -> (B, N, width)."""
        seen = self.maps(x) @ _heads(self.v_transform(x))
        mixed: Tensor = self.proj(seen.transpose(1, 2).flatten(2))
        return mixed


def _heads(x: Tensor) -> Tensor:
    """(B, N, D) -> (B, heads, N, D / heads)."""
    heads: Tensor = x.unflatten(2, (HEADS, -1)).transpose(1, 2)
    return heads


def normalised(x: Tensor) -> Tensor:
    """Layer norm without parameters over tokens and channels together, (B, N, D)."""
    return F.layer_norm(x, x.shape[1:])


class AttentionBlock(nn.Module):
    """x ← R(x) + attention(norm(x)); x ← x + MLP(norm(x)). R is linear where the width changes, else the identity.

    Arguments and errors are those of `TokenAttention`.
    """

    def __init__(self, inputs: int, width: int, lr_multiplier: float) -> None:
        super().__init__()
        self.atten = TokenAttention(inputs, width, lr_multiplier)
        self.mlp = nn.Sequential(
            EqualLinear(width, width, lr_multiplier), nn.GELU(), EqualLinear(width, width, lr_multiplier)
        )
        self.proj = EqualLinear(inputs, width, lr_multiplier) if inputs != width else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, inputs) -> (B, N, width)."""
        x = self.proj(x) + self.atten(normalised(x))
        y: Tensor = x + self.mlp(normalised(x))
        return y

    def attention(self, x: Tensor) -> Tensor:
        """The block's attention maps (B, heads, N, N) for its input."""
        return self.atten.maps(normalised(x))
