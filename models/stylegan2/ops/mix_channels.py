"""Linear maps of the channels, one a sample."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function


class _Product(Function):
    """vectors (B, K, C), pixels (B, P, C) -> (B, K, P).

    With few vectors and many pixels, matrix libraries are many times slower for one order of the factors than for the
    other; PyTorch's own gradient uses the slow one.
    """

    @staticmethod
    def forward(ctx: Any, vectors: Tensor, pixels: Tensor) -> Tensor:
        ctx.save_for_backward(vectors, pixels)
        return torch.bmm(vectors, pixels.transpose(1, 2))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        vectors, pixels = ctx.saved_tensors
        to_vectors = torch.bmm(grad, pixels) if ctx.needs_input_grad[0] else None
        to_pixels = torch.bmm(grad.transpose(1, 2), vectors) if ctx.needs_input_grad[1] else None
        return to_vectors, to_pixels


def mix_channels(x: Tensor, vectors: Tensor) -> Tensor:
    """x (B, C, H, W), vectors (B, K, C) -> (B, K, H, W), differentiable any number of times; fast for channels-last x
    and few vectors."""
    batch, channels, height, width = x.shape
    pixels = x.permute(0, 2, 3, 1).reshape(batch, height * width, channels)
    mixed: Tensor = _Product.apply(vectors, pixels)
    return mixed.reshape(batch, -1, height, width)
