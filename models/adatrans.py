"""AdaTrans: an edit as a path of adaptive steps ("Adaptive Nonlinear Latent Transformation for Conditional Face
Editing", 2023). Keys and numbers are those of the published `model-latest`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from utils.ranges import Depth, Positive, Size


def _perceptron(inputs: int, width: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, outputs))


class _Modulated(nn.Module):
    """A perceptron whose outputs are scaled and shifted by the conditions."""

    def __init__(self, width: int, conditions: int) -> None:
        super().__init__()
        self.layer = _perceptron(width, width, width)
        self.affine = nn.ModuleDict({name: _perceptron(conditions, width, width) for name in ("scale", "bias")})

    def forward(self, x: Tensor, wanted: Tensor) -> Tensor:
        modulated: Tensor = self.layer(x) * self.affine["scale"](wanted).exp() + self.affine["bias"](wanted)
        return modulated


class _Direction(nn.Module):
    """Direction and length of the next step, given the path so far."""

    def __init__(
        self, styles: int, style_dim: int, conditions: int, layers: int, width: int, longest_step: float
    ) -> None:
        super().__init__()
        self.longest_step = longest_step
        self.input_layer = _perceptron(styles * style_dim, width, width)
        self.rnn = nn.LSTM(width, width, num_layers=2)
        self.main = nn.ModuleList(_Modulated(width, conditions) for _ in range(layers))
        self.output_layer = _perceptron(width, width, style_dim)
        self.step_layer = _perceptron(width, width, 1)

    def forward(self, path: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
        """Unit direction (B, D) and length in (0, longest), (B, 1), after the states (T, B, L, D)."""
        seen = self.input_layer(path.flatten(2).flatten(0, 1)).unflatten(0, path.shape[:2])
        x = self.rnn(seen)[0][-1]
        for layer in self.main:
            x = layer(x, wanted)
        return F.normalize(self.output_layer(x), dim=-1), self.longest_step * self.step_layer(x).sigmoid()


class AdaTrans(nn.Module):
    """A path of codes from w towards target attributes; all style vectors of a code take the same steps.

    Args:
        styles: L, style vectors in a code.
        style_dim: D.
        conditions: number of attributes that are set.
        layers: number of modulated perceptrons.
        width: of all hidden layers.
        longest_step: bound of a step's length, in units of codes. The published 1 suits FFHQ's codes; where edits
            are longer, paths of few steps do not reach their targets.
    """

    def __init__(
        self,
        styles: Depth = 18,
        style_dim: Size = 512,
        conditions: Size = 1,
        layers: Depth = 10,
        width: Size = 512,
        longest_step: Positive = 1.0,
    ) -> None:
        super().__init__()
        self.func = _Direction(styles, style_dim, conditions, layers, width, longest_step)

    def forward(self, w: Tensor, wanted: Tensor, steps: int, held: bool = False) -> tuple[Tensor, Tensor]:
        """The path (steps + 1, B, L, D), whose first state is w, and the lengths of its steps (B, steps).

        Args:
            wanted: (B, conditions): 1 for present, −1 for absent.
            held: every step has half the longest length instead of the predicted one.
        """
        path, lengths = [w], []
        for _ in range(steps):
            direction, length = self.func(torch.stack(path), wanted)
            if held:
                length = torch.full_like(length, 0.5 * self.func.longest_step)
            path.append(path[-1] + (direction * length)[:, None])
            lengths.append(length)
        return torch.stack(path), torch.cat(lengths, dim=1) if lengths else w.new_zeros(len(w), 0)


def adatrans_sizes(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Constructor arguments of the network whose checkpoint has these keys and shapes."""
    style_dim = int(shapes["func.output_layer.3.weight"][0])
    return {
        "styles": int(shapes["func.input_layer.0.weight"][1]) // style_dim,
        "style_dim": style_dim,
        "conditions": int(shapes["func.main.0.affine.scale.0.weight"][1]),
        "layers": sum(bool(re.fullmatch(r"func\.main\.\d+\.layer\.0\.weight", key)) for key in shapes),
        "width": int(shapes["func.input_layer.0.weight"][0]),
    }
