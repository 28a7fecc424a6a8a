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
# those with a compiled form: two straight lines, of this slope on the negative side
_SLOPES: dict[str, Callable[[float], float]] = {
    "linear": lambda alpha: 1.0,
    "relu": lambda alpha: 0.0,
    "lrelu": lambda alpha: alpha,
}


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
        gain: factor behind the activation (default √2 for relu, lrelu and swish, else 1).
        clamp: limit of the result's magnitude (default none).
        noise: (B or 1, 1, H, W) for images x (B, C, H, W), times its strength already.
        scale: (B, C) for images x: the demodulation of a modulated convolution.
        inplace: x is needed no more, the result may take its memory.
        form: "reference" for plain PyTorch, "compiled" for the compiled kernels; None as the environment variable
            SDFLOW_OPS says, by default compiled where they can be built.
    Returns:
        Tensor of x's shape and dtype, differentiable twice by x, bias, noise and scale.
    Raises:
        ValueError: unknown activation, or a bias, noise or scale that does not fit.
        RuntimeError: the form "compiled" is asked for, but could not be built.
    """
    if activation not in _ACTIVATIONS:
        raise ValueError(f"unknown activation {activation!r}; known: {', '.join(ACTIVATIONS)}")
    spec = _ACTIVATIONS[activation]
    alpha = spec.alpha if alpha is None else alpha
    gain = spec.gain if gain is None else gain
    dim = dim % x.ndim
    _check_shapes(x, bias, dim, noise, scale)
    # the kernels tell the side of the activation by the sign of the result
    if activation in _SLOPES and alpha >= 0 and gain > 0 and compiled.use_compiled(x, form):
        slope = _SLOPES[activation](alpha)
        limit = math.inf if clamp is None else clamp
        return _BiasAct.apply(x, bias, noise, scale, _Settings(dim, slope, gain, limit, inplace))
    if scale is not None:
        x = x * scale.to(x.dtype)[:, :, None, None]
    if noise is not None:
        x = x + noise.to(x.dtype)
    if bias is not None:
        x = x + bias.to(x.dtype).reshape([-1 if axis == dim else 1 for axis in range(x.ndim)])
    x = spec.function(x, alpha)
    if gain != 1:
        x = x * gain
    return x if clamp is None else x.clamp(-clamp, clamp)


def _check_shapes(x: Tensor, bias: Tensor | None, dim: int, noise: Tensor | None, scale: Tensor | None) -> None:
    if bias is not None and (bias.ndim != 1 or bias.shape[0] != x.shape[dim]):
        raise ValueError(f"bias of shape {tuple(bias.shape)} does not fit axis {dim} of {tuple(x.shape)}")
    if noise is not None and (
        noise.ndim != 4 or x.ndim != 4 or noise.shape[0] not in (1, x.shape[0]) or noise.shape[1:] != (1, *x.shape[2:])
    ):
        raise ValueError(f"noise of shape {tuple(noise.shape)} does not fit images of shape {tuple(x.shape)}")
    if scale is not None and (x.ndim != 4 or scale.shape != x.shape[:2]):
        raise ValueError(f"scale of shape {tuple(scale.shape)} does not fit images of shape {tuple(x.shape)}")


class _Settings(NamedTuple):
    dim: int
    slope: float
    gain: float
    limit: float
    inplace: bool


class _BiasAct(Function):
    """The compiled form."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, bias: Tensor | None, noise: Tensor | None, scale: Tensor | None, settings: _Settings
    ) -> Tensor:
        image, channels_last = compiled.dense(x)
        keeps_x = ctx.needs_input_grad[3]
        if settings.inplace and not keeps_x and image is x:
            ctx.mark_dirty(x)
            y = x
        else:
            y = torch.empty_like(image)
        ctx.save_for_backward(x if keeps_x else None, y, bias, noise, scale)
        ctx.settings = settings
        sources = [compiled.operand(source, x) for source in (scale, noise, bias)]
        arguments = _arguments(image, channels_last, settings)
        arguments.x, arguments.y = image.data_ptr(), y.data_ptr()
        arguments.scale, arguments.noise, arguments.bias = map(compiled.pointer, sources)
        arguments.noise_per_sample = noise is not None and noise.shape[0] > 1
        compiled.run("bias_act", x, arguments)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, y, bias, noise, scale = ctx.saved_tensors
        to_x, to_bias, to_noise, to_scale, _ = ctx.needs_input_grad
        wanted = to_bias, to_noise, to_scale
        if grad.is_cuda or torch.is_grad_enabled():
            # in steps that can be differentiated; CUDA sums best with PyTorch's kernels
            grad = _Slope.apply(grad, y, ctx.settings)
            grad_x = grad if scale is None else grad * scale.to(grad.dtype)[:, :, None, None]
            grad_scale = (grad * x).sum(dim=(2, 3)) if to_scale else None
            grad_noise = grad.sum(dim=1, keepdim=True) if to_noise else None
            others = [axis for axis in range(grad.ndim) if axis != ctx.settings.dim]
            grad_bias = (grad.sum(dim=others) if others else grad) if to_bias else None
        else:
            grad_x, grad_bias, grad_noise, grad_scale = _gradients(grad, x, y, scale, ctx.settings, wanted)
        if grad_noise is not None and noise.shape[0] < grad_noise.shape[0]:
            grad_noise = grad_noise.sum(dim=0, keepdim=True)
        return (
            grad_x if to_x else None,
            None if grad_bias is None else grad_bias.to(bias.dtype),
            None if grad_noise is None else grad_noise.to(noise.dtype),
            None if grad_scale is None else grad_scale.to(scale.dtype),
            None,
        )


class _Slope(Function):
    """Gradient times the slope of the activation, which is constant on either side and told by the output y."""

    @staticmethod
    def forward(ctx: Any, grad: Tensor, y: Tensor, settings: _Settings) -> Tensor:
        ctx.save_for_backward(y)
        ctx.settings = settings
        return _gradients(grad, None, y, None, settings, (False, False, False))[0]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return _Slope.apply(grad, ctx.saved_tensors[0], ctx.settings), None, None


def _gradients(
    grad: Tensor,
    x: Tensor | None,
    y: Tensor,
    scale: Tensor | None,
    settings: _Settings,
    wanted: tuple[bool, bool, bool],
) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
    """First-order gradients of x, bias, noise (B, 1, H, W) and scale in one pass, not differentiable."""
    to_bias, to_noise, to_scale = wanted
    y, channels_last = compiled.dense(y)
    grad, x = compiled.like(grad, y), None if x is None else compiled.like(x, y)
    grad_x = torch.empty_like(y)
    arguments = _arguments(y, channels_last, settings)
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


def _arguments(x: Tensor, channels_last: bool, settings: _Settings) -> compiled.BiasAct:
    """Sizes and constants; x is dense."""
    dim = settings.dim
    pixels = math.prod(x.shape[dim + 1 :])
    return compiled.BiasAct(
        dtype=compiled.dtype_code(x),
        batch=math.prod(x.shape[:dim]),
        channels=x.shape[dim],
        pixels=pixels,
        channels_last=channels_last or pixels == 1,
        slope=settings.slope,
        gain=settings.gain,
        limit=settings.limit,
    )
