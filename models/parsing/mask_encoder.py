"""S²-Flow's mask encoder C: a face mask as the few numbers that condition the flow ("S²-Flow: Joint Semantic and Style
Editing of Facial Images", 2022).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from torch import Tensor, nn

from models.parsing.palette import colour_values
from utils.ranges import Between, Size

_CONVOLUTION = re.compile(r"conv(\d+)\.1\.conv\.weight")


class _Convolution(nn.Module):
    """Convolution of stride 2, batch norm, ReLU, under the public names."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        nn.init.kaiming_normal_(self.conv.weight, a=1)

    def forward(self, x: Tensor) -> Tensor:
        normalised: Tensor = self.bn(self.conv(x))
        return normalised.relu_()


class MaskEncoder(nn.Module):
    """Pairs of max-pooling and convolution, each of which takes a quarter of the side, and a linear layer.

    Args:
        outputs: numbers that a mask becomes.
        side: of the masks, a multiple of 4^stages; 512 as published.
        stages: 3 as published; fewer for small masks.
        width: channels.
    Raises:
        ValueError: the side is no such multiple.
    """

    def __init__(
        self, outputs: Size = 19, side: Size = 512, stages: Annotated[int, Between(1, 8)] = 3, width: Size = 19
    ) -> None:
        super().__init__()
        if side % 4**stages:
            raise ValueError(f"a mask encoder of {stages} stages takes masks of a multiple of {4**stages}, not {side}")
        self.outputs, self.side, self.stages = outputs, side, stages
        for stage in range(1, stages + 1):
            pool = nn.MaxPool2d(3, stride=2)  # no padding, rounded down: 512 → 255
            self.add_module(f"conv{stage}", nn.Sequential(pool, _Convolution(width if stage > 1 else 3, width)))
        self.fc = nn.Linear(width * (side // 4**stages) ** 2, outputs)

    def features(self, mask: Tensor) -> list[Tensor]:
        """Output (B, width, side / 4^k, side / 4^k) of each stage k.

        Args:
            mask: class indices (B, side, side).
        Raises:
            ValueError: masks of another size.
        """
        if mask.shape[1:] != (self.side, self.side):
            shape = " × ".join(str(size) for size in mask.shape[1:])
            raise ValueError(f"this mask encoder takes masks of {self.side} × {self.side}, not {shape}")
        x, features = colour_values(mask).to(self.fc.weight.dtype), []
        for stage in range(1, self.stages + 1):
            x = self.get_submodule(f"conv{stage}")(x)
            features.append(x)
        return features

    def forward(self, mask: Tensor) -> Tensor:
        """The condition (B, outputs) of masks (B, side, side) of class indices.

        Raises:
            ValueError: masks of another size.
        """
        condition: Tensor = self.fc(self.features(mask)[-1].flatten(1))
        return condition


def mask_encoder_sizes(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Constructor arguments of the mask encoder whose checkpoint has these keys and shapes."""
    stages = sum(_CONVOLUTION.fullmatch(key) is not None for key in shapes)
    outputs, inputs = shapes["fc.weight"]
    width = shapes["conv1.1.conv.weight"][0]
    cells = round((inputs / width) ** 0.5)  # of the last stage, in a row
    return {"outputs": outputs, "side": cells * 4**stages, "stages": stages, "width": width}
