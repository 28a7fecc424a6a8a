"""StyleGAN2's generator as published: one convolution weight a sample, everything behind it one by one.

Kept on purpose: weights are modulated and demodulated for each sample and applied by a grouped convolution; a blur of
its own follows each upsampling convolution; noise, bias, activation and gain are a pass over the pixels each; weights
ask for gradients although nothing learns them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.stylegan2.generator import Generator as OwnGenerator

_EPSILON, _SLOPE, _TAPS = 1e-8, 0.2, (1.0, 3.0, 3.0, 1.0)


def _resample(x: Tensor, kernel: Tensor, up: int, padding: tuple[int, int]) -> Tensor:
    """Zeros between the pixels, padding on both axes, a convolution of every channel on its own."""
    batch, channels, height, width = x.shape
    spread = F.pad(x.view(batch, channels, height, 1, width, 1), (0, up - 1, 0, 0, 0, up - 1))
    padded = F.pad(spread.view(batch * channels, 1, height * up, width * up), (*padding, *padding))
    x = F.conv2d(padded, kernel.flip(0, 1)[None, None])
    return x.view(batch, channels, *x.shape[2:])


class _Resample(nn.Module):
    kernel: Tensor

    def __init__(self, up: int, padding: tuple[int, int]) -> None:
        super().__init__()
        taps = torch.tensor(_TAPS)
        self.register_buffer("kernel", torch.outer(taps, taps) / taps.sum() ** 2 * 4)
        self.up, self.padding = up, padding

    def forward(self, x: Tensor) -> Tensor:
        return _resample(x, self.kernel, self.up, self.padding)


class _PixelNorm(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(torch.mean(x**2, dim=1, keepdim=True) + _EPSILON)


class _EqualLinear(nn.Module):
    def __init__(self, inputs: int, outputs: int, lr_multiplier: float = 1.0, activate: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.bias = nn.Parameter(torch.empty(outputs))
        self.scale, self.lr_multiplier, self.activate = lr_multiplier / math.sqrt(inputs), lr_multiplier, activate

    def forward(self, x: Tensor) -> Tensor:
        if not self.activate:
            return F.linear(x, self.weight * self.scale, self.bias * self.lr_multiplier)
        x = F.linear(x, self.weight * self.scale)
        return F.leaky_relu(x + self.bias * self.lr_multiplier, _SLOPE) * math.sqrt(2)


class _ModulatedConv(nn.Module):
    def __init__(
        self, inputs: int, outputs: int, kernel_size: int, style_dim: int, demodulate: bool = True, up: bool = False
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(1, outputs, inputs, kernel_size, kernel_size))
        self.modulation = _EqualLinear(style_dim, inputs)
        self.scale = 1 / math.sqrt(inputs * kernel_size**2)
        self.kernel_size, self.demodulate, self.up = kernel_size, demodulate, up
        if up:
            self.blur = _Resample(1, (1, 1))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        _, outputs, _, size, _ = self.weight.shape
        weight = self.scale * self.weight * self.modulation(style).view(batch, 1, channels, 1, 1)
        if self.demodulate:
            norm = torch.rsqrt(weight.pow(2).sum([2, 3, 4]) + _EPSILON)
            weight = weight * norm.view(batch, outputs, 1, 1, 1)
        x = x.reshape(1, batch * channels, height, width)
        if self.up:
            weight = weight.transpose(1, 2).reshape(batch * channels, outputs, size, size)
            x = F.conv_transpose2d(x, weight, stride=2, groups=batch)
        else:
            weight = weight.view(batch * outputs, channels, size, size)
            x = F.conv2d(x, weight, padding=size // 2, groups=batch)
        x = x.view(batch, outputs, *x.shape[2:])
        return self.blur(x) if self.up else x


class _Noise(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(1))

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        return x + self.weight * noise


class _BiasedActivation(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.empty(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x + self.bias.view(1, -1, 1, 1), _SLOPE) * math.sqrt(2)


class _StyledConv(nn.Module):
    def __init__(self, inputs: int, outputs: int, style_dim: int, up: bool = False) -> None:
        super().__init__()
        self.conv = _ModulatedConv(inputs, outputs, 3, style_dim, up=up)
        self.noise = _Noise()
        self.activate = _BiasedActivation(outputs)

    def forward(self, x: Tensor, style: Tensor, noise: Tensor) -> Tensor:
        return self.activate(self.noise(self.conv(x, style), noise))


class _ToRGB(nn.Module):
    def __init__(self, inputs: int, style_dim: int, upsample: bool = True) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.empty(1, 3, 1, 1))
        self.conv = _ModulatedConv(inputs, 3, 1, style_dim, demodulate=False)
        if upsample:
            self.upsample = _Resample(2, (2, 1))

    def forward(self, x: Tensor, style: Tensor, below: Tensor | None = None) -> Tensor:
        image = self.conv(x, style) + self.bias
        return image if below is None else image + self.upsample(below)


class _Constant(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.input = nn.Parameter(torch.empty(1, channels, 4, 4))


class _NoiseMaps(nn.Module):
    def __init__(self, sides: Sequence[int]) -> None:
        super().__init__()
        for index, side in enumerate(sides):
            self.register_buffer(f"noise_{index}", torch.empty(1, 1, side, side))


class Generator(nn.Module):
    """z (B, D) → w (B, D) → one w a layer (B, L, D) → image (B, 3, size, size); weights without values until loaded.

    Args:
        channels: resolution → channels, from 4 to `size`.
    """

    def __init__(self, size: int, style_dim: int, mapping_layers: int, channels: Mapping[int, int]) -> None:
        super().__init__()
        self.size, self.style_dim = size, style_dim
        layers = [_EqualLinear(style_dim, style_dim, 0.01, activate=True) for _ in range(mapping_layers)]
        self.style = nn.Sequential(_PixelNorm(), *layers)
        self.input = _Constant(channels[4])
        self.conv1 = _StyledConv(channels[4], channels[4], style_dim)
        self.to_rgb1 = _ToRGB(channels[4], style_dim, upsample=False)
        self.convs, self.to_rgbs = nn.ModuleList(), nn.ModuleList()
        sides = sorted(channels)
        for below, side in pairwise(sides):
            self.convs.append(_StyledConv(channels[below], channels[side], style_dim, up=True))
            self.convs.append(_StyledConv(channels[side], channels[side], style_dim))
            self.to_rgbs.append(_ToRGB(channels[side], style_dim))
        self.noises = _NoiseMaps([4, *(side for side in sides[1:] for _ in range(2))])

    @classmethod
    def with_weights(cls, state: Mapping[str, Tensor]) -> Generator:
        """The generator on these tensors, which are not copied."""
        sizes = OwnGenerator.sizes_from_shapes({key: tuple(value.shape) for key, value in state.items()})
        with torch.device("meta"):
            network = cls(sizes["size"], sizes["style_dim"], sizes["mapping_layers"], sizes["channels"])
        network.load_state_dict(state, assign=True)
        return network.eval().requires_grad_()

    @property
    def latent_count(self) -> int:
        """Number L of style vectors."""
        return len(self.convs) + 2

    def mapping(self, z: Tensor) -> Tensor:
        """z (B, D) → w (B, D)."""
        return self.style(z)

    def synthesis(self, latent: Tensor, noise: Sequence[Tensor] | None = None) -> Tensor:
        """Image of latents (B, L, D); the network's own noise maps where none are given."""
        maps = list(self.noises.buffers()) if noise is None else noise
        x = self.input.input.repeat(latent.shape[0], 1, 1, 1)
        x = self.conv1(x, latent[:, 0], maps[0])
        image = self.to_rgb1(x, latent[:, 1])
        for level, to_rgb in enumerate(self.to_rgbs):
            index = 2 * level + 1
            x = self.convs[index - 1](x, latent[:, index], maps[index])
            x = self.convs[index](x, latent[:, index + 1], maps[index + 1])
            image = to_rgb(x, latent[:, index + 2], image)
        return image
