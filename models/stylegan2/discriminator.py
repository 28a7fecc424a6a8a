"""The discriminator of StyleGAN2 (Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", 2020)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.stylegan2.generator import PictureSide, checked_channels
from models.stylegan2.layers import EPSILON, GAIN, SLOPE, Bias, EqualConv2d, EqualLinear, Fir
from utils.ranges import Size


class ConvLayer(nn.Sequential):
    """Optional blur and stride 2, convolution, optional bias and leaky ReLU.

    Args:
        gain: factor of the result (√2 after an activation).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        downsample: bool = False,
        activate: bool = True,
        gain: float = GAIN,
    ) -> None:
        # a 1x1 convolution reads every other pixel: the blur then computes only those
        self_strided = downsample and kernel_size > 1
        stride, padding = 2 if self_strided else 1, 0 if downsample else kernel_size // 2
        parts: list[nn.Module] = [Fir()] if downsample else []
        parts.append(EqualConv2d(in_channels, out_channels, kernel_size, stride, padding))
        if activate:
            parts.append(Bias(out_channels))
        super().__init__(*parts)
        self.kernel_size = kernel_size
        self.downsample = downsample
        self.blur_stride = 2 if downsample and not self_strided else 1
        self.activate = activate
        self.gain = gain

    def forward(self, x: Tensor) -> Tensor:
        conv = self[1] if self.downsample else self[0]
        if self.downsample:
            padding = (self.kernel_size + 2) // 2, (self.kernel_size + 1) // 2
            x = self[0](x, padding, down=self.blur_stride)
        if not self.activate:
            y: Tensor = conv(x, gain=self.gain)
            return y
        bias = cast(Bias, self[-1]).bias
        return F.leaky_relu_(conv(x, bias * self.gain, self.gain), SLOPE)


class ResidualBlock(nn.Module):
    """Two convolutions, the second halving the side, and a strided 1x1 shortcut; the sum is divided by √2."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = ConvLayer(in_channels, in_channels, 3)
        # the division by √2 is part of both gains
        self.conv2 = ConvLayer(in_channels, out_channels, 3, downsample=True, gain=1.0)
        self.skip = ConvLayer(in_channels, out_channels, 1, downsample=True, activate=False, gain=1 / math.sqrt(2))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv2(self.conv1(x)) + self.skip(x)
        return y


class Discriminator(nn.Module):
    """Images (B, 3, size, size) -> scores (B, 1), large for real ones; differentiable twice.

    Args:
        size: side of the images, a power of two.
        channels: resolution -> channels; None takes the published ones.
        channel_multiplier: of the published channels; 2 is config-f.
        minibatch_stddev_group: images that share one deviation value (at most the batch).

    `derivable` lists regexes of keys that a weight file may omit: fixed FIR kernels.
    """

    derivable = (r"\.kernel$",)

    def __init__(
        self,
        size: PictureSide,
        channels: dict[int, Size] | None = None,
        channel_multiplier: Size = 2,
        minibatch_stddev_group: Size = 4,
    ) -> None:
        super().__init__()
        widths = checked_channels(size, channels, channel_multiplier)
        self.size = size
        self.minibatch_stddev_group = minibatch_stddev_group
        sides = sorted(widths, reverse=True)
        blocks = [ResidualBlock(widths[side], widths[below]) for side, below in pairwise(sides)]
        self.convs = nn.Sequential(ConvLayer(3, widths[size], 1), *blocks)
        self.final_conv = ConvLayer(widths[4] + 1, widths[4], 3)
        self.final_linear = nn.Sequential(
            EqualLinear(widths[4] * 16, widths[4], activate=True), EqualLinear(widths[4], 1)
        )

    @classmethod
    def sizes_from_shapes(cls, shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
        """Constructor arguments of the network with these keys and shapes."""
        levels = sum(1 for key in shapes if key.startswith("convs.") and key.endswith(".conv1.0.weight"))
        size = 4 * 2**levels
        channels = {size: int(shapes["convs.0.0.weight"][0])}
        for level in range(1, levels + 1):
            channels[size >> level] = int(shapes[f"convs.{level}.conv2.1.weight"][0])
        return {"size": size, "channels": channels}

    def features(self, images: Tensor) -> Tensor:
        """Output (B, C, 4, 4) of the convolutional trunk."""
        features: Tensor = self.convs(images.contiguous(memory_format=torch.channels_last))
        return features

    def forward(self, images: Tensor) -> Tensor:
        x = self.final_conv(self.append_deviation(self.features(images)))
        scores: Tensor = self.final_linear(x.flatten(1))
        return scores

    def append_deviation(self, x: Tensor) -> Tensor:
        """Append one channel: the mean standard deviation over each group of the batch.

        Sample n is in group n mod (B / group size), so a group is spread over the batch.
        """
        batch, channels, height, width = x.shape
        group = min(batch, self.minibatch_stddev_group)
        if batch % group:
            raise ValueError(f"a batch of {batch} cannot be divided into groups of {group}")
        grouped = x.reshape(group, batch // group, channels, height, width)
        deviation = torch.sqrt(grouped.var(dim=0, unbiased=False) + EPSILON).mean(dim=(1, 2, 3))
        column = deviation.repeat(group).to(x.dtype)[:, None, None, None].expand(-1, 1, height, width)
        return torch.cat([x, column], dim=1)
