"""Upsample, filter and downsample images by FIR filters."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

from models.stylegan2.ops import compiled
from models.stylegan2.ops.bias_act import bias_act, check, forward_arguments, straight
from models.stylegan2.ops.conv2d import conv2d

Pair = int | tuple[int, int]
Padding = int | tuple[int, int] | tuple[int, int, int, int]


def setup_filter(
    taps: Sequence[float] | Sequence[Sequence[float]] | Tensor,
    normalise: bool = True,
    flip: bool = False,
    gain: float = 1.0,
    separable: bool | None = None,
) -> Tensor:
    """Float32 filter for `upfirdn2d`: a matrix, or a vector that is applied along both axes.

    Args:
        taps: vector or matrix of taps.
        normalise: divide by their sum.
        flip: reverse the taps.
        gain: factor of the whole filter; a vector is scaled by its root, since it is applied twice.
        separable: keep a vector (default: where it has 8 or more taps, which is then the cheaper form).
    """
    taps = torch.as_tensor(taps, dtype=torch.float32)
    if taps.ndim not in (1, 2) or taps.numel() == 0:
        raise ValueError(f"taps of shape {tuple(taps.shape)} are no vector or matrix")
    if separable is None:
        separable = taps.ndim == 1 and taps.numel() >= 8
    if taps.ndim == 1 and not separable:
        taps = torch.outer(taps, taps)
    if taps.ndim != (1 if separable else 2):
        raise ValueError("a matrix of taps cannot be kept separable")
    if normalise:
        taps = taps / taps.sum()
    if flip:
        taps = taps.flip(tuple(range(taps.ndim)))
    factor: float = gain ** (taps.ndim / 2)
    return taps * factor


def _pair(value: Pair) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


def _padding(value: Padding) -> tuple[int, int, int, int]:
    if isinstance(value, int):
        return value, value, value, value
    return value if len(value) == 4 else (value[0], value[0], value[1], value[1])


def upfirdn2d(
    x: Tensor,
    kernel: Tensor,
    up: Pair = 1,
    down: Pair = 1,
    padding: Padding = 0,
    flip_filter: bool = False,
    gain: float = 1.0,
    form: compiled.Form | None = None,
) -> Tensor:
    """Insert up − 1 zeros after each pixel, pad or crop, convolve, keep every down-th pixel from the first.

    The operation of Karras et al. ("Analyzing and Improving the Image Quality of StyleGAN", 2020) behind every blur,
    upsampling and downsampling.

    Args:
        x: (B, C, H, W); its memory format is kept.
        kernel: filter matrix (kh, kw), or a vector that is applied along both axes.
        up, down: factors, or (x, y).
        padding: of the zero-inserted image; a number, (x, y) or (x0, x1, y0, y1); negative values crop.
        flip_filter: False convolves (the kernel is mirrored), True correlates.
        gain: factor of the result.
        form: "reference" for plain PyTorch, "compiled" for the compiled kernels; None as the environment variable
            SDFLOW_OPS says, by default compiled where they can be built.
    Returns:
        (B, C, (H·up_y + y0 + y1 − kh) // down_y + 1, (W·up_x + x0 + x1 − kw) // down_x + 1), differentiable twice.
    """
    up_x, up_y = _pair(up)
    down_x, down_y = _pair(down)
    x0, x1, y0, y1 = _padding(padding)
    gain = gain ** (kernel.ndim / 2)  # a vector is applied twice
    if kernel.ndim == 1:
        first = _Settings((1, up_y), (1, down_y), (0, 0, y0, y1), flip_filter, gain)
        second = _Settings((up_x, 1), (down_x, 1), (x0, x1, 0, 0), flip_filter, gain)
        return _apply(_apply(x, kernel[:, None], first, form), kernel[None, :], second, form)
    return _apply(x, kernel, _Settings((up_x, up_y), (down_x, down_y), (x0, x1, y0, y1), flip_filter, gain), form)


def upfirdn2d_bias_act(
    x: Tensor,
    kernel: Tensor,
    padding: Padding = 0,
    bias: Tensor | None = None,
    activation: str = "linear",
    alpha: float | None = None,
    gain: float | None = None,
    clamp: float | None = None,
    noise: Tensor | None = None,
    scale: Tensor | None = None,
    form: compiled.Form | None = None,
) -> Tensor:
    """bias_act(upfirdn2d(x, kernel, padding), …), in one pass over memory where no gradient is wanted.

    Arguments, result and errors are those of the two functions; bias, noise and scale fit the filtered images.
    """
    settings = _Settings((1, 1), (1, 1), _padding(padding), flip_filter=False, gain=1.0)
    check(activation, settings.out_shape(x.shape, kernel), bias, 1, noise, scale)
    sources = [source for source in (x, kernel, bias, noise, scale) if source is not None]
    differentiable = torch.is_grad_enabled() and any(source.requires_grad for source in sources)
    curve = straight(activation, alpha, gain, clamp)
    if differentiable or curve is None or kernel.ndim == 1 or not _takes(x, kernel, settings, form):
        y = upfirdn2d(x, kernel, padding=padding, form=form)
        return bias_act(y, bias, 1, activation, alpha, gain, clamp, noise, scale, inplace=True, form=form)
    return _run(x, kernel, settings, partial(forward_arguments, bias=bias, noise=noise, scale=scale, curve=curve))


class _Settings(NamedTuple):
    """Pairs are (x, y), padding is (x0, x1, y0, y1)."""

    up: tuple[int, int]
    down: tuple[int, int]
    padding: tuple[int, int, int, int]
    flip_filter: bool
    gain: float

    def out_shape(self, x: torch.Size, kernel: Tensor) -> torch.Size:
        """Shape of the result."""
        x0, x1, y0, y1 = self.padding
        height = (x[2] * self.up[1] + y0 + y1 - kernel.shape[0]) // self.down[1] + 1
        width = (x[3] * self.up[0] + x0 + x1 - kernel.shape[-1]) // self.down[0] + 1  # a vector serves both axes
        return torch.Size((x[0], x[1], height, width))

    def adjoint(self, x: torch.Size, y: torch.Size, kernel: Tensor) -> _Settings:
        """Settings of the operation that takes the gradient of the output y to the gradient of the input x."""
        x0, _, y0, _ = self.padding
        height, width = kernel.shape
        padding = (
            width - 1 - x0,
            x[3] * self.up[0] - y[3] * self.down[0] + x0 - self.up[0] + 1,
            height - 1 - y0,
            x[2] * self.up[1] - y[2] * self.down[1] + y0 - self.up[1] + 1,
        )
        return _Settings(self.down, self.up, padding, not self.flip_filter, self.gain)


def _takes(x: Tensor, kernel: Tensor, settings: _Settings, form: compiled.Form | None) -> bool:
    """Whether the compiled form takes this; it regards the filter as fixed."""
    fits = not kernel.requires_grad and min(settings.out_shape(x.shape, kernel)[2:]) > 0
    return fits and compiled.use_compiled(x, form)


def _apply(x: Tensor, kernel: Tensor, settings: _Settings, form: compiled.Form | None) -> Tensor:
    if _takes(x, kernel, settings, form):
        y: Tensor = _Upfirdn2d.apply(x, kernel, settings)
        return y
    kernel = kernel.to(device=x.device, dtype=x.dtype) * settings.gain
    if settings.flip_filter:
        kernel = kernel.flip((0, 1))
    x0, x1, y0, y1 = settings.padding
    return _resample(x, kernel, settings.up[::-1], settings.down[::-1], (y0, y1, x0, x1))


class _Upfirdn2d(Function):
    """The compiled form; its gradient is another resampling."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, settings: _Settings) -> Tensor:
        ctx.save_for_backward(kernel)
        ctx.settings = settings
        ctx.shape = x.shape
        return _run(x, kernel, settings)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (kernel,) = ctx.saved_tensors
        return _Upfirdn2d.apply(grad, kernel, ctx.settings.adjoint(ctx.shape, grad.shape, kernel)), None, None


def _run(
    x: Tensor, kernel: Tensor, settings: _Settings, then: Callable[[Tensor, bool], compiled.BiasAct] | None = None
) -> Tensor:
    """Call the kernel; `then` makes the arguments of what follows in the same pass."""
    image, channels_last = compiled.dense(x)
    batch, channels, height, width = x.shape
    y = torch.empty(
        settings.out_shape(x.shape, kernel),
        dtype=x.dtype,
        device=x.device,
        memory_format=torch.channels_last if channels_last else torch.contiguous_format,
    )
    kernel = kernel.to(x.device, compiled.compute_dtype(x)).contiguous()
    arguments = compiled.Upfirdn2d(
        x=image.data_ptr(),
        y=y.data_ptr(),
        kernel=kernel.data_ptr(),
        dtype=compiled.dtype_code(x),
        planes=batch if channels_last else batch * channels,
        depth=channels if channels_last else 1,
        height=height,
        width=width,
        out_height=y.shape[2],
        out_width=y.shape[3],
        kernel_height=kernel.shape[0],
        kernel_width=kernel.shape[1],
        up_x=settings.up[0],
        up_y=settings.up[1],
        down_x=settings.down[0],
        down_y=settings.down[1],
        before_x=settings.padding[0],
        before_y=settings.padding[2],
        mirrored=not settings.flip_filter,
        gain=settings.gain,
    )
    if then is not None:
        arguments.then = ctypes.pointer(then(y, channels_last))
    compiled.run("upfirdn2d", x, arguments)
    return y


def _resample(
    x: Tensor, kernel: Tensor, up: tuple[int, int], down: tuple[int, int], padding: tuple[int, int, int, int]
) -> Tensor:
    """True convolution with `kernel`; all pairs are (y, x)."""
    y0, y1, x0, x1 = padding
    if up == (1, 1):
        if y0 == y1 and x0 == x1 and y0 >= 0 and x0 >= 0:
            return _depthwise(x, kernel.flip((0, 1)), down, (y0, x0))
        return _depthwise(F.pad(x, (x0, x1, y0, y1)), kernel.flip((0, 1)), down)
    # A transposed convolution spreads the kernel over the zero-inserted image without making that image. Its result is
    # the full convolution, which begins `kernel size − 1` pixels before that of the unpadded image, and lacks the
    # up − 1 zeros behind the last pixel.
    height, width = kernel.shape
    x = _depthwise(x, kernel, up, transposed=True)
    edges = (x0 - width + 1, x1 - width + up[1], y0 - height + 1, y1 - height + up[0])
    return F.pad(x, edges)[:, :, :: down[0], :: down[1]]


def _depthwise(
    x: Tensor,
    kernel: Tensor,
    stride: tuple[int, int],
    padding: tuple[int, int] = (0, 0),
    transposed: bool = False,
) -> Tensor:
    channels = x.shape[1]
    weight = kernel.expand(channels, 1, *kernel.shape).contiguous()
    return conv2d(x, weight, stride=stride, padding=padding, groups=channels, transposed=transposed)


def filter2d(x: Tensor, kernel: Tensor, padding: Pair = 0, flip_filter: bool = False, gain: float = 1.0) -> Tensor:
    """Filter images; with padding 0 the size stays."""
    height, width = _kernel_size(kernel)
    pad_x, pad_y = _pair(padding)
    edges = (pad_x + width // 2, pad_x + (width - 1) // 2, pad_y + height // 2, pad_y + (height - 1) // 2)
    return upfirdn2d(x, kernel, padding=edges, flip_filter=flip_filter, gain=gain)


def upsample2d(
    x: Tensor, kernel: Tensor, up: Pair = 2, padding: Pair = 0, flip_filter: bool = False, gain: float = 1.0
) -> Tensor:
    """Enlarge images by `up`; the gain makes up for the inserted zeros."""
    height, width = _kernel_size(kernel)
    (up_x, up_y), (pad_x, pad_y) = _pair(up), _pair(padding)
    edges = (
        pad_x + (width + up_x - 1) // 2,
        pad_x + (width - up_x) // 2,
        pad_y + (height + up_y - 1) // 2,
        pad_y + (height - up_y) // 2,
    )
    return upfirdn2d(x, kernel, up=up, padding=edges, flip_filter=flip_filter, gain=gain * up_x * up_y)


def downsample2d(
    x: Tensor, kernel: Tensor, down: Pair = 2, padding: Pair = 0, flip_filter: bool = False, gain: float = 1.0
) -> Tensor:
    """Shrink images by `down`."""
    height, width = _kernel_size(kernel)
    (down_x, down_y), (pad_x, pad_y) = _pair(down), _pair(padding)
    edges = (
        pad_x + (width - down_x + 1) // 2,
        pad_x + (width - down_x) // 2,
        pad_y + (height - down_y + 1) // 2,
        pad_y + (height - down_y) // 2,
    )
    return upfirdn2d(x, kernel, down=down, padding=edges, flip_filter=flip_filter, gain=gain)


def _kernel_size(kernel: Tensor) -> tuple[int, int]:
    return kernel.shape[0], kernel.shape[-1]
