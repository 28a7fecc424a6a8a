"""The generator of StyleGAN2 (Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", 2020)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from models.stylegan2.layers import FIR_TAPS, EqualLinear, PixelNorm, StyledConv, ToRGB
from models.stylegan2.transformer import AttentionBlock
from utils.ranges import Between, Depth, Long, Positive, PowerOfTwo, Size

Noise = str | Sequence[Tensor]
PictureSide = Annotated[int, Between(8, 8192), PowerOfTwo()]
NOISE_MODES = ("constant", "random", "none")


def published_channels(size: int, channel_multiplier: int = 2) -> dict[int, int]:
    """Resolution -> channels of the published configurations (config-f has multiplier 2)."""
    resolutions = [2**power for power in range(2, int(math.log2(size)) + 1)]
    return {side: min(512, 16384 * channel_multiplier // side) for side in resolutions}


def checked_channels(size: int, channels: Mapping[int, int] | None, channel_multiplier: int) -> dict[int, int]:
    """Channels of every resolution from 4 to `size`.

    Raises:
        ValueError: a resolution is missing.
    """
    if channels is None:
        return published_channels(size, channel_multiplier)
    wanted = [2**power for power in range(2, int(math.log2(size)) + 1)]
    missing = [side for side in wanted if side not in channels]
    if missing:
        raise ValueError(f"channels lack the resolutions {missing} of a network for {size} pixels")
    return {side: channels[side] for side in wanted}


class ConstantInput(nn.Module):
    """The learned constant 4x4 input of the synthesis network."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.input = nn.Parameter(torch.randn(1, channels, 4, 4))


class NoiseMaps(nn.Module):
    """The fixed noise of each layer, used by the mode "constant"."""

    def __init__(self, sides: Sequence[int]) -> None:
        super().__init__()
        for index, side in enumerate(sides):
            self.register_buffer(f"noise_{index}", torch.randn(1, 1, side, side))

    def maps(self) -> list[Tensor]:
        return list(self.buffers())


class Generator(nn.Module):
    """z (B, Z) -> w (B, D) -> one w a layer (B, L, D) -> image (B, 3, size, size) around [−1, 1].

    With a transformer as mapping network each layer has its own: z (B, L, Z) -> w++ (B, L, D).

    The five arguments from `z_dim` to `resample_filter` are those of NVlabs' networks (`models/stylegan2/nvlabs.py`);
    for other public networks leave them at their defaults.

    Args:
        size: side of the image, a power of two.
        style_dim: width D of w.
        mapping_layers: layers from z to w.
        channels: resolution -> channels; None takes the published ones.
        channel_multiplier: of the published channels; 2 is config-f.
        mapping_lr_multiplier: learning rate of the mapping relative to the rest; the stored weights are larger by
            its inverse.
        z_dim: width Z of z; None takes `style_dim`.
        label_dim: width of the labels that the mapping sees beside z; 0 for an unconditional network.
        stored_mean: the weights hold the mean of w (buffer `w_avg`), towards which `forward` truncates.
        conv_clamp: bound of the absolute values after each layer; None sets no bound.
        resample_filter: taps of the FIR filter that enlarges.
        mapping_network: `mlp`, or `transformer`, that of W++ (`models/stylegan2/transformer.py`).
        condition_dim: numbers that the synthesis network sees behind each style vector; the mapping knows nothing of
            them.

    `derivable` lists regexes of keys that a weight file may omit: fixed FIR kernels, noise maps and the names of the
    tokens, which public files of W++ have with an MLP, too.
    """

    derivable = (r"\.kernel$", r"^noises\.noise_\d+$", r"^token$")

    def __init__(
        self,
        size: PictureSide,
        style_dim: Size = 512,
        mapping_layers: Depth = 8,
        channels: dict[int, Size] | None = None,
        channel_multiplier: Size = 2,
        mapping_lr_multiplier: Positive = 0.01,
        z_dim: Size | None = None,
        label_dim: Annotated[int, Between(0, 65536)] = 0,
        stored_mean: bool = False,
        conv_clamp: Positive | None = None,
        resample_filter: Annotated[Sequence[float], Long(1, 64)] = FIR_TAPS,
        mapping_network: Literal["mlp", "transformer"] = "mlp",
        condition_dim: Annotated[int, Between(0, 65536)] = 0,
    ) -> None:
        super().__init__()
        widths = checked_channels(size, channels, channel_multiplier)
        sides = list(widths)
        self.size = size
        self.style_dim = style_dim
        self.z_dim = style_dim if z_dim is None else z_dim
        self.label_dim, self.condition_dim = label_dim, condition_dim
        self.token: Tensor | None
        self.w_avg: Tensor | None
        if mapping_network == "transformer":
            if label_dim or stored_mean:
                raise ValueError("a transformer as mapping network takes no labels and stores no mean")
            self.register_buffer("token", torch.eye(2 * len(sides)))
            layers: list[nn.Module] = [
                AttentionBlock(style_dim if index else self.z_dim + 2 * len(sides), style_dim, mapping_lr_multiplier)
                for index in range(mapping_layers)
            ]
        else:
            self.register_buffer("token", None)
            inputs = self.z_dim + (style_dim if label_dim else 0)
            layers = [
                EqualLinear(style_dim if index else inputs, style_dim, mapping_lr_multiplier, activate=True)
                for index in range(mapping_layers)
            ]
        self.style = nn.Sequential(PixelNorm(), *layers)
        self.embed = EqualLinear(label_dim, style_dim) if label_dim else None
        self.register_buffer("w_avg", torch.zeros(style_dim) if stored_mean else None)
        self.input = ConstantInput(widths[4])
        seen = style_dim + condition_dim
        self.conv1 = StyledConv(widths[4], widths[4], 3, seen, clamp=conv_clamp)
        self.to_rgb1 = ToRGB(widths[4], seen, upsample=False, clamp=conv_clamp)
        self.convs = nn.ModuleList()
        self.to_rgbs = nn.ModuleList()
        for below, side in pairwise(sides):
            self.convs.append(StyledConv(widths[below], widths[side], 3, seen, "up", resample_filter, clamp=conv_clamp))
            self.convs.append(StyledConv(widths[side], widths[side], 3, seen, clamp=conv_clamp))
            self.to_rgbs.append(ToRGB(widths[side], seen, taps=resample_filter, clamp=conv_clamp))
        self.noises = NoiseMaps([4] + [side for side in sides[1:] for _ in range(2)])

    @classmethod
    def sizes_from_shapes(cls, shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
        """Constructor arguments of the network with these keys and shapes."""
        levels = sum(1 for key in shapes if key.startswith("to_rgbs.") and key.count(".") == 2 and key.endswith("bias"))
        channels = {4: int(shapes["input.input"][1])}
        for level in range(levels):
            channels[8 * 2**level] = int(shapes[f"convs.{2 * level}.conv.weight"][1])
        seen = int(shapes["conv1.conv.modulation.weight"][1])
        label_dim = int(shapes["embed.weight"][1]) if "embed.weight" in shapes else 0
        transformer = "style.1.atten.q_transform.weight" in shapes
        first = shapes["style.1.atten.q_transform.weight" if transformer else "style.1.weight"]
        style_dim = int(shapes["style.1.atten.proj.weight"][0] if transformer else first[0])
        beside = 2 * levels + 2 if transformer else style_dim if label_dim else 0  # what the mapping sees beside z
        return {
            "size": 4 * 2**levels,
            "style_dim": style_dim,
            "mapping_layers": len({key.split(".")[1] for key in shapes if key.startswith("style.")}),
            "channels": channels,
            "z_dim": int(first[1]) - beside,
            "label_dim": label_dim,
            "stored_mean": "w_avg" in shapes,
            "mapping_network": "transformer" if transformer else "mlp",
            "condition_dim": seen - style_dim,
        }

    @property
    def latent_count(self) -> int:
        """Number L of style vectors."""
        return len(self.convs) + 2

    @property
    def z_shape(self) -> tuple[int, ...]:
        """Shape of the z of a picture: (Z,), or (L, Z) of a transformer as mapping network."""
        return (self.z_dim,) if self.token is None else (self.latent_count, self.z_dim)

    def tokens(self, z: Tensor) -> Tensor:
        """z (B, L, Z) with the name of its place behind each row: what the transformer is given, (B, L, Z + L)."""
        assert self.token is not None
        return torch.cat([z, self.token.expand(len(z), -1, -1)], dim=2)

    def mapping(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """z (B, Z), standard normal -> w (B, D); a transformer maps z (B, L, Z) to w++ (B, L, D).

        An MLP maps each row of z (B, L, Z) by itself.

        Args:
            labels: (B, label_dim), required by conditional networks, ignored by others.
        Raises:
            ValueError: a conditional network without labels, a transformer with z of another shape.
        """
        if self.token is not None:
            if z.shape[1:] != self.z_shape:
                raise ValueError(f"z has shape {tuple(z.shape)}, expected {(len(z), *self.z_shape)}")
            z = self.tokens(z)
        if self.embed is None:
            w: Tensor = self.style(z)
            return w
        if labels is None:
            raise ValueError(f"this generator is conditional: it needs labels of {self.label_dim} numbers beside z")
        norm, *layers = self.style
        x = torch.cat([norm(z), norm(self.embed(labels))], dim=1)
        for layer in layers:
            x = layer(x)
        return x

    @torch.no_grad()
    def attention_maps(self, z: Tensor) -> list[Tensor]:
        """How the transformer's tokens look at each other: for each block (B, heads, L of the query, L of the key).

        Raises:
            ValueError: the mapping network is no transformer.
        """
        if self.token is None:
            raise ValueError("only a transformer as mapping network has attention maps")
        x, maps = self.style[0](self.tokens(z)), []
        for block in list(self.style)[1:]:
            assert isinstance(block, AttentionBlock)
            maps.append(block.attention(x))
            x = block(x)
        return maps

    def broadcast(self, w: Tensor) -> Tensor:
        """w (B, D) -> (B, L, D), the same for every layer; (B, L, D) stays."""
        return w if w.ndim == 3 else w[:, None, :].expand(-1, self.latent_count, -1)

    @torch.no_grad()
    def mean_latent(self, count: int = 4096, generator: torch.Generator | None = None) -> Tensor:
        """Mean of w (D,), or of w++ (L, D), of `count` random z; `generator` fixes them (on the CPU)."""
        weight = self.conv1.conv.weight
        shape = (*self.z_shape[:-1], self.style_dim)
        total = torch.zeros(shape, dtype=weight.dtype, device=weight.device)
        for start in range(0, count, 4096):
            z = torch.randn(min(4096, count - start), *self.z_shape, generator=generator)
            total += self.mapping(z.to(total)).sum(dim=0)
        return total / count

    def truncation_centre(self) -> Tensor:
        """The stored mean of w (D,), or that of random z, (D,) or (L, D), where none is stored."""
        return self.mean_latent() if self.w_avg is None else self.w_avg

    @staticmethod
    def truncate(latent: Tensor, mean: Tensor, psi: float, cutoff: int | None = None) -> Tensor:
        """mean + psi · (latent − mean); `mean` is (D,), (1, D) or (L, D).

        Args:
            latent: (B, D), or (B, L, D), which a cutoff needs.
            cutoff: only rows 0 … cutoff − 1 are truncated; None truncates all.
        """
        truncated = mean + psi * (latent - mean)
        return truncated if cutoff is None else torch.cat([truncated[:, :cutoff], latent[:, cutoff:]], dim=1)

    def mix(self, first: Tensor, second: Tensor, inject_index: int, share: float = 1.0) -> Tensor:
        """Layers 0 … inject_index − 1 of the first latent, the others of the second: (B, L, D).

        Args:
            first, second: (B, D) or (B, L, D).
            inject_index: 0 … L.
            share: of the second latent in its layers; the rest is the first's.
        """
        first, second = self.broadcast(first), self.broadcast(second)
        if share != 1:
            second = first.lerp(second, share)
        return torch.cat([first[:, :inject_index], second[:, inject_index:]], dim=1)

    def noise_maps(self, batch: int, noise: Noise) -> Sequence[Tensor | None]:
        """One noise map a layer for a mode, or the given maps checked."""
        constant = self.noises.maps()
        if isinstance(noise, str):
            if noise not in NOISE_MODES:
                raise ValueError(f"noise is {noise!r}, expected one of {', '.join(NOISE_MODES)} or a list of maps")
            if noise == "none":
                return [None] * len(constant)
            if noise == "constant":
                return constant
            return [own.new_empty(batch, *own.shape[1:]).normal_() for own in constant]
        if len(noise) != len(constant):
            raise ValueError(f"{len(noise)} noise maps given, the network has {len(constant)} layers with noise")
        return noise

    def synthesis(
        self,
        latent: Tensor,
        noise: Noise = "constant",
        recompute_from: int | None = None,
        condition: Tensor | None = None,
    ) -> Tensor:
        """Image (B, 3, size, size) of latents (B, L, D), differentiable twice.

        Args:
            noise: "constant" (the network's own maps), "random" (drawn from torch's global random state), "none", or
                one map (B or 1, 1, H, W) a layer.
            recompute_from: levels of this side and above are recomputed in the backward pass instead of stored: less
                memory, more time, the same gradients.
            condition: (B, condition_dim), for networks that have one; it stands behind every row of the latents.
        Raises:
            ValueError: latents or condition of another shape, unknown mode, wrong number of maps.
        """
        if latent.ndim != 3 or latent.shape[1:] != (self.latent_count, self.style_dim):
            expected = (latent.shape[0], self.latent_count, self.style_dim)
            raise ValueError(f"latent has shape {tuple(latent.shape)}, expected {expected}")
        if self.condition_dim or condition is not None:
            if condition is None:
                condition = latent.new_empty(len(latent), 0)
            if condition.shape != (len(latent), self.condition_dim):
                wanted = (len(latent), self.condition_dim)
                raise ValueError(f"condition has shape {tuple(condition.shape)}, expected {wanted}")
            latent = torch.cat([latent, condition[:, None].expand(-1, self.latent_count, -1)], dim=2)
        maps = self.noise_maps(latent.shape[0], noise)
        styles = latent.unbind(dim=1)
        x = self.input.input.expand(latent.shape[0], -1, -1, -1).contiguous(memory_format=torch.channels_last)
        x = self.conv1(x, styles[0], maps[0])
        image: Tensor = self.to_rgb1(x, styles[1])
        for level in range(len(self.to_rgbs)):
            index = 2 * level + 1  # a level's ToRGB shares its style with the next level's first convolution
            inputs = (level, x, image, styles[index : index + 3], maps[index : index + 2])
            if recompute_from is not None and 8 * 2**level >= recompute_from and torch.is_grad_enabled():
                x, image = checkpoint(self._level, *inputs, use_reentrant=False)
            else:
                x, image = self._level(*inputs)
        return image

    def _level(
        self, level: int, x: Tensor, image: Tensor, styles: Sequence[Tensor], maps: Sequence[Tensor | None]
    ) -> tuple[Tensor, Tensor]:
        """Features and picture at twice the side."""
        x = self.convs[2 * level](x, styles[0], maps[0])
        x = self.convs[2 * level + 1](x, styles[1], maps[1])
        return x, self.to_rgbs[level](x, styles[2], image)

    def forward(
        self,
        z: Tensor,
        noise: Noise = "constant",
        truncation: float = 1.0,
        truncation_mean: Tensor | None = None,
        truncation_cutoff: int | None = None,
        labels: Tensor | None = None,
        condition: Tensor | None = None,
    ) -> Tensor:
        """Image of z (B, Z) or (B, L, Z): mapping, truncation, synthesis.

        Args:
            truncation_mean: None takes `truncation_centre()`.
            truncation_cutoff: as in `truncate`.
            labels: as in `mapping`.
            condition: as in `synthesis`.
        """
        latent = self.broadcast(self.mapping(z, labels))
        if truncation != 1:
            mean = self.truncation_centre() if truncation_mean is None else truncation_mean
            latent = self.truncate(latent, mean, truncation, truncation_cutoff)
        return self.synthesis(latent, noise, condition=condition)
