"""Layers of StyleGAN2, named as in the public PyTorch checkpoints.

Three rules keep a layer down to its convolution and few passes over the pixels: modulation scales the activations and
demodulates the outputs, so one weight serves the whole batch; what follows a convolution is one operation, which may
be fused with it (`ops.styled_conv2d`); elsewhere the gain √2 of an activation goes into the weights and biases before
it (a leaky ReLU is positively homogeneous).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.stylegan2.ops import conv2d, conv2d_enlarged, derived, mix_channels, setup_filter, styled_conv2d, upfirdn2d

SLOPE = 0.2  # of every leaky ReLU
GAIN = math.sqrt(2)  # after every leaky ReLU: keeps the variance
EPSILON = 1e-8  # of pixel norm, demodulation and minibatch deviation
FIR_TAPS = (1.0, 3.0, 3.0, 1.0)


class PixelNorm(nn.Module):
    """Scale each vector of (…, D) to unit mean square."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + EPSILON)


class EqualLinear(nn.Module):
    """Linear layer with equalised learning rate (Karras et al., "Progressive Growing of GANs", 2018).

    Args:
        lr_multiplier: of weight and bias; the stored weight is 1 / lr_multiplier times larger.
        bias_init: the bias begins at this value.
        activate: leaky ReLU and gain √2 after it.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        lr_multiplier: float = 1.0,
        bias_init: float = 0.0,
        activate: bool = False,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((out_features,), float(bias_init)))
        self.activate = activate
        gain = GAIN if activate else 1.0
        self.weight_scale = gain * lr_multiplier / math.sqrt(in_features)
        self.bias_scale = gain * lr_multiplier

    def forward(self, x: Tensor) -> Tensor:
        bias = self.bias if self.bias_scale == 1 else self.bias * self.bias_scale
        x = F.linear(x, self.weight * self.weight_scale, bias)
        return F.leaky_relu_(x, SLOPE) if self.activate else x


class EqualConv2d(nn.Module):
    """Convolution weight with equalised learning rate, no bias of its own."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, padding: int = 0
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.scale = 1 / math.sqrt(in_channels * kernel_size**2)
        self.stride = stride
        self.padding = padding

    def forward(self, x: Tensor, bias: Tensor | None = None, gain: float = 1.0) -> Tensor:
        """gain · (weight ∗ x) + bias."""
        return conv2d(x, self.weight * (self.scale * gain), bias, stride=self.stride, padding=self.padding)


class Bias(nn.Module):
    """A bias vector, under the key of the public files; the layer before adds it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))


class Fir(nn.Module):
    """Fixed FIR kernel; its gain `up`² compensates for inserted zeros."""

    kernel: Tensor

    def __init__(self, up: int = 1, taps: Sequence[float] = FIR_TAPS) -> None:
        super().__init__()
        self.register_buffer("kernel", setup_filter(taps, gain=up**2))

    @property
    def taps(self) -> int:
        """Length of the filter along an axis."""
        return self.kernel.shape[-1]

    def forward(self, x: Tensor, padding: tuple[int, int], up: int = 1, down: int = 1) -> Tensor:
        before, after = padding
        return upfirdn2d(x, self.kernel, up=up, down=down, padding=(before, after, before, after))


class ModulatedConv2d(nn.Module):
    """Convolution whose input channels are scaled by a style and whose outputs are normalised by their expected size
    ("Analyzing and Improving the Image Quality of StyleGAN", 2020, equations 1 and 3).

    weight'_{oi} = s_i weight_{oi}; demodulated by 1 / sqrt(Σ_{i,k} weight'_{oik}² + ε). Both factors belong to a
    channel of a sample, so they are applied to the activations and the weight stays shared.

    Args:
        resample: "up" doubles, "down" halves the side; "" keeps it.
        taps: of the FIR filter that resamples.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        style_dim: int,
        demodulate: bool = True,
        resample: str = "",
        taps: Sequence[float] = FIR_TAPS,
    ) -> None:
        super().__init__()
        if resample not in ("", "up", "down"):
            raise ValueError(f"resample is {resample!r}, expected '', 'up' or 'down'")
        self.weight = nn.Parameter(torch.randn(1, out_channels, in_channels, kernel_size, kernel_size))
        if resample:
            self.blur = Fir(2 if resample == "up" else 1, taps)
        self.modulation = EqualLinear(style_dim, in_channels, bias_init=1.0)
        self.scale = 1 / math.sqrt(in_channels * kernel_size**2)
        self.demodulate = demodulate
        self.resample = resample
        self.kernel_size = kernel_size

    def forward(self, x: Tensor, style: Tensor, gain: float = 1.0) -> Tensor:
        """x (B, I, H, W), style (B, D) -> (B, O, H', W'), times `gain`."""
        scales = self.modulation(style)
        weight = self.weight[0] * self.scale
        demodulation = self.demodulation(scales) * gain if self.demodulate else None
        x = x * scales.to(x.dtype)[:, :, None, None]
        x = self.convolve(x, weight if self.demodulate or gain == 1 else weight * gain)
        return x if demodulation is None else x * demodulation.to(x.dtype)[:, :, None, None]

    def demodulation(self, scales: Tensor) -> Tensor:
        """scales (B, I) -> (B, O): 1 / norm of each output's modulated weight."""
        with torch.autocast(scales.device.type, enabled=False):  # squares and their sums need the range of float32
            energy = derived(self.weight, "energy", lambda weight: weight[0].square().sum(dim=(2, 3)).t())
            energy = energy * self.scale**2
            return torch.rsqrt(scales.to(energy.dtype).square() @ energy + EPSILON)

    def convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        """The shared-weight convolution with its resampling."""
        if self.resample == "up":
            return conv2d_enlarged(x, weight, self.blur.kernel)
        if self.resample == "down":
            width = self.blur.taps + self.kernel_size
            x = self.blur(x, ((width - 2) // 2, (width - 3) // 2))
            return conv2d(x, weight, stride=2)
        return conv2d(x, weight, padding=self.kernel_size // 2)


class NoiseStrength(nn.Module):
    """A layer's noise strength, under the key of the public files."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))


def clamped(x: Tensor, limit: float | None) -> Tensor:
    """x clamped to ± limit (None: unchanged); NVlabs trains with it to prevent overflow in half precision."""
    return x if limit is None else x.clamp(-limit, limit)


class StyledConv(nn.Module):
    """Modulated convolution, noise, bias, leaky ReLU, √2, clamp.

    Args:
        resample: "up" doubles the side, "" keeps it.
        taps: as in `ModulatedConv2d`.
        clamp: bound of the result's absolute values.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        style_dim: int,
        resample: str = "",
        taps: Sequence[float] = FIR_TAPS,
        clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.conv = ModulatedConv2d(in_channels, out_channels, kernel_size, style_dim, resample=resample, taps=taps)
        self.noise = NoiseStrength()
        self.activate = Bias(out_channels)
        self.clamp = clamp

    def forward(self, x: Tensor, style: Tensor, noise: Tensor | None) -> Tensor:
        """noise: (B or 1, 1, H', W'), or None to add nothing."""
        scales = self.conv.modulation(style)
        return styled_conv2d(
            x,
            self.conv.weight,
            scales,
            self.conv.demodulation(scales),
            noise=None if noise is None else noise * self.noise.weight,
            bias=self.activate.bias,
            weight_scale=self.conv.scale,
            blur=self.conv.blur.kernel if self.conv.resample == "up" else None,
            alpha=SLOPE,
            gain=GAIN,
            clamp=self.clamp,
        )


class ToRGB(nn.Module):
    """1x1 modulated convolution to RGB, without demodulation, added to the enlarged picture of the level below.

    With three outputs it is cheapest to modulate the weight: three vectors a sample, no pass over the pixels.

    Args:
        upsample: there is a level below.
        taps: of the FIR filter that enlarges it.
        clamp: bound of this level's own absolute values, before the sum.
    """

    def __init__(
        self,
        in_channels: int,
        style_dim: int,
        upsample: bool = True,
        taps: Sequence[float] = FIR_TAPS,
        clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))
        if upsample:
            self.upsample = Fir(2, taps)
        self.clamp = clamp
        self.conv = ModulatedConv2d(in_channels, 3, 1, style_dim, demodulate=False)

    def forward(self, x: Tensor, style: Tensor, skip: Tensor | None = None) -> Tensor:
        weight = self.conv.weight[0, :, :, 0, 0] * self.conv.scale
        vectors = self.conv.modulation(style)[:, None, :] * weight
        image = clamped(mix_channels(x, vectors.to(x.dtype)) + self.bias.to(x.dtype), self.clamp)
        if skip is None:
            return image
        taps = self.upsample.taps
        enlarged: Tensor = self.upsample(skip, ((taps + 1) // 2, (taps - 2) // 2), up=2)
        return image + enlarged
