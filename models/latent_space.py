"""A fixed nonlinear map of a generator's latent space, with known curvature.

In the avatars' latent space attributes follow straight lines, because the generator was trained on pairs of factors and
faces; in the space of a generator trained without them they need not. This map gives the same networks such a space:
the images stay the same, and the curvature of the codes is known.
"""

from __future__ import annotations

import math
from typing import Annotated

import torch
from torch import Tensor, nn

from utils.ranges import Depth, MultipleOf, Positive, Seed, Size


class BentLatentSpace(nn.Module):
    """x = h(w / scale) on each style vector, with a smooth map h that has an exact inverse.

    h is a chain of couplings. Each rotates the vector by a random rotation and adds to each half in turn a sine wave
    of the other, b + κ sin(Ω a + φ): straight lines become curved, and the direction of an attribute depends on the
    code. h preserves volume; κ = 0 is a rotation.

    Args:
        style_dim: D, even.
        scale: what codes are divided by; their standard deviation makes that of x about one.
        curvature: κ, amplitude of the waves in units of the codes' standard deviation.
        frequency: standard deviation of the phase Ω a over standard codes, radians.
        couplings: pairs of waves in the chain.
        seed: of rotations, Ω and φ.
    """

    def __init__(
        self,
        style_dim: Annotated[Size, MultipleOf(2)],
        scale: Positive = 1.0,
        curvature: float = 0.5,
        frequency: float = 2.0,
        couplings: Depth = 2,
        seed: Seed = 0,
    ) -> None:
        super().__init__()
        self.scale, self.curvature, self.couplings = scale, curvature, couplings
        half = style_dim // 2
        random = torch.Generator().manual_seed(seed)
        for index in range(couplings):
            square = torch.randn(style_dim, style_dim, generator=random, dtype=torch.float64)
            self.register_buffer(f"rotation_{index}", torch.linalg.qr(square).Q.float())
            for which in ("first", "second"):
                waves = torch.randn(half, half, generator=random, dtype=torch.float64) * frequency / math.sqrt(half)
                phase = torch.rand(half, generator=random, dtype=torch.float64) * 2 * math.pi
                self.register_buffer(f"waves_{which}_{index}", waves.float())
                self.register_buffer(f"phase_{which}_{index}", phase.float())

    def _wave(self, half: Tensor, which: str, index: int) -> Tensor:
        waves, phase = getattr(self, f"waves_{which}_{index}"), getattr(self, f"phase_{which}_{index}")
        return self.curvature * torch.sin(half @ waves.t() + phase)

    def enter(self, latent: Tensor) -> Tensor:
        """Codes of this space (…, D) of the networks' own codes (…, D)."""
        x = latent / self.scale
        for index in range(self.couplings):
            a, b = (x @ getattr(self, f"rotation_{index}")).chunk(2, dim=-1)
            b = b + self._wave(a, "first", index)
            a = a + self._wave(b, "second", index)
            x = torch.cat([a, b], dim=-1)
        return x

    def leave(self, latent: Tensor) -> Tensor:
        """The inverse of `enter`; differentiable."""
        x = latent
        for index in reversed(range(self.couplings)):
            a, b = x.chunk(2, dim=-1)
            a = a - self._wave(b, "second", index)
            b = b - self._wave(a, "first", index)
            x = torch.cat([a, b], dim=-1) @ getattr(self, f"rotation_{index}").t()
        return x * self.scale
