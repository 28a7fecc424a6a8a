"""pSp: from a face to a latent code by a feature pyramid ("Encoding in Style", Richardson et al., 2021).

A trunk, a pyramid of three levels and one head for each row of the latent code. e4e has the same network with the same
keys and uses its heads differently (`models/encoders/e4e.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.encoders.irse import IRSETrunk, Widths, halved, irse_trunk_sizes
from models.stylegan2.layers import EqualLinear
from utils.ranges import Depth, Side, Size, Stages

_MIDDLE, _FINE = 3, 7  # first rows of the middle and the fine level of the pyramid


class GradualStyleBlock(nn.Module):
    """Head that halves a feature map until one style vector is left.

    Args:
        inputs: channels of the feature map.
        style_dim: size of the style vector.
        convolutions: number of strided convolutions.
    """

    def __init__(self, inputs: int, style_dim: int, convolutions: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for index in range(convolutions):
            layers += [nn.Conv2d(style_dim if index else inputs, style_dim, 3, 2, 1), nn.LeakyReLU(0.01)]
        self.convs = nn.Sequential(*layers)
        self.linear = EqualLinear(style_dim, style_dim)

    def forward(self, feature_map: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, style_dim)."""
        vector: Tensor = self.linear(self.convs(feature_map).flatten(1))
        return vector


class GradualStyleEncoder(IRSETrunk):
    """IR-SE trunk, feature pyramid, one head for each row of the latent code.

    Rows 0-2 read the coarse level of the pyramid (1/16 of the image's side), rows 3-6 the middle one (1/8), all further
    rows the fine one (1/4).

    Args:
        input_size: side of the images; heads have as many strided convolutions as their feature map needs.
        styles: rows of the latent code.
        style_dim: size of a row.
        layers: units of the trunk's four stages ([3, 4, 14, 3] is IR-SE50).
        widths: channels of the trunk's stem and of its four stages.
    """

    def __init__(
        self,
        input_size: Side = 256,
        styles: Depth = 18,
        style_dim: Size = 512,
        layers: Stages = (3, 4, 14, 3),
        widths: Widths = (64, 64, 128, 256, 512),
    ) -> None:
        super().__init__(layers, widths)
        self.input_size, self.style_count, self.style_dim = input_size, styles, style_dim
        channels = widths[-1]
        self.styles = nn.ModuleList(
            GradualStyleBlock(channels, style_dim, self._convolutions(input_size)[_level(row)]) for row in range(styles)
        )
        self.latlayer1 = nn.Conv2d(widths[3], channels, 1)
        self.latlayer2 = nn.Conv2d(widths[2], channels, 1)

    @staticmethod
    def _convolutions(side: int) -> list[int]:
        """Strided convolutions that reduce the coarse, middle and fine level of an image of this side to 1×1."""
        return [max(1, (halved(side, times) - 1).bit_length()) for times in (4, 3, 2)]

    def takes(self, side: int) -> bool:
        """Whether the heads are made for images of this side: for `input_size`, and sides so near that it makes no
        difference."""
        return self._convolutions(side) == self._convolutions(self.input_size)

    def features(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """c1, c2, c3: outputs of the trunk's stages 2, 3 and 4, at 1/4, 1/8 and 1/16 of the image's side.

        Raises:
            ValueError: the image's size is not one that the heads are made for.
        """
        if not all(self.takes(side) for side in image.shape[2:]):
            raise ValueError(
                f"this encoder takes images of {self.input_size} x {self.input_size}, "
                f"not {image.shape[2]} x {image.shape[3]}"
            )
        _, c1, c2, c3 = self.stages(image)
        return c1, c2, c3

    def style_vectors(self, c1: Tensor, c2: Tensor, c3: Tensor, rows: int) -> list[Tensor]:
        """Outputs of the heads of the first `rows` rows for the trunk's features: `rows` tensors (B, style_dim)."""
        level, vectors = c3, []
        for row in range(rows):
            if row == _MIDDLE:
                level = _added(level, self.latlayer1(c2))
            elif row == _FINE:
                level = _added(level, self.latlayer2(c1))
            vectors.append(self.styles[row](level))
        return vectors

    def decode_features(self, c1: Tensor, c2: Tensor, c3: Tensor) -> Tensor:
        """The latent code (B, styles, style_dim) of the trunk's features: each row is its head's vector."""
        return torch.stack(self.style_vectors(c1, c2, c3, self.style_count), dim=1)

    def forward(self, image: Tensor) -> Tensor:
        """Latent code (B, styles, style_dim) of images (B, 3, input_size, input_size) in [-1, 1].

        It is relative to the generator's mean latent, which the caller adds.
        """
        return self.decode_features(*self.features(image))


def _level(row: int) -> int:
    """Level of the pyramid that a row reads: 0 coarse, 1 middle, 2 fine."""
    return (row >= _MIDDLE) + (row >= _FINE)


def _added(coarse: Tensor, lateral: Tensor) -> Tensor:
    """The coarser level, enlarged to the lateral one, plus that."""
    return F.interpolate(coarse, size=lateral.shape[2:], mode="bilinear", align_corners=True) + lateral


def psp_sizes(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Constructor arguments of the encoder with these keys (without a checkpoint's prefix `encoder.`) and shapes.

    The side is the power of two that the number of strided convolutions in the heads belongs to. e4e's encoder has the
    same keys and sizes.

    Raises:
        ValueError: the keys are not those of such an encoder.
    """
    rows = {int(m[1]) for m in (re.match(r"styles\.(\d+)\.linear\.weight$", key) for key in shapes) if m}
    if not rows:
        raise ValueError("no pSp or e4e encoder here: keys 'styles.*' are missing")
    convolutions = sum(bool(re.match(r"styles\.0\.convs\.\d+\.weight$", key)) for key in shapes)
    return {
        "input_size": 16 * 2**convolutions,
        "styles": len(rows),
        "style_dim": int(shapes["styles.0.linear.weight"][0]),
        **irse_trunk_sizes(shapes),
    }
