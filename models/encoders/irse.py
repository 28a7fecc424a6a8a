"""IR-SE trunk: improved residual units with squeeze-and-excitation, as in ArcFace's face recognition networks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import torch.nn.functional as F
from torch import Tensor, nn

from models.stylegan2.ops import conv3x3
from utils.ranges import Long, Size, Stages

Widths = Annotated[Sequence[Size], Long(5, 5)]  # stem and four stages
_REDUCTION = 16  # of squeeze-and-excitation, in all published networks


class SqueezeExcitation(nn.Module):
    """Scales channels by a gate computed from their means ("Squeeze-and-Excitation Networks", 2017)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(1, channels // _REDUCTION)
        self.fc1 = nn.Conv2d(channels, hidden, 1, bias=False)
        self.fc2 = nn.Conv2d(hidden, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        squeezed = x.mean(dim=(2, 3), keepdim=True)
        gate: Tensor = self.fc2(F.relu(self.fc1(squeezed))).sigmoid()
        return x * gate


class IRSEUnit(nn.Module):
    """Residual unit: norm, convolution, PReLU, strided convolution, norm, squeeze-and-excitation.

    The shortcut subsamples where the number of channels stays, otherwise it is a convolution with a norm. There is no
    activation after the sum.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.shortcut_layer: nn.Module
        if inputs == outputs:
            self.shortcut_layer = nn.MaxPool2d(1, stride)
        else:
            self.shortcut_layer = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False),
            nn.PReLU(outputs),
            nn.Conv2d(outputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            SqueezeExcitation(outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, ceil(H / stride), ceil(W / stride))."""
        parts: Any = self.res_layer
        norm, first, activation, second, last_norm, excitation = parts
        residual = activation(conv3x3(norm(x), first.weight))
        residual = conv3x3(residual, second.weight) if second.stride == (1, 1) else second(residual)
        y: Tensor = excitation(last_norm(residual)) + self.shortcut_layer(x)
        return y


class IRSETrunk(nn.Module):
    """Stem and four stages, each of which halves the resolution with its first unit.

    A base class: the published networks keep the keys `input_layer.*` and `body.*` beside those of their heads.

    Args:
        layers: units of the four stages ([3, 4, 14, 3] is IR-SE50).
        widths: channels of the stem and of the four stages.
    """

    def __init__(self, layers: Stages, widths: Widths) -> None:
        super().__init__()
        self.layers, self.widths = tuple(layers), tuple(widths)
        self.input_layer = nn.Sequential(
            nn.Conv2d(3, widths[0], 3, 1, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.PReLU(widths[0])
        )
        units: list[IRSEUnit] = []
        channels = widths[0]
        for depth, width in zip(layers, widths[1:], strict=True):
            for index in range(depth):
                units.append(IRSEUnit(channels, width, stride=2 if index == 0 else 1))
                channels = width
        self.body = nn.Sequential(*units)
        self._stage_ends = tuple(sum(layers[: stage + 1]) - 1 for stage in range(4))

    def stages(self, image: Tensor) -> list[Tensor]:
        """Outputs of the four stages of an image (B, 3, H, W): (B, widths[i + 1], H / 2^(i+1), W / 2^(i+1))."""
        x = self.input_layer(image)
        outputs = []
        for index, unit in enumerate(self.body):
            x = unit(x)
            if index in self._stage_ends:
                outputs.append(x)
        return outputs


def halved(side: int, times: int) -> int:
    """A side after `times` strided 3×3 convolutions with padding 1, which round up."""
    for _ in range(times):
        side = (side + 1) // 2
    return side


def irse_trunk_sizes(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """`layers` and `widths` of the trunk with these keys and shapes.

    A stage begins where a shortcut has weights, since there the number of channels changes; the first one begins with
    the first unit in any case.

    Raises:
        ValueError: the keys are not those of a trunk with four stages.
    """
    units = sorted({int(m[1]) for m in (re.match(r"body\.(\d+)\.res_layer\.1\.weight$", key) for key in shapes) if m})
    if "input_layer.0.weight" not in shapes or not units:
        raise ValueError("no IR-SE trunk here: keys 'input_layer.*' and 'body.*' are missing")
    starts = [unit for unit in units if unit == 0 or f"body.{unit}.shortcut_layer.0.weight" in shapes]
    if len(starts) != 4:
        raise ValueError(f"an IR-SE trunk has four stages, the channels of these keys change at units {starts}")
    layers = [end - start for start, end in zip(starts, [*starts[1:], len(units)], strict=True)]
    widths = [shapes["input_layer.0.weight"][0], *(shapes[f"body.{unit}.res_layer.1.weight"][0] for unit in starts)]
    return {"layers": layers, "widths": [int(width) for width in widths]}
