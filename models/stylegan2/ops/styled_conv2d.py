"""Modulation, 3x3 convolution, demodulation, noise, bias and activation in one pass over the pixels."""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

from models.stylegan2.ops import compiled
from models.stylegan2.ops.bias_act import bias_act
from models.stylegan2.ops.conv2d import conv2d
from models.stylegan2.ops.derived import derived, frozen
from models.stylegan2.ops.upfirdn2d import upfirdn2d, upfirdn2d_bias_act

_SAME, _UP, _DOWN = range(3)  # `Convolution` of csrc/arguments.h
_LEAST_CHANNELS = 16  # fewer leave the vector registers half empty
_LEAST_PIXELS = 256  # fewer do not repay the reading of the larger weight


class _Settings(NamedTuple):
    scale: float
    slope: float
    gain: float
    limit: float


_LINEAR = _Settings(1.0, 1.0, 1.0, math.inf)


def styled_conv2d(
    x: Tensor,
    weight: Tensor,
    modulation: Tensor,
    demodulation: Tensor,
    noise: Tensor | None = None,
    bias: Tensor | None = None,
    weight_scale: float = 1.0,
    blur: Tensor | None = None,
    alpha: float = 0.2,
    gain: float = math.sqrt(2),
    clamp: float | None = None,
    form: compiled.Form | None = None,
) -> Tensor:
    """clamp(gain · lrelu(demodulation · ((weight_scale · weight) ∗ (modulation · x)) + noise + bias)): a layer of
    StyleGAN2 (Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", 2020).

    The compiled form needs 4 (float32) or 2.25 times (bfloat16) fewer products by Winograd's minimal filtering, 1.65
    times fewer with enlargement, and rounds a little coarser: 2e-6 and 5e-3 of the result. It serves weights that are
    not being trained, and keeps their transforms until they change: 4 (float32) or 0.9 (bfloat16) times their size,
    5.4 and 2.7 times with enlargement, and as much again where gradients flow. All else takes the plain form.

    Args:
        x: (B, I, H, W).
        weight: (1, O, I, 3, 3).
        modulation, demodulation: (B, I), (B, O).
        noise: (B or 1, 1, H', W'), times its strength already.
        bias: (O,).
        blur: FIR filter (4, 4), gain included, by which the result is enlarged to twice the side; None keeps the side.
        alpha: slope of the negative side.
        form: "reference" for plain PyTorch, "compiled" for the compiled kernels; None as the environment variable
            SDFLOW_OPS says, by default compiled where they can be built.
    Returns:
        (B, O, H', W'), in the dtype of autocast where that is on; differentiable any number of times.
    Raises:
        ValueError: a weight, modulation, demodulation, noise or bias that does not fit.
        RuntimeError: the form "compiled" is asked for, but could not be built.
    """
    if torch.is_autocast_enabled(x.device.type) and x.dtype != torch.float64:
        x = x.to(torch.get_autocast_dtype(x.device.type))
    settings = _Settings(weight_scale, alpha, gain, math.inf if clamp is None else clamp)
    sources = (x, modulation, demodulation, weight, noise, bias, blur)
    _check_shapes(x, modulation, demodulation, weight, noise, bias, 1 if blur is None else 2)
    if (
        alpha >= 0  # the gradient tells the side of the activation by the sign of the result
        and gain > 0
        and not (torch.is_grad_enabled() and any(other is not None and other.requires_grad for other in sources[4:]))
        and _served(x, x.dtype, weight, blur, form)
    ):
        return _StyledConv2d.apply(*sources, settings)
    return _plain(*sources, settings, form)


def conv3x3(x: Tensor, weight: Tensor) -> Tensor:
    """weight ∗ x with padding 1: x (B, I, H, W), weight (O, I, 3, 3) -> (B, O, H, W).

    Where no gradient is wanted it takes the compiled form of `styled_conv2d`, if there is one.
    """
    low = x.device.type == "cpu" and torch.is_autocast_enabled("cpu") and x.dtype != torch.float64
    dtype = torch.get_autocast_dtype("cpu") if low else x.dtype
    if torch.is_grad_enabled() or not _served(x, dtype, weight):
        return F.conv2d(x, weight, padding=1)
    return _convolve(_SAME, x.to(dtype), packed_weight(weight, 1.0, dtype, _SAME), len(weight))


def _check_shapes(
    x: Tensor,
    modulation: Tensor,
    demodulation: Tensor,
    weight: Tensor,
    noise: Tensor | None,
    bias: Tensor | None,
    enlargement: int,
) -> None:
    batch, inputs, height, width = x.shape
    outputs = weight.shape[1]
    fit = {
        "weight": weight.ndim == 5 and weight.shape[0] == 1 and weight.shape[2] == inputs,
        "modulation": modulation.shape == (batch, inputs),
        "demodulation": demodulation.shape == (batch, outputs),
        "noise": noise is None
        or (len(noise) in (1, batch) and noise.shape[1:] == (1, enlargement * height, enlargement * width)),
        "bias": bias is None or bias.shape == (outputs,),
    }
    for name, fits in fit.items():
        if not fits:
            raise ValueError(f"the {name} does not fit images of shape {tuple(x.shape)} and {outputs} outputs")


def conv2d_enlarged(x: Tensor, weight: Tensor, blur: Tensor, form: compiled.Form | None = None) -> Tensor:
    """Convolution of the image enlarged to twice its side: x (B, I, H, W), weight (O, I, k, k) -> (B, O, 2 H, 2 W).

    Args:
        blur: FIR filter that fills in between the pixels, gain included.
        form: as in `styled_conv2d`.
    """
    x, padding = _transposed(x, weight, blur)
    return upfirdn2d(x, blur, padding=padding, form=form)


def _transposed(x: Tensor, weight: Tensor, blur: Tensor) -> tuple[Tensor, tuple[int, int, int, int]]:
    """The transposed convolution, and the padding with which the filter makes twice the side of it."""
    spare = blur.shape[-1] - weight.shape[-1]
    before, after = (spare + 2) // 2, (spare + 1) // 2
    return conv2d(x, weight.transpose(0, 1), stride=2, transposed=True), (before, after, before, after)


def _plain(
    x: Tensor,
    modulation: Tensor,
    demodulation: Tensor,
    weight: Tensor,
    noise: Tensor | None,
    bias: Tensor | None,
    blur: Tensor | None,
    settings: _Settings,
    form: compiled.Form | None = None,
) -> Tensor:
    kernel = (weight[0] * settings.scale).to(x.dtype)
    x = x * modulation.to(x.dtype)[:, :, None, None]
    rest: dict[str, Any] = {
        "bias": bias,
        "activation": "lrelu",
        "alpha": settings.slope,
        "gain": settings.gain,
        "clamp": settings.limit if math.isfinite(settings.limit) else None,
        "noise": noise,
        "scale": demodulation,
        "form": form,
    }
    if blur is None:
        return bias_act(conv2d(x, kernel, padding=kernel.shape[-1] // 2), inplace=True, **rest)
    x, padding = _transposed(x, kernel, blur)
    return upfirdn2d_bias_act(x, blur, padding, **rest)


def _served(
    x: Tensor, dtype: torch.dtype, weight: Tensor, blur: Tensor | None = None, form: compiled.Form | None = None
) -> bool:
    """Whether the compiled form takes this convolution, in `dtype`."""
    return (
        _fits(x, weight, blur)
        and frozen(weight)
        and compiled.use_compiled(x, form)
        and packed_size(dtype, _SAME if blur is None else _UP, *weight.shape[-4:-2]) > 0
    )


def _fits(x: Tensor, weight: Tensor, blur: Tensor | None) -> bool:
    """Whether the compiled form computes this convolution, and faster than the plain one."""
    outputs, inputs, *kernel = weight.shape[-4:]
    large = min(inputs, outputs) >= _LEAST_CHANNELS and x.shape[2] * x.shape[3] >= _LEAST_PIXELS
    return large and x.device.type == "cpu" and kernel == [3, 3] and (blur is None or _separable(blur))


def _separable(blur: Tensor) -> bool:
    return blur.shape == (4, 4) and torch.allclose(torch.outer(_taps(blur), _taps(blur)), blur.float())


def _taps(blur: Tensor) -> Tensor:
    """What a separable filter does along an axis."""
    return blur.float().sum(dim=0) / blur.float().sum().sqrt()


class _StyledConv2d(Function):
    """The compiled form."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        modulation: Tensor,
        demodulation: Tensor,
        weight: Tensor,
        noise: Tensor | None,
        bias: Tensor | None,
        blur: Tensor | None,
        settings: _Settings,
    ) -> Tensor:
        kind = _SAME if blur is None else _UP
        y = _convolve(
            kind,
            x,
            packed_weight(weight, settings.scale, x.dtype, kind),
            weight.shape[1],
            modulation=modulation,
            scale=demodulation,
            noise=noise,
            bias=bias,
            blur=blur,
            settings=settings,
        )
        ctx.save_for_backward(x, modulation, demodulation, weight, noise, bias, blur, y)
        ctx.settings = settings
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, modulation, demodulation, weight, noise, bias, blur, y = ctx.saved_tensors
        settings: _Settings = ctx.settings
        if torch.is_grad_enabled():  # this gradient is to be differentiated again
            wanted = [tensor for tensor in (x, modulation, demodulation) if tensor.requires_grad]
            result = _plain(x, modulation, demodulation, weight, noise, bias, blur, settings, "reference")
            gradients = iter(torch.autograd.grad(result, wanted, grad, create_graph=True))
            return (*(next(gradients) if need else None for need in ctx.needs_input_grad[:3]), *(None,) * 5)
        to_convolution, to_demodulation = _finish_backward(grad, y, demodulation, noise, bias, settings)
        if blur is not None:
            to_convolution = upfirdn2d(to_convolution, blur.flip((0, 1)), padding=2)
        kind = _SAME if blur is None else _DOWN
        packed = packed_weight(weight, settings.scale, x.dtype, kind, adjoint=True)
        to_modulation = torch.empty_like(modulation, dtype=torch.float32, memory_format=torch.contiguous_format)
        to_x = _convolve(kind, to_convolution, packed, weight.shape[2], scale=modulation, other=x, sums=to_modulation)
        return (
            to_x,
            to_modulation.to(modulation.dtype),
            (to_demodulation / demodulation.float()).to(demodulation.dtype),
            *(None,) * 5,
        )


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _convolve(
    kind: int,
    x: Tensor,
    packed: Tensor,
    outputs: int,
    modulation: Tensor | None = None,
    scale: Tensor | None = None,
    noise: Tensor | None = None,
    bias: Tensor | None = None,
    blur: Tensor | None = None,
    other: Tensor | None = None,
    sums: Tensor | None = None,
    settings: _Settings = _LINEAR,
) -> Tensor:
    """One run of the kernel; `sums` receives Σ convolution · other over the pixels."""
    x, other = _channels_last(x), None if other is None else _channels_last(other)
    batch, inputs, height, width = x.shape
    sides = {_SAME: (height, width), _UP: (2 * height, 2 * width), _DOWN: ((height - 1) // 2, (width - 1) // 2)}[kind]
    y = torch.empty((batch, outputs, *sides), dtype=x.dtype, memory_format=torch.channels_last)
    taps = None if blur is None else _taps(blur).flip(0)
    sources = [compiled.operand(source, x) for source in (modulation, scale, noise, bias, taps)]
    arguments = compiled.Winograd(
        x.data_ptr(),
        packed.data_ptr(),
        y.data_ptr(),
        *map(compiled.pointer, sources),
        compiled.pointer(other),
        compiled.pointer(sums),
        dtype=compiled.dtype_code(x),
        kind=kind,
        batch=batch,
        height=height,
        width=width,
        inputs=inputs,
        out_height=sides[0],
        out_width=sides[1],
        outputs=outputs,
        noise_per_sample=noise is not None and noise.shape[0] > 1,
        threads=torch.get_num_threads(),
        slope=settings.slope,
        gain=settings.gain,
        limit=settings.limit,
    )
    compiled.run("winograd", x, arguments)
    return y


def _finish_backward(
    grad: Tensor, y: Tensor, scale: Tensor, noise: Tensor | None, bias: Tensor | None, settings: _Settings
) -> tuple[Tensor, Tensor]:
    """Gradient of the convolution's output, and that of the demodulation (B, O) times the demodulation."""
    grad = _channels_last(grad)
    batch, channels, height, width = y.shape
    # a fixed number of partial sums, so that the result is the same for any number of threads
    chunks = max(1, channels * height * width // 2**16)
    sums = y.new_zeros((batch, chunks, channels), dtype=torch.float32)
    result = torch.empty_like(y)
    sources = [compiled.operand(source, y) for source in (scale, noise, bias)]
    arguments = compiled.WinogradGradient(
        grad.data_ptr(),
        y.data_ptr(),
        result.data_ptr(),
        *map(compiled.pointer, sources),
        sums.data_ptr(),
        dtype=compiled.dtype_code(y),
        batch=batch,
        pixels=height * width,
        channels=channels,
        noise_per_sample=noise is not None and noise.shape[0] > 1,
        chunks=chunks,
        threads=torch.get_num_threads(),
        slope=settings.slope,
        gain=settings.gain,
        limit=settings.limit,
    )
    compiled.run("winograd_gradient", y, arguments)
    return result, sums.sum(dim=1)


def packed_weight(weight: Tensor, scale: float, dtype: torch.dtype, kind: int, adjoint: bool = False) -> Tensor:
    """scale · weight (…, O, I, 3, 3), transformed as the kernel takes it; `adjoint` for the gradient of its input."""

    def pack(weight: Tensor) -> Tensor:
        outputs, inputs = weight.shape[-4:-2]
        if adjoint:
            outputs, inputs = inputs, outputs
        packed = torch.empty(packed_size(dtype, kind, outputs, inputs), dtype=dtype)
        source = weight.float().contiguous()
        arguments = compiled.WinogradWeight(
            weight=source.data_ptr(),
            packed=packed.data_ptr(),
            dtype=compiled.dtype_code(packed),
            kind=kind,
            outputs=outputs,
            inputs=inputs,
            threads=torch.get_num_threads(),
            adjoint=adjoint,
            scale=scale,
        )
        compiled.run("winograd_pack", packed, arguments)
        return packed

    return derived(weight, (scale, dtype, kind, adjoint), pack)


@functools.cache
def packed_size(dtype: torch.dtype, kind: int, outputs: int, inputs: int) -> int:
    """Numbers in a packed weight; 0 where this processor has no kernel for the dtype."""
    probe = torch.empty(0, dtype=dtype)
    arguments = compiled.WinogradWeight(dtype=compiled.dtype_code(probe), kind=kind, outputs=outputs, inputs=inputs)
    compiled.run("winograd_pack", probe, arguments)
    return arguments.size
