"""Convolution whose gradients are convolutions again.

A gradient penalty and path length regularisation differentiate a convolution's gradient. PyTorch's own second
derivative copies layouts and, for grouped convolutions, loops over the groups; here both gradients are operations of
this module, so derivatives of every order run the same three fast kernels.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function


class _Settings(NamedTuple):
    stride: tuple[int, int]
    padding: tuple[int, int]
    groups: int
    transposed: bool
    output_padding: tuple[int, int] = (0, 0)

    def adjoint(self, x: Tensor, y: Tensor, kernel: torch.Size) -> _Settings:
        """Settings of the operation that takes the gradient of the output y to the gradient of the input x."""
        if self.transposed:
            return self._replace(transposed=False, output_padding=(0, 0))
        rest = [
            x.shape[axis] - ((y.shape[axis] - 1) * stride - 2 * padding + kernel[axis])
            for axis, stride, padding in zip((2, 3), self.stride, self.padding, strict=True)
        ]
        return self._replace(transposed=True, output_padding=(rest[0], rest[1]))


def _gradients(
    x: Tensor, weight: Tensor, grad: Tensor, settings: _Settings, wanted: tuple[bool, bool, bool]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """First-order gradients of input, weight and bias in one call, not differentiable."""
    stride, padding, groups, transposed, output_padding = settings
    # the bias counts the output channels
    outputs = [weight.shape[1] * groups if transposed else weight.shape[0]]
    gradients: tuple[Tensor | None, Tensor | None, Tensor | None] = torch.ops.aten.convolution_backward(
        grad, x, weight, outputs, stride, padding, (1, 1), transposed, output_padding, groups, wanted
    )
    return gradients


class _Convolution(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, settings: _Settings) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.settings = settings
        stride, padding, groups, transposed, output_padding = settings
        if transposed:
            return F.conv_transpose2d(x, weight, bias, stride, padding, output_padding, groups)
        return F.conv2d(x, weight, bias, stride, padding, groups=groups)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        settings: _Settings = ctx.settings
        to_x, to_weight, to_bias, _ = ctx.needs_input_grad
        if not torch.is_grad_enabled():
            return (*_gradients(x, weight, grad, settings, (to_x, to_weight, to_bias)), None)
        adjoint = settings.adjoint(x, grad, weight.shape)
        return (
            _Convolution.apply(grad, weight, None, adjoint) if to_x else None,
            _WeightGradient.apply(x, grad, weight.detach(), settings) if to_weight else None,
            grad.sum(dim=(0, 2, 3)) if to_bias else None,
            None,
        )


class _WeightGradient(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, grad: Tensor, weight: Tensor, settings: _Settings) -> Tensor | None:
        """`weight` gives the shape; its values do not enter its gradient."""
        ctx.save_for_backward(x, grad)
        ctx.settings = settings
        return _gradients(x, weight, grad, settings, (False, True, False))[1]

    @staticmethod
    def backward(ctx: Any, grad_weight: Tensor) -> tuple[Tensor | None, ...]:
        x, grad = ctx.saved_tensors
        settings: _Settings = ctx.settings
        adjoint = settings.adjoint(x, grad, grad_weight.shape)
        return (
            _Convolution.apply(grad, grad_weight, None, adjoint) if ctx.needs_input_grad[0] else None,
            _Convolution.apply(x, grad_weight, None, settings) if ctx.needs_input_grad[1] else None,
            None,
            None,
        )


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    groups: int = 1,
    transposed: bool = False,
) -> Tensor:
    """Convolution, or transposed convolution, as in `torch.nn.functional`; differentiable any number of times.

    Args:
        x: (B, C, H, W).
        weight: (O, C / groups, kh, kw); transposed (C, O / groups, kh, kw).
        bias: (O,).
    """
    if torch.is_autocast_enabled(x.device.type) and x.dtype != torch.float64:
        # cast outside of the function: its backward runs where autocast is off
        low = torch.get_autocast_dtype(x.device.type)
        x, weight, bias = x.to(low), weight.to(low), None if bias is None else bias.to(low)
    strides = (stride, stride) if isinstance(stride, int) else stride
    paddings = (padding, padding) if isinstance(padding, int) else padding
    y: Tensor = _Convolution.apply(x, weight, bias, _Settings(strides, paddings, groups, transposed))
    return y
