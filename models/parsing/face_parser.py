"""A small face parser: which class each pixel of a face belongs to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count, takewhile
from typing import Annotated, Any

from torch import Tensor, nn
from torch.nn import functional as F

from models.parsing.palette import CLASSES
from utils.ranges import Long, Size


class FaceParser(nn.Module):
    """Images (B, 3, H, W) in [−1, 1] → logits (B, 19, H, W), H and W multiples of 2^levels.

    Like a U-Net ("U-Net: Convolutional Networks for Biomedical Image Segmentation", 2015), with two savings: blocks of
    2 × 2 pixels are the channels of the first level, and of the last one; the enlarged features of a coarser level are
    added to a finer one's, not joined to them. Together a quarter of the operations.

    Args:
        widths: channels of each level; every level has half the side of the one before.
    Attributes:
        mask_classes: 19, those of CelebAMask-HQ.
    """

    mask_classes = len(CLASSES)

    def __init__(self, widths: Annotated[tuple[Size, ...], Long(1, 8)] = (32, 64, 96)) -> None:
        super().__init__()
        self.down = nn.ModuleList(_block(before, width) for before, width in zip((12, *widths), widths, strict=False))
        pairs = list(zip(widths, widths[1:], strict=False))
        self.lift = nn.ModuleList(nn.Conv2d(coarse, fine, 1) for fine, coarse in pairs)
        self.up = nn.ModuleList(_convolution(fine, fine) for fine, _ in pairs)
        self.head = nn.Conv2d(widths[0], 4 * self.mask_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, 19, H, W) of the classes.

        Raises:
            ValueError: a side that cannot be halved so often.
        """
        height, width = image.shape[-2:]
        multiple = 2 ** len(self.down)
        if height % multiple or width % multiple:
            raise ValueError(f"the face parser takes sides that are multiples of {multiple}, not {height} × {width}")
        seen = [self.down[0](F.pixel_unshuffle(image, 2))]
        for block in self.down[1:]:
            seen.append(block(F.max_pool2d(seen[-1], 2)))
        features = seen.pop()
        for lift, block in zip(reversed(self.lift), reversed(self.up), strict=True):
            features = block(seen.pop() + F.interpolate(lift(features), scale_factor=2.0, mode="nearest"))
        return F.pixel_shuffle(self.head(features), 2)


def face_parser_sizes(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Constructor arguments of the parser whose checkpoint has these keys and shapes."""
    firsts = takewhile(shapes.__contains__, (f"down.{level}.0.0.weight" for level in count()))
    return {"widths": [int(shapes[first][0]) for first in firsts]}


def _convolution(inputs: int, outputs: int) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def _block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(_convolution(inputs, outputs), _convolution(outputs, outputs))
