"""DEX: apparent age and gender from a face ("Deep EXpectation of Apparent Age from a Single Image", Rothe et al., 2015;
public files `age_sd.pth` and `gender_sd.pth`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from utils.images import grey_levels
from utils.ranges import Count, Depth, Long, Size

_SIDE, _CROP = 256, 224  # of the picture, and of its middle, which the network takes
_MAP = 7  # side of the last feature map


class _ConvBlock(nn.Module):
    """Convolutions with ReLU, then a maximum over 2 × 2."""

    def __init__(self, inputs: int, outputs: int, layers: int) -> None:
        super().__init__()
        for number in range(1, layers + 1):
            self.add_module(f"conv{number}", nn.Conv2d(inputs if number == 1 else outputs, outputs, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H / 2, W / 2)."""
        for layer in self.children():
            x = F.relu(layer(x))
        return F.max_pool2d(x, 2)


class DEX(nn.Module):
    """VGG16 whose classes are the years 0 … 100, or female and male.

    Args:
        classes: 101, or 2.
        widths: channels of the blocks.
        layers: convolutions of each block.
        hidden: width of the two linear layers.
    """

    def __init__(
        self,
        classes: Count = 101,
        widths: Annotated[Sequence[Size], Long(5, 5)] = (64, 128, 256, 512, 512),
        layers: Annotated[Sequence[Depth], Long(5, 5)] = (2, 2, 3, 3, 3),
        hidden: Size = 4096,
    ) -> None:
        super().__init__()
        inputs = (3, *widths)
        self.conv = nn.Sequential(*(_ConvBlock(*sizes) for sizes in zip(inputs, widths, layers, strict=False)))
        self.fc1 = nn.Sequential(nn.Linear(widths[-1] * _MAP**2, hidden), nn.ReLU(), nn.Dropout(0.5))
        self.fc2 = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(0.5))
        self.cls = nn.Linear(hidden, classes)

    def forward(self, image: Tensor) -> Tensor:
        """Probabilities (B, classes) of faces (B, 3, S, S) in [−1, 1], aligned as in FFHQ."""
        x = self.conv(dex_input(image)).flatten(1)
        return F.softmax(self.cls(self.fc2(self.fc1(x))), dim=1)


def dex_input(image: Tensor) -> Tensor:
    """What the network sees of pictures (B, 3, S, S) in [−1, 1]: whole levels 0 … 255, blue first, the middle 224².

    Pictures of another side than 256 are resized to it first.
    """
    if image.shape[2:] != (_SIDE, _SIDE):
        image = F.interpolate(image, size=(_SIDE, _SIDE), mode="bilinear", antialias=True)
    edge = (_SIDE - _CROP) // 2
    return grey_levels(image).flip(1)[:, :, edge:-edge, edge:-edge]


def expected_age(probabilities: Tensor) -> Tensor:
    """Σ years · p, (B,), of probabilities (B, 101). W++'s published code counts the classes from 1: a year more."""
    return probabilities @ torch.arange(probabilities.shape[1]).to(probabilities)


def dex_sizes(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Constructor arguments of the network with these keys and shapes."""
    blocks = 1 + max(int(found[1]) for key in shapes if (found := re.match(r"conv\.(\d+)\.", key)))
    return {
        "classes": int(shapes["cls.weight"][0]),
        "widths": [int(shapes[f"conv.{block}.conv1.weight"][0]) for block in range(blocks)],
        "layers": [
            sum(1 for key in shapes if re.fullmatch(rf"conv\.{block}\.conv\d+\.weight", key)) for block in range(blocks)
        ],
        "hidden": int(shapes["cls.weight"][1]),
    }
