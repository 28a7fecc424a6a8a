"""MobileFaceNet, which finds the 68 landmarks of a face ("MobileFaceNets", 2018; public file
`mobilefacenet_model_best.pth.tar`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from torch import Tensor, nn

from models.encoders.irse import halved
from utils.ranges import Count, Long, Side, Size

Three = Long(3, 3)
Four = Long(4, 4)


class _ConvNorm(nn.Module):
    """Convolution without bias, and batch normalisation."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, padding: int = 0, groups: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H', W')."""
        result: Tensor = self.bn(self.conv(x))
        return result


class _ConvBlock(_ConvNorm):
    """The same and a PReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, padding: int = 0, groups: int = 1):
        super().__init__(inputs, outputs, kernel, stride, padding, groups)
        self.prelu = nn.PReLU(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H', W')."""
        result: Tensor = self.prelu(super().forward(x))
        return result


class _DepthWise(nn.Module):
    """Wider, filtered channel by channel, narrower; with a shortcut where it says so."""

    def __init__(self, inputs: int, outputs: int, inner: int, stride: int, residual: bool) -> None:
        super().__init__()
        self.conv = _ConvBlock(inputs, inner)
        self.conv_dw = _ConvBlock(inner, inner, 3, stride, 1, groups=inner)
        self.project = _ConvNorm(inner, outputs)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, ceil(H / stride), ceil(W / stride))."""
        result: Tensor = self.project(self.conv_dw(self.conv(x)))
        return x + result if self.residual else result


class _Residual(nn.Module):
    """Units of one width, each with a shortcut."""

    def __init__(self, width: int, inner: int, units: int) -> None:
        super().__init__()
        self.model = nn.Sequential(*(_DepthWise(width, width, inner, 1, residual=True) for _ in range(units)))

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same shape."""
        result: Tensor = self.model(x)
        return result


class _Head(nn.Module):
    """A filter as large as the map for each channel, then a linear layer with a norm."""

    def __init__(self, features: int, side: int, outputs: int) -> None:
        super().__init__()
        self.conv_6_dw = _ConvNorm(features, features, side, groups=features)
        self.linear = nn.Linear(features, outputs, bias=False)
        self.bn = nn.BatchNorm1d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(B, features, side, side) -> (B, outputs)."""
        result: Tensor = self.bn(self.linear(self.conv_6_dw(x).flatten(1)))
        return result


class MobileFaceNet(nn.Module):
    """MobileFaceNet with the head GDC.

    Args:
        points: landmarks.
        widths: channels of the first layers, of the third and fourth stage (one number), and of the map that the head
            takes.
        inner: channels within the units that halve the map, four of them.
        units: residual units after the second, third and fourth of these.
        residual: channels within those units, by stage.
        input_side: side of the pictures.
    """

    def __init__(
        self,
        points: Size = 68,
        widths: Annotated[Sequence[Size], Three] = (64, 128, 512),
        inner: Annotated[Sequence[Size], Three] = (128, 256, 512),
        units: Annotated[Sequence[Count], Three] = (4, 6, 2),
        residual: Annotated[Sequence[Size], Three] = (128, 256, 256),
        input_side: Side = 112,
    ) -> None:
        super().__init__()
        self.points, self.input_side = points, input_side
        first, middle, last = widths
        self.conv1 = _ConvBlock(3, first, 3, 2, 1)
        self.conv2_dw = _ConvBlock(first, first, 3, 1, 1, groups=first)
        self.conv_23 = _DepthWise(first, first, inner[0], 2, residual=False)
        self.conv_3 = _Residual(first, residual[0], units[0])
        self.conv_34 = _DepthWise(first, middle, inner[1], 2, residual=False)
        self.conv_4 = _Residual(middle, residual[1], units[1])
        self.conv_45 = _DepthWise(middle, middle, inner[2], 2, residual=False)
        self.conv_5 = _Residual(middle, residual[2], units[2])
        self.conv_6_sep = _ConvBlock(middle, last)
        self.output_layer = _Head(last, halved(input_side, 4), 2 * points)

    def features(self, image: Tensor) -> Tensor:
        """The map (B, F, S / 16, S / 16) that the head takes, of pictures (B, 3, S, S) in [0, 1]."""
        x = self.conv_3(self.conv_23(self.conv2_dw(self.conv1(image))))
        x = self.conv_5(self.conv_45(self.conv_4(self.conv_34(x))))
        result: Tensor = self.conv_6_sep(x)
        return result

    def forward(self, image: Tensor) -> Tensor:
        """Landmarks (B, points, 2), x and y as shares of the side, of pictures (B, 3, S, S) in [0, 1].

        Raises:
            ValueError: pictures of another side than `input_side`.
        """
        if image.shape[2:] != (self.input_side, self.input_side):
            raise ValueError(
                f"this network takes pictures of {self.input_side} x {self.input_side}, "
                f"not {image.shape[2]} x {image.shape[3]}"
            )
        points: Tensor = self.output_layer(self.features(image))
        return points.view(-1, self.points, 2)


_UNIT = re.compile(r"conv_([345])\.model\.(\d+)\.project\.conv\.weight")


def mobilefacenet_sizes(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Constructor arguments of the MobileFaceNet whose checkpoint has these keys and shapes.

    Raises:
        ValueError: the keys are not those of such a network.
    """
    if "output_layer.conv_6_dw.conv.weight" not in shapes or "conv_23.conv.conv.weight" not in shapes:
        raise ValueError(
            "no MobileFaceNet here: keys 'conv_23.conv.conv.weight' and 'output_layer.conv_6_dw.conv.weight' are "
            "missing"
        )

    def outputs(key: str) -> int:
        return int(shapes[f"{key}.conv.weight"][0])

    stages = [int(match[1]) for match in map(_UNIT.fullmatch, shapes) if match]
    return {
        "points": int(shapes["output_layer.linear.weight"][0]) // 2,
        "widths": [outputs("conv1"), outputs("conv_34.project"), outputs("conv_6_sep")],
        "inner": [outputs(f"conv_{name}.conv") for name in (23, 34, 45)],
        "units": [stages.count(stage) for stage in (3, 4, 5)],
        "residual": [outputs(f"conv_{stage}.model.0.conv") for stage in (3, 4, 5)],
        "input_side": 16 * int(shapes["output_layer.conv_6_dw.conv.weight"][-1]),
    }
