"""The right-hand side of the flow's differential equation, in the form that torchdiffeq's solvers call."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from models.flows.concat_squash import ConcatSquashNetwork, Conditioning, Evaluation, Tangents

TRACE_CHUNK = 32  # unit vectors at once in an exact trace: bounds its memory


def unit_vectors(z: Tensor) -> list[Tensor]:
    """Directions whose Σ eᵀ J e is the exact trace at codes z (B, L, D), in chunks (K, B, L, D)."""
    units = torch.eye(z.shape[-1], dtype=z.dtype, device=z.device)[:, None, None, :]
    return [chunk.expand(-1, *z.shape[:2], -1) for chunk in torch.split(units, TRACE_CHUNK)]


class FlowField:
    """dz/dτ = c · Φ(z, s, t) at time t = c · τ (paper, equation 1), and the trace of its Jacobian beside it.

    Time t runs from 0 (latent codes) to T (Gaussian codes). τ increases in both directions, so that torchdiffeq solves
    without its wrapper for decreasing times: c = T for τ from 0 to 1, and c = −T for τ from −1 to 0 on the way back.

    The state is z (B, L, D) without directions. With directions it is a tuple of z and the integral of
    Σ eᵀ (∂Φ/∂z) e dt along the way, (B, L).

    Args:
        end_time: T, a scalar.
        forward: from codes to Gaussian codes, or back.
        directions: chunks (K, B, L, D): one random direction for Hutchinson's estimate of the trace, or
            `unit_vectors` for the exact one.
    """

    def __init__(
        self,
        network: ConcatSquashNetwork,
        condition: Conditioning,
        end_time: Tensor,
        forward: bool = True,
        directions: Sequence[Tensor] = (),
    ) -> None:
        self.network, self.condition, self.directions = network, condition, directions
        self.scale = end_time if forward else -end_time
        self.span = (0.0, 1.0) if forward else (-1.0, 0.0)
        self.evaluations = 0  # so far, of the whole batch

    def tensors(self) -> list[Tensor]:
        """What the field depends on besides time and state: c, conditioning, linear layers."""
        return [self.scale, *self.condition.tensors(), *self.network.linear_parameters()]

    def __call__(self, tau: Tensor, state: Tensor | tuple[Tensor, Tensor]) -> Tensor | tuple[Tensor, Tensor]:
        """Derivative of the state with respect to τ; autograd records it where gradients are enabled."""
        self.evaluations += 1
        time = tau * self.scale
        if isinstance(state, Tensor):
            velocity: Tensor = self.network(time, state, self.condition)
            return velocity * self.scale
        evaluation = self.network.evaluate(time, state[0], self.condition)
        return evaluation.value * self.scale, self.trace(evaluation) * self.scale

    def trace(self, evaluation: Evaluation, keep: list[Tangents] | None = None) -> Tensor:
        """Σ eᵀ J e of each style vector, (B, L); the tangents J e are appended to `keep`."""
        total = torch.zeros_like(evaluation.value[..., 0])
        for directions in self.directions:
            tangents = self.network.push_forward(evaluation, directions)
            total = total + (directions * tangents.value).sum((0, -1))
            if keep is not None:
                keep.append(tangents)
        return total
