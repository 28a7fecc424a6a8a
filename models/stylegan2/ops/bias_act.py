"""Scale, noise, bias, activation, gain and clamp in one pass over the pixels."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

from models.stylegan2.ops import compiled


class _Activation(NamedTuple):
    function: Callable[[Tensor, float], Tensor]
    gain: float = 1.0
    alpha: float = 0.0


_ROOT_2 = math.sqrt(2)
_ACTIVATIONS = {
    "linear": _Activation(lambda x, alpha: x),
    "relu": _Activation(lambda x, alpha: F.relu(x), _ROOT_2),
    "lrelu": _Activation(lambda x, alpha: F.leaky_relu(x, alpha), _ROOT_2, 0.2),
    "tanh": _Activation(lambda x, alpha: torch.tanh(x)),
    "sigmoid": _Activation(lambda x, alpha: torch.sigmoid(x)),
    "elu": _Activation(lambda x, alpha: F.elu(x)),
    "selu": _Activation(lambda x, alpha: F.selu(x)),
    "softplus": _Activation(lambda x, alpha: F.softplus(x)),
    "swish": _Activation(lambda x, alpha: torch.sigmoid(x) * x, _ROOT_2),
}
ACTIVATIONS = tuple(_ACTIVATIONS)


def bias_act(
    x: Tensor,
    bias: Tensor | None = None,
    dim: int = 1,
    activation: str = "linear",
    alpha: float | None = None,
    gain: float | None = None,
    clamp: float | None = None,
    noise: Tensor | None = None,
    scale: Tensor | None = None,
    inplace: bool = False,
    form: compiled.Form | None = None,
) -> Tensor:
    """clamp(gain · activation(x · scale + noise + bias)), in this order (Karras et al., "Training Generative
    Adversarial Networks with Limited Data", 2020, reference code).

    Args:
        x: tensor of any shape; its memory format is kept.
        bias: vector for the axis `dim` of x.
        activation: one of `ACTIVATIONS`.
        alpha: slope of the negative side of `lrelu` (default 0.2).
        gain: factor after the activation (default √2 for relu, lrelu and swish, else 1).
        clamp: limit of the result's magnitude (default none).
        noise: (B or 1, 1, H, W) for images x (B, C, H, W), times its strength already.
        scale: (B, C) for images x: the demodulation of a modulated convolution.
        inplace: x is not needed any more; the result may reuse its memory.
        form: "reference" for plain PyTorch, "compiled" for the compiled kernels; None as the environment variable
            SDFLOW_OPS says, by default compiled where they can be built.
    Returns:
        Tensor of x's shape and dtype, differentiable twice by x, bias, noise and scale.
    Raises:
        ValueError: unknown activation, or a bias, noise or scale that does not fit.
        RuntimeError: the form "compiled" is asked for, but could not be built.
    """
    check(activation, x.shape, bias, dim, noise, scale)
    curve = straight(activation, alpha, gain, clamp)
    if curve is not None and compiled.use_compiled(x, form):
        y: Tensor = _BiasAct.apply(x, bias, noise, scale, curve, dim % x.ndim, inplace)
        return y
    spec = _ACTIVATIONS[activation]
    if scale is not None:
        x = x * scale.to(x.dtype)[:, :, None, None]
    if noise is not None:
        x = x + noise.to(x.dtype)
    if bias is not None:
        x = x + bias.to(x.dtype).reshape([-1 if axis == dim % x.ndim else 1 for axis in range(x.ndim)])
    x = spec.function(x, spec.alpha if alpha is None else alpha)
    gain = spec.gain if gain is None else gain
    if gain != 1:
        x = x * gain
    return x if clamp is None else x.clamp(-clamp, clamp)


def check(
    activation: str,
    shape: torch.Size,
    bias: Tensor | None = None,
    dim: int = 1,
    noise: Tensor | None = None,
    scale: Tensor | None = None,
) -> None:
    """Whether all of it fits a tensor of this shape.

    Raises:
        ValueError: it does not.
    """
    if activation not in _ACTIVATIONS:
        raise ValueError(f"unknown activation {activation!r}; known: {', '.join(ACTIVATIONS)}")
    if bias is not None and (bias.ndim != 1 or bias.shape[0] != shape[dim]):
        raise ValueError(f"bias of shape {tuple(bias.shape)} does not fit axis {dim} of {tuple(shape)}")
    maps = [] if len(shape) != 4 else [(batch, 1, *shape[2:]) for batch in (1, shape[0])]
    if noise is not None and tuple(noise.shape) not in maps:
        raise ValueError(f"noise of shape {tuple(noise.shape)} does not fit images of shape {tuple(shape)}")
    if scale is not None and (len(shape) != 4 or scale.shape != shape[:2]):
        raise ValueError(f"scale of shape {tuple(scale.shape)} does not fit images of shape {tuple(shape)}")


class Curve(NamedTuple):
    """clamp(gain · lrelu(u)): what the compiled form computes."""

    slope: float
    gain: float
    limit: float


def straight(activation: str, alpha: float | None, gain: float | None, clamp: float | None) -> Curve | None:
    """The curve of an activation, or None where it is not piecewise linear."""
    spec = _ACTIVATIONS[activation]
    alpha = spec.alpha if alpha is None else alpha
    gain = spec.gain if gain is None else gain
    slope = {"linear": 1.0, "relu": 0.0, "lrelu": alpha}.get(activation)
    # the backward pass reads the side off the sign of the result
    if slope is None or slope < 0 or gain <= 0:
        return None
    return Curve(slope, gain, math.inf if clamp is None else clamp)


class _BiasAct(Function):
    """The compiled form."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        bias: Tensor | None,
        noise: Tensor | None,
        scale: Tensor | None,
        curve: Curve,
        dim: int,
        inplace: bool,
    ) -> Tensor:
        image, channels_last = compiled.dense(x)
        keeps_x = ctx.needs_input_grad[3]
        if inplace and not keeps_x and image is x:
            ctx.mark_dirty(x)
            y = x
        else:
            y = torch.empty_like(image)
        ctx.save_for_backward(x if keeps_x else None, y, bias, noise, scale)
        ctx.curve, ctx.dim = curve, dim
        arguments = forward_arguments(y, channels_last, bias, noise, scale, curve, dim)
        arguments.x, arguments.y = image.data_ptr(), y.data_ptr()
        compiled.run("bias_act", x, arguments)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, y, bias, noise, scale = ctx.saved_tensors
        to_x, to_bias, to_noise, to_scale, *_ = ctx.needs_input_grad
        wanted = to_bias, to_noise, to_scale
        if grad.is_cuda or torch.is_grad_enabled():
            # in steps that can be differentiated; CUDA sums best with PyTorch's kernels
            grad = _Slope.apply(grad, y, ctx.curve, ctx.dim)
            grad_x = grad if scale is None else grad * scale.to(grad.dtype)[:, :, None, None]
            grad_scale = (grad * x).sum(dim=(2, 3)) if to_scale else None
            grad_noise = grad.sum(dim=1, keepdim=True) if to_noise else None
            others = [axis for axis in range(grad.ndim) if axis != ctx.dim]
            grad_bias = (grad.sum(dim=others) if others else grad) if to_bias else None
        else:
            grad_x, grad_bias, grad_noise, grad_scale = _gradients(grad, x, y, scale, ctx.curve, ctx.dim, wanted)
        if grad_noise is not None and noise.shape[0] < grad_noise.shape[0]:
            grad_noise = grad_noise.sum(dim=0, keepdim=True)
        return (
            grad_x if to_x else None,
            None if grad_bias is None else grad_bias.to(bias.dtype),
            None if grad_noise is None else grad_noise.to(noise.dtype),
            None if grad_scale is None else grad_scale.to(scale.dtype),
            *(None, None, None),
        )


class _Slope(Function):
    """Gradient times the slope of the activation, which depends only on the sign of the output y."""

    @staticmethod
    def forward(ctx: Any, grad: Tensor, y: Tensor, curve: Curve, dim: int) -> Tensor:
        ctx.save_for_backward(y)
        ctx.curve, ctx.dim = curve, dim
        return _gradients(grad, None, y, None, curve, dim, (False, False, False))[0]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return _Slope.apply(grad, ctx.saved_tensors[0], ctx.curve, ctx.dim), None, None, None


def _gradients(
    grad: Tensor,
    x: Tensor | None,
    y: Tensor,
    scale: Tensor | None,
    curve: Curve,
    dim: int,
    wanted: tuple[bool, bool, bool],
) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
    """First-order gradients of x, bias, noise (B, 1, H, W) and scale in one pass, not differentiable."""
    to_bias, to_noise, to_scale = wanted
    y, channels_last = compiled.dense(y)
    grad, x = compiled.like(grad, y), None if x is None else compiled.like(x, y)
    grad_x = torch.empty_like(y)
    arguments = _arguments(y, channels_last, curve, dim)
    batch, channels, pixels = arguments.batch, arguments.channels, arguments.pixels
    # a fixed number of partial sums, so that the result is the same for any number of threads
    arguments.chunks = max(1, channels * pixels // 2**16)
    dtype = compiled.compute_dtype(y)
    sums = (batch, arguments.chunks, channels)
    grad_bias = y.new_zeros(sums, dtype=dtype) if to_bias else None
    grad_scale = y.new_zeros(sums, dtype=dtype) if to_scale else None
    grad_noise = y.new_zeros((batch, 1, *y.shape[2:]), dtype=dtype) if to_noise else None
    scale = compiled.operand(scale, y)
    arguments.x, arguments.y, arguments.scale = compiled.pointer(x), y.data_ptr(), compiled.pointer(scale)
    arguments.grad, arguments.grad_x = grad.data_ptr(), grad_x.data_ptr()
    arguments.grad_bias, arguments.grad_noise = compiled.pointer(grad_bias), compiled.pointer(grad_noise)
    arguments.grad_scale = compiled.pointer(grad_scale)
    compiled.run("bias_act_backward", y, arguments)
    return (
        grad_x,
        None if grad_bias is None else grad_bias.sum(dim=(0, 1)),
        grad_noise,
        None if grad_scale is None else grad_scale.sum(dim=1),
    )


def forward_arguments(
    image: Tensor,
    channels_last: bool,
    bias: Tensor | None,
    noise: Tensor | None,
    scale: Tensor | None,
    curve: Curve,
    dim: int = 1,
) -> compiled.BiasAct:
    """Everything but x and y, for a dense image."""
    arguments = _arguments(image, channels_last, curve, dim)
    operands = [compiled.operand(source, image) for source in (scale, noise, bias)]
    arguments.scale, arguments.noise, arguments.bias = map(compiled.pointer, operands)
    arguments.noise_per_sample = noise is not None and noise.shape[0] > 1
    arguments.operands = operands
    return arguments


def _arguments(image: Tensor, channels_last: bool, curve: Curve, dim: int) -> compiled.BiasAct:
    pixels = math.prod(image.shape[dim + 1 :])
    return compiled.BiasAct(
        dtype=compiled.dtype_code(image),
        batch=math.prod(image.shape[:dim]),
        channels=image.shape[dim],
        pixels=pixels,
        channels_last=channels_last or pixels == 1,
        slope=curve.slope,
        gain=curve.gain,
        limit=curve.limit,
    )
