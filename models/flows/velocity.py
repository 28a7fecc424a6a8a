"""The right-hand side of the flow: a stack of ConcatSquash layers with tanh between (StyleFlow; FFJORD, 2019).

A layer maps x to (W x + b) · σ(W_g c + b_g) + W_b c with c = [t, s], time first; gate and shift are the same for all
style vectors of a face. The tangent J e is a closed form of the same pass, so no derivative has to be recorded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ConcatSquashLinear(nn.Module):
    """Weights of one layer, under the public names."""

    def __init__(self, inputs: int, outputs: int, semantics: int) -> None:
        super().__init__()
        self._layer = nn.Linear(inputs, outputs)
        self._hyper_bias = nn.Linear(1 + semantics, outputs, bias=False)
        self._hyper_gate = nn.Linear(1 + semantics, outputs)


@dataclass
class Conditioning:
    """What gates and shifts of all layers depend on besides time, computed once per solve: value + t · slope."""

    gate: Tensor  # (B, 1, sum of widths)
    gate_slope: Tensor  # (sum of widths,)
    shift: Tensor
    shift_slope: Tensor


class VelocityNetwork(nn.Module):
    """Φ(z, s, t) on each style vector.

    Args:
        style_dim: D.
        hidden: widths between; the last layer comes back to D.
        semantics: A.
    """

    def __init__(self, style_dim: int, hidden: list[int], semantics: int) -> None:
        super().__init__()
        widths = [style_dim, *hidden, style_dim]
        pairs = zip(widths[:-1], widths[1:], strict=True)
        layers: Any = nn.ModuleList(ConcatSquashLinear(i, o, semantics) for i, o in pairs)
        self.layers = layers
        self.widths = widths[1:]

    def condition(self, semantics: Tensor) -> Conditioning:
        """The part of all gates and shifts that semantics (B, A) decide."""
        gate_weight = torch.cat([layer._hyper_gate.weight for layer in self.layers])
        gate_bias = torch.cat([layer._hyper_gate.bias for layer in self.layers])
        shift_weight = torch.cat([layer._hyper_bias.weight for layer in self.layers])
        return Conditioning(
            F.linear(semantics, gate_weight[:, 1:], gate_bias)[:, None],
            gate_weight[:, 0],
            F.linear(semantics, shift_weight[:, 1:])[:, None],
            shift_weight[:, 0],
        )

    def _gates_and_shifts(self, t: Tensor | float, condition: Conditioning) -> tuple[list[Tensor], list[Tensor]]:
        gates = torch.sigmoid(condition.gate + t * condition.gate_slope).split(self.widths, dim=-1)
        shifts = (condition.shift + t * condition.shift_slope).split(self.widths, dim=-1)
        return list(gates), list(shifts)

    def forward(self, t: Tensor | float, z: Tensor, condition: Conditioning) -> Tensor:
        """Velocity (B, L, D) at z (B, L, D) and time t."""
        gates, shifts = self._gates_and_shifts(t, condition)
        last = len(self.layers) - 1
        for index, (layer, gate, shift) in enumerate(zip(self.layers, gates, shifts, strict=True)):
            z = torch.addcmul(shift, layer._layer(z), gate)
            if index < last:
                z = torch.tanh(z)
        return z

    def with_tangents(
        self, t: Tensor | float, z: Tensor, tangents: Tensor, condition: Conditioning
    ) -> tuple[Tensor, Tensor]:
        """Velocity (B, L, D) and J e (K, B, L, D) for the directions `tangents` (K, B, L, D)."""
        gates, shifts = self._gates_and_shifts(t, condition)
        last = len(self.layers) - 1
        for index, (layer, gate, shift) in enumerate(zip(self.layers, gates, shifts, strict=True)):
            both = F.linear(torch.cat([z[None], tangents]), layer._layer.weight)
            z = torch.addcmul(shift, both[0] + layer._layer.bias, gate)
            if index < last:
                z = torch.tanh(z)
                tangents = both[1:] * (gate - gate * z.square())
            else:
                tangents = both[1:] * gate
        return z, tangents
