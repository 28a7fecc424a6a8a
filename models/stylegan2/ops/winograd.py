"""3×3 convolutions by Winograd's minimal filtering on the CPU: the binding of csrc/winograd.cpp.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2016.
"""

from __future__ import annotations

import ctypes
import functools
import math
from enum import IntEnum

import torch
from torch import Tensor

from models.stylegan2.ops import compiled
from models.stylegan2.ops.bias_act import Curve
from models.stylegan2.ops.derived import derived, frozen

_LEAST_CHANNELS = 16  # fewer leave the vector registers half empty
_LEAST_PIXELS = 256  # fewer do not repay the reading of the larger weight
_IDENTITY = Curve(slope=1.0, gain=1.0, limit=math.inf)


class Convolution(IntEnum):
    """`Convolution` of csrc/arguments.h."""

    SAME = 0  # stride 1, padding 1
    UP = 1  # transposed with stride 2, then a FIR filter: twice the side
    DOWN = 2  # stride 2 without padding: the gradient of UP before its filter


class _Arguments(ctypes.Structure):
    """`Winograd` of csrc/arguments.h."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("x", "weight", "y", "modulation", "scale", "noise", "bias", "taps")),
        *((name, ctypes.c_void_p) for name in ("other", "sums")),
        *((name, ctypes.c_int64) for name in ("dtype", "kind", "batch", "height", "width", "inputs", "out_height")),
        *((name, ctypes.c_int64) for name in ("out_width", "outputs", "noise_per_sample", "threads")),
        *((name, ctypes.c_double) for name in ("slope", "gain", "limit")),
    ]


class _WeightArguments(ctypes.Structure):
    """`WinogradWeight` of csrc/arguments.h."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("weight", "packed")),
        *((name, ctypes.c_int64) for name in ("dtype", "kind", "outputs", "inputs", "threads", "adjoint")),
        ("scale", ctypes.c_double),
        ("size", ctypes.c_int64),
    ]


class _GradientArguments(ctypes.Structure):
    """`WinogradGradient` of csrc/arguments.h."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("grad", "y", "grad_x", "scale", "noise", "bias", "sums")),
        *((name, ctypes.c_int64) for name in ("dtype", "batch", "pixels", "channels", "noise_per_sample", "chunks")),
        ("threads", ctypes.c_int64),
        *((name, ctypes.c_double) for name in ("slope", "gain", "limit")),
    ]


def serves(
    x: Tensor, dtype: torch.dtype, weight: Tensor, blur: Tensor | None = None, form: compiled.Form | None = None
) -> bool:
    """Whether this form computes the convolution, in `dtype`, and faster than the plain one.

    Args:
        weight: (…, O, I, kh, kw).
        blur: filter of an enlarging convolution; None keeps the side.
        form: as in `styled_conv2d`.
    """
    return (
        frozen(weight)
        and _fits(x, weight, blur)
        and compiled.use_compiled(x, form)
        and packed_size(dtype, Convolution.SAME if blur is None else Convolution.UP, *weight.shape[-4:-2]) > 0
    )


def _fits(x: Tensor, weight: Tensor, blur: Tensor | None) -> bool:
    outputs, inputs, *kernel = weight.shape[-4:]
    large = min(inputs, outputs) >= _LEAST_CHANNELS and x.shape[2] * x.shape[3] >= _LEAST_PIXELS
    return large and x.device.type == "cpu" and kernel == [3, 3] and (blur is None or _separable(blur))


def _separable(blur: Tensor) -> bool:
    return blur.shape == (4, 4) and torch.allclose(torch.outer(_taps(blur), _taps(blur)), blur.float())


def _taps(blur: Tensor) -> Tensor:
    """What a separable filter does along an axis."""
    return blur.float().sum(dim=0) / blur.float().sum().sqrt()


def convolve(
    kind: Convolution,
    x: Tensor,
    packed: Tensor,
    outputs: int,
    modulation: Tensor | None = None,
    scale: Tensor | None = None,
    noise: Tensor | None = None,
    bias: Tensor | None = None,
    blur: Tensor | None = None,
    curve: Curve = _IDENTITY,
    other: Tensor | None = None,
    sums: Tensor | None = None,
) -> Tensor:
    """curve(scale · (weight ∗ (modulation · x)) + noise + bias), channels last: one run of the kernel.

    Args:
        x: (B, I, H, W).
        packed: `packed_weight` for this kind.
        outputs: O.
        modulation, scale: (B, I), (B, O).
        noise: (B or 1, 1, H', W').
        bias: (O,).
        blur: filter (4, 4) of UP.
        other, sums: `sums` (B, O), float32, receives Σ convolution · other over the pixels; not for UP.
    """
    x, other = _channels_last(x), None if other is None else _channels_last(other)
    batch, inputs, height, width = x.shape
    out_height, out_width = {
        Convolution.SAME: (height, width),
        Convolution.UP: (2 * height, 2 * width),
        Convolution.DOWN: ((height - 1) // 2, (width - 1) // 2),
    }[kind]
    y = torch.empty((batch, outputs, out_height, out_width), dtype=x.dtype, memory_format=torch.channels_last)
    taps = None if blur is None else _taps(blur).flip(0)
    sources = [compiled.operand(source, x) for source in (modulation, scale, noise, bias, taps)]
    arguments = _Arguments(
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
        out_height=out_height,
        out_width=out_width,
        outputs=outputs,
        noise_per_sample=noise is not None and noise.shape[0] > 1,
        threads=torch.get_num_threads(),
        slope=curve.slope,
        gain=curve.gain,
        limit=curve.limit,
    )
    compiled.run("winograd", x, arguments)
    return y


def curve_backward(
    grad: Tensor, y: Tensor, scale: Tensor, noise: Tensor | None, bias: Tensor | None, curve: Curve
) -> tuple[Tensor, Tensor]:
    """Gradient of the convolution's output, and that of the scale (B, O) times the scale.

    Args:
        grad: gradient of y.
        y: what `convolve` gave with this scale, noise, bias and curve.
    """
    grad = _channels_last(grad)
    batch, channels, height, width = y.shape
    # a fixed number of partial sums, so that the result is the same for any number of threads
    chunks = max(1, channels * height * width // 2**16)
    sums = y.new_zeros((batch, chunks, channels), dtype=torch.float32)
    result = torch.empty_like(y)
    sources = [compiled.operand(source, y) for source in (scale, noise, bias)]
    arguments = _GradientArguments(
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
        slope=curve.slope,
        gain=curve.gain,
        limit=curve.limit,
    )
    compiled.run("winograd_gradient", y, arguments)
    return result, sums.sum(dim=1)


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def packed_weight(
    weight: Tensor, scale: float, dtype: torch.dtype, kind: Convolution, adjoint: bool = False
) -> Tensor:
    """scale · weight (…, O, I, 3, 3), transformed as the kernel takes it; `adjoint` for the gradient of its input."""

    def pack(weight: Tensor) -> Tensor:
        outputs, inputs = weight.shape[-4:-2]
        if adjoint:
            outputs, inputs = inputs, outputs
        packed = torch.empty(packed_size(dtype, kind, outputs, inputs), dtype=dtype)
        source = weight.float().contiguous()
        arguments = _WeightArguments(
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
def packed_size(dtype: torch.dtype, kind: Convolution, outputs: int, inputs: int) -> int:
    """Numbers in a packed weight; 0 where this processor has no kernel for the dtype."""
    probe = torch.empty(0, dtype=dtype)
    arguments = _WeightArguments(dtype=compiled.dtype_code(probe), kind=kind, outputs=outputs, inputs=inputs)
    compiled.run("winograd_pack", probe, arguments)
    return int(arguments.size)
