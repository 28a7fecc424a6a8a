"""The two encoders as published: e4e and the semantic encoder, layer by layer, in the layout of their training.

Kept on purpose: batch norms stay beside their convolutions, each style head runs on its own, pictures are planes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.encoders.e4e import e4e_sizes
from models.semantic_encoder import semantic_encoder_sizes
from utils.torchvision_operators import torchvision

_MIDDLE, _FINE = 3, 7  # first rows that read the middle and the fine level of the pyramid


class _SqueezeExcitation(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, channels // 16, 1, bias=False)
        self.relu = nn.ReLU(inplace=True)
        self.fc2 = nn.Conv2d(channels // 16, channels, 1, bias=False)
        self.sigmoid = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        return x * self.sigmoid(self.fc2(self.relu(self.fc1(self.avg_pool(x)))))


class _Unit(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.shortcut_layer: nn.Module = nn.MaxPool2d(1, stride)
        if inputs != outputs:
            convolution = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.shortcut_layer = nn.Sequential(convolution, nn.BatchNorm2d(outputs))
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False),
            nn.PReLU(outputs),
            nn.Conv2d(outputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            _SqueezeExcitation(outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.res_layer(x) + self.shortcut_layer(x)


class _EqualLinear(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.bias = nn.Parameter(torch.empty(outputs))
        self.scale = 1 / math.sqrt(inputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.scale, self.bias)


class _Head(nn.Module):
    def __init__(self, inputs: int, outputs: int, side: int) -> None:
        super().__init__()
        count = max(1, (side - 1).bit_length())
        widths = [inputs, *[outputs] * count]
        layers: list[nn.Module] = []
        for before, after in zip(widths[:-1], widths[1:], strict=True):
            layers += [nn.Conv2d(before, after, 3, 2, 1), nn.LeakyReLU()]
        self.convs = nn.Sequential(*layers)
        self.linear = _EqualLinear(outputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.convs(x).flatten(1))


class E4eEncoder(nn.Module):
    """Codes (B, styles, style_dim) of pictures (B, 3, input_size, input_size), relative to the mean code."""

    def __init__(
        self, input_size: int, styles: int, style_dim: int, layers: Sequence[int], widths: Sequence[int]
    ) -> None:
        super().__init__()
        self.input_layer = nn.Sequential(
            nn.Conv2d(3, widths[0], 3, 1, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.PReLU(widths[0])
        )
        inputs = [*widths[:-1]]
        units = [
            _Unit(before if index == 0 else after, after, 2 if index == 0 else 1)
            for count, before, after in zip(layers, inputs, widths[1:], strict=True)
            for index in range(count)
        ]
        self.body = nn.Sequential(*units)
        self.ends = [sum(layers[: stage + 1]) - 1 for stage in (1, 2, 3)]
        sides = [input_size // 16] * _MIDDLE + [input_size // 8] * (_FINE - _MIDDLE)
        sides += [input_size // 4] * (styles - _FINE)
        self.styles = nn.ModuleList(_Head(widths[-1], style_dim, side) for side in sides[:styles])
        self.latlayer1 = nn.Conv2d(widths[3], widths[4], 1)
        self.latlayer2 = nn.Conv2d(widths[2], widths[4], 1)

    @classmethod
    def with_weights(cls, state: Mapping[str, Tensor]) -> E4eEncoder:
        """The encoder in evaluation mode on these tensors, which are not copied."""
        sizes = e4e_sizes({key: tuple(value.shape) for key, value in state.items()})
        with torch.device("meta"):
            network = cls(**sizes)
        network.load_state_dict(state, assign=True)
        return network.eval().requires_grad_()

    def forward(self, image: Tensor) -> Tensor:
        x, features = self.input_layer(image), []
        for index, unit in enumerate(self.body):
            x = unit(x)
            if index in self.ends:
                features.append(x)
        fine, middle, level = features
        first = self.styles[0](level)
        rows = [first]
        for row in range(1, len(self.styles)):
            if row == _MIDDLE:
                level = self._added(level, self.latlayer1(middle))
            elif row == _FINE:
                level = self._added(level, self.latlayer2(fine))
            rows.append(first + self.styles[row](level))
        return torch.stack(rows, dim=1)

    @staticmethod
    def _added(coarse: Tensor, lateral: Tensor) -> Tensor:
        return F.interpolate(coarse, size=lateral.shape[2:], mode="bilinear", align_corners=True) + lateral


class SemanticEncoder(nn.Module):
    """torchvision's residual network with E_s's head and a sigmoid: semantics (B, A) of pictures (B, 3, S, S)."""

    def __init__(self, attributes: int, backbone: str, head: Sequence[int]) -> None:
        super().__init__()
        self.backbone = getattr(torchvision.models, f"resnet{backbone[1:]}")(weights=None)
        widths = [self.backbone.fc.in_features, *head, attributes]
        layers: list[nn.Module] = []
        for inputs, outputs in zip(widths[:-1], widths[1:], strict=True):
            layers += [nn.Linear(inputs, outputs), nn.ReLU(inplace=True)]
        self.backbone.fc = nn.Sequential(*layers[:-1]) if head else layers[0]

    @classmethod
    def with_weights(cls, state: Mapping[str, Tensor]) -> SemanticEncoder:
        """The encoder with copies of these tensors."""
        sizes = semantic_encoder_sizes({key: tuple(value.shape) for key, value in state.items()})
        network = cls(sizes["attributes"], sizes["backbone"], sizes["head"])
        network.load_state_dict(state)
        return network

    def forward(self, image: Tensor) -> Tensor:
        return self.backbone(image).sigmoid()
