"""A small convolutional regression network, without pooling, so that positions and small details are kept."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor, nn

from utils.ranges import Between, MultipleOf, Size


class Reader(nn.Module):
    """Four strided convolutions and two linear layers: images (B, 3, S, S) → (B, outputs).

    Args:
        outputs: numbers to predict.
        width: channels of the first convolution, four times as many at the end.
        image_side: S, a multiple of 16.
    """

    def __init__(
        self, outputs: Size, width: Size = 32, image_side: Annotated[int, Between(16, 65536), MultipleOf(16)] = 64
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels, wider in ((3, width), (width, 2 * width), (2 * width, 4 * width), (4 * width, 4 * width)):
            layers += [
                nn.Conv2d(channels, wider, 3, 2, 1, bias=False),
                nn.BatchNorm2d(wider),
                nn.LeakyReLU(0.1, inplace=True),
            ]
        self.trunk = nn.Sequential(*layers, nn.Flatten())
        features = 4 * width * (image_side // 16) ** 2
        self.head = nn.Sequential(nn.Linear(features, 256), nn.LeakyReLU(0.1, inplace=True), nn.Linear(256, outputs))

    def forward(self, image: Tensor) -> Tensor:
        """Predictions (B, outputs) of images (B, 3, S, S)."""
        readings: Tensor = self.head(self.trunk(image))
        return readings
