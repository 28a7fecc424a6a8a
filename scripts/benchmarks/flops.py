"""Arithmetic of the networks: floating point operations, a multiplication and an addition count as two.

Only matrix products and convolutions count. FIR filters, element-wise passes and reductions are not counted: what they
cost is the formulation's affair, so that a floor made of these numbers holds for all formulations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn


def convolution(inputs: int, outputs: int, kernel_size: int, pixels: int) -> int:
    """A convolution; `pixels` are those of its result (of its input where it is a transposed one)."""
    return 2 * inputs * outputs * kernel_size**2 * pixels


def synthesis(channels: Mapping[int, int], style_dim: int, batch: int = 1) -> int:
    """StyleGAN2's synthesis from one style a layer.

    Args:
        channels: resolution → channels, from 4 on.
    """

    def modulation(width: int) -> int:
        return 2 * style_dim * width

    sides = sorted(channels)
    low = channels[sides[0]]
    total = 2 * modulation(low) + convolution(low, low, 3, sides[0] ** 2) + convolution(low, 3, 1, sides[0] ** 2)
    for below, side in pairwise(sides):
        before, after = channels[below], channels[side]
        total += modulation(before) + convolution(before, after, 3, below**2)  # transposed: each input pixel spreads
        total += modulation(after) + convolution(after, after, 3, side**2)
        total += modulation(after) + convolution(after, 3, 1, side**2)
    return batch * total


def fir(channels: Mapping[int, int], batch: int = 1) -> int:
    """The 4 × 4 filters of a synthesis as convolutions of their own: behind each upsampling and for each skip."""
    return batch * sum(2 * 16 * (channels[side] + 3) * side**2 for side in sorted(channels)[1:])


def velocity(widths: Sequence[int], semantics: int, batch: int, rows: int) -> int:
    """One evaluation of the flow's velocity network on (batch, rows, D).

    Args:
        widths: D, the hidden ones, D.
    """
    products = sum(before * after for before, after in pairwise(widths))
    conditioning = 2 * (1 + semantics) * sum(widths[1:])  # gate and shift of each layer, the same for all rows
    return 2 * batch * (rows * products + conditioning)


def network(module: nn.Module, *shape: int) -> int:
    """A pass through a network of `nn.Conv2d` and linear layers on an input of this shape.

    The network runs on the meta device: nothing is computed. A layer costs 2 · weights · places that it is applied to.
    """
    total = 0

    def count(layer: nn.Module, inputs: Any, output: Tensor) -> None:
        nonlocal total
        weight = layer.weight
        assert isinstance(weight, Tensor)
        places = output.numel() // output.shape[1 if weight.ndim == 4 else -1]
        total += 2 * weight.numel() * places

    # equalised linear layers are of classes of their own, with a matrix as weight
    layers = [
        layer
        for layer in module.modules()
        if isinstance(layer, nn.Conv2d) or getattr(getattr(layer, "weight", None), "ndim", 0) == 2
    ]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    with torch.no_grad():
        module(torch.empty(*shape, device="meta"))
    for hook in hooks:
        hook.remove()
    return total
