"""The right-hand side of the flow: a stack of ConcatSquash layers with tanh between (StyleFlow; FFJORD, 2019).

A layer maps x to (W x + b) · σ(W_g c + b_g) + W_b c with c = [t, s], time first; gate and shift are the same for all
style vectors of a face. Tangents J e and the gradients of both are closed forms of the same pass, so that no solver
step has to be recorded by autograd.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
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

    def tensors(self) -> list[Tensor]:
        return [getattr(self, field.name) for field in fields(self)]


@dataclass
class Evaluation:
    """One pass through the layers and what its tangents and gradients need of it."""

    time: Tensor | float
    weights: list[Tensor]  # of each layer, (width, width before)
    gates: list[Tensor]  # (B, 1, width) of each layer
    inputs: list[Tensor]  # of each layer, (B, L, width)
    linear: list[Tensor]  # W x + b of each layer
    value: Tensor  # (B, L, D)


@dataclass
class Tangents:
    """Directions carried through an evaluation."""

    inputs: list[Tensor]  # of each layer, (K, B, L, width)
    linear: list[Tensor]  # W times them
    value: Tensor  # J e, (K, B, L, D)


def _tanh(x: Tensor) -> Tensor:
    """tanh; x is overwritten.

    On a CPU 2σ(2x) − 1 takes a quarter of the time of `torch.tanh`, for a root mean square error of 5e-8 in place of
    2e-8 in float32.
    """
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        return x.tanh_()
    if torch.is_grad_enabled():  # which needs σ itself
        return torch.sigmoid(x.mul_(2)).mul(2).sub_(1)
    return x.mul_(2).sigmoid_().mul_(2).sub_(1)


class ConcatSquashNetwork(nn.Module):
    """Φ(z, s, t), the right-hand side of equation 1 of the paper, on each style vector.

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

    def linear_parameters(self) -> list[nn.Parameter]:
        """Weight and bias of each layer's linear part."""
        return [parameter for layer in self.layers for parameter in (layer._layer.weight, layer._layer.bias)]

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

    def forward(self, t: Tensor | float, z: Tensor, condition: Conditioning) -> Tensor:
        """Velocity (B, L, D) at z (B, L, D) and time t."""
        return self.evaluate(t, z, condition, keep=torch.is_grad_enabled()).value

    def evaluate(self, t: Tensor | float, z: Tensor, condition: Conditioning, keep: bool = True) -> Evaluation:
        """The pass at z (B, L, D) and time t.

        Args:
            keep: keep what tangents and gradients need; without, a pass overwrites its own values, which saves time.
        """
        gates = torch.split(torch.sigmoid(condition.gate + t * condition.gate_slope), self.widths, dim=-1)
        shifts = torch.split(condition.shift + t * condition.shift_slope, self.widths, dim=-1)
        inputs: list[Tensor] = []
        linear: list[Tensor] = []
        last = len(self.layers) - 1
        for index, (layer, gate, shift) in enumerate(zip(self.layers, gates, shifts, strict=True)):
            product = layer._layer(z)
            if keep:
                inputs.append(z)
                linear.append(product)
                z = torch.addcmul(shift, product, gate)
            else:
                z = product.mul_(gate).add_(shift)
            if index < last:
                z = _tanh(z)
        return Evaluation(t, [layer._layer.weight for layer in self.layers], list(gates), inputs, linear, z)

    def push_forward(self, evaluation: Evaluation, directions: Tensor) -> Tangents:
        """J e for the directions (K, B, L, D)."""
        inputs, linear = [], []
        last = len(self.layers) - 1
        for index, (weight, gate) in enumerate(zip(evaluation.weights, evaluation.gates, strict=True)):
            inputs.append(directions)
            linear.append(F.linear(directions, weight))
            slope = gate
            if index < last:
                slope = gate - gate * evaluation.inputs[index + 1].square()
            directions = linear[-1] * slope
        return Tangents(inputs, linear, directions)

    def pull_back(
        self,
        evaluation: Evaluation,
        gradient: Tensor,
        tangents: list[tuple[Tangents, Tensor]],
        condition: Conditioning,
        parameters: list[Tensor],
    ) -> Tensor:
        """Gradient of z (B, L, D) from that of the velocity and of tangents.

        Args:
            tangents: pairs of tangents and the gradient (K, B, L, D) of their value.
            condition: gradients of the conditioning, added to in place.
            parameters: gradients of `linear_parameters()`, added to in place.
        """
        of_tangents = [given for _, given in tangents]
        of_gates, of_shifts = [], []
        last = len(self.layers) - 1
        for index in reversed(range(len(self.layers))):
            weight, gate = evaluation.weights[index], evaluation.gates[index]
            of_slope = None
            for (carried, _), given in zip(tangents, of_tangents, strict=True):
                product = (given * carried.linear[index]).sum(0)
                of_slope = product if of_slope is None else of_slope + product
            slope = gate
            if index < last:  # the tangent's slope is gate · (1 − y²), the value's gradient passes y = tanh(·)
                y = evaluation.inputs[index + 1]
                bend = 1 - y.square()
                if of_slope is not None:
                    slope = gate * bend
                    gradient = gradient.addcmul(y * of_slope, gate, value=-2)
                    of_slope = of_slope * bend
                gradient = gradient * bend
            of_gate = gradient * evaluation.linear[index]
            if of_slope is not None:
                of_gate += of_slope
            of_gates.append(of_gate.sum(1, keepdim=True))
            of_shifts.append(gradient.sum(1, keepdim=True))
            parameters[2 * index + 1] += (of_shifts[-1] * gate).sum((0, 1))
            gradient = gradient * gate
            parameters[2 * index].addmm_(gradient.flatten(0, -2).t(), evaluation.inputs[index].flatten(0, -2))
            for number, (carried, _) in enumerate(tangents):
                given = of_tangents[number] * slope
                parameters[2 * index].addmm_(given.flatten(0, -2).t(), carried.inputs[index].flatten(0, -2))
                if index > 0:  # directions are given, not learned
                    of_tangents[number] = given @ weight
            gradient = gradient @ weight
        gate, of_gate = torch.cat(evaluation.gates, dim=-1), torch.cat(of_gates[::-1], dim=-1)
        of_gate, of_shift = of_gate * (gate - gate.square()), torch.cat(of_shifts[::-1], dim=-1)
        condition.gate += of_gate
        condition.gate_slope += evaluation.time * of_gate.sum((0, 1))
        condition.shift += of_shift
        condition.shift_slope += evaluation.time * of_shift.sum((0, 1))
        return gradient
