"""S²-Flow's face parser: DeepLabv3 ("Rethinking Atrous Convolution for Semantic Image Segmentation", 2017) with group
normalisation and standardised weights ("Micro-Batch Training with Batch-Channel Normalization and Weight
Standardization", 2019), under the public names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from utils.ranges import Size, Stages

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, of pictures in [0, 1]
_BLOCK = re.compile(r"layer(\d)\.(\d+)\.conv1\.weight")
_EXPANSION = 4
_GROUPS = 32


class _Convolution(nn.Conv2d):
    """Each output's kernel is used with mean 0 and standard deviation 1; no bias."""

    def __init__(self, inputs: int, outputs: int, side: int = 1, stride: int = 1, dilation: int = 1) -> None:
        super().__init__(inputs, outputs, side, stride, dilation * (side // 2), dilation, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        std, mean = torch.std_mean(self.weight, dim=(1, 2, 3), keepdim=True)
        convolved: Tensor = self._conv_forward(input, (self.weight - mean) / (std + 1e-5), None)
        return convolved


class _Bottleneck(nn.Module):
    def __init__(self, inputs: int, planes: int, groups: int, stride: int, dilation: int, shortcut: bool) -> None:
        super().__init__()
        outputs = _EXPANSION * planes
        self.conv1, self.bn1 = _Convolution(inputs, planes), nn.GroupNorm(groups, planes)
        self.conv2, self.bn2 = _Convolution(planes, planes, 3, stride, dilation), nn.GroupNorm(groups, planes)
        self.conv3, self.bn3 = _Convolution(planes, outputs), nn.GroupNorm(groups, outputs)
        self.downsample = (
            nn.Sequential(_Convolution(inputs, outputs, 1, stride), nn.GroupNorm(groups, outputs)) if shortcut else None
        )

    def forward(self, x: Tensor) -> Tensor:
        residual = x if self.downsample is None else self.downsample(x)
        x = self.bn1(self.conv1(x)).relu_()
        x = self.bn2(self.conv2(x)).relu_()
        result: Tensor = (self.bn3(self.conv3(x)) + residual).relu_()
        return result


class _PyramidPooling(nn.Module):
    """Atrous spatial pyramid pooling: one point, three dilations and the whole picture, joined."""

    dilations = (6, 12, 18)

    def __init__(self, inputs: int, width: int, groups: int, classes: int) -> None:
        super().__init__()
        sides = [(1, 1), *((3, dilation) for dilation in self.dilations), (1, 1)]
        for index, (side, dilation) in enumerate(sides, 1):
            self.add_module(f"aspp{index}", _Convolution(inputs, width, side, 1, dilation))
            self.add_module(f"aspp{index}_bn", nn.GroupNorm(groups, width))
        self.conv2, self.bn2 = _Convolution(len(sides) * width, width), nn.GroupNorm(groups, width)
        self.conv3 = nn.Conv2d(width, classes, 1)

    def _branch(self, index: int, x: Tensor) -> Tensor:
        convolved = self.get_submodule(f"aspp{index}")(x)
        normalised: Tensor = self.get_submodule(f"aspp{index}_bn")(convolved)
        return normalised.relu_()

    def forward(self, x: Tensor) -> Tensor:
        whole = self._branch(5, x.mean((2, 3), keepdim=True)).expand(-1, -1, *x.shape[2:])
        joined = torch.cat([*(self._branch(index, x) for index in range(1, 5)), whole], dim=1)
        logits: Tensor = self.conv3(self.bn2(self.conv2(joined)).relu_())
        return logits


class DeepLabV3(nn.Module):
    """Face parser: pictures of any size to logits of the classes of `models.parsing.palette`.

    S²-Flow gives it pictures of 512 × 512.

    Args:
        classes: number of classes.
        width: channels of the first stage, a multiple of the groups; doubled from stage to stage.
        depths: blocks of the four stages (ResNet-101's as published).
        groups: of each group normalisation.
        head_width: channels of the pyramid's branches.
    Attributes:
        mask_classes: number of classes.
    """

    def __init__(
        self,
        classes: Size = 19,
        width: Size = 64,
        depths: Stages = (3, 4, 23, 3),
        groups: Size = _GROUPS,
        head_width: Size = 256,
    ) -> None:
        super().__init__()
        self.mask_classes = classes
        self.conv1, self.bn1 = _Convolution(3, width, 7, 2), nn.GroupNorm(groups, width)
        channels = width
        # The last stage dilates instead of halving the picture; its first block does neither.
        for stage, (depth, stride, dilation) in enumerate(zip(depths, (1, 2, 2, 1), (1, 1, 1, 2), strict=True)):
            planes = width * 2**stage
            outputs = _EXPANSION * planes
            shortcut = stride != 1 or channels != outputs
            blocks = [_Bottleneck(channels, planes, groups, stride, 1, shortcut)]
            blocks += [_Bottleneck(outputs, planes, groups, 1, dilation, False) for _ in range(1, depth)]
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
            channels = outputs
        self.aspp = _PyramidPooling(channels, head_width, groups, classes)

    def features(self, normalised: Tensor) -> list[Tensor]:
        """Output of each of the four stages; the last is (B, 32 width, H / 16, W / 16).

        Args:
            normalised: pictures (B, 3, H, W), of which ImageNet's mean and deviation were taken off.
        """
        x = F.max_pool2d(self.bn1(self.conv1(normalised)).relu_(), 3, stride=2, padding=1)
        outputs = []
        for stage in range(1, 5):
            x = self.get_submodule(f"layer{stage}")(x)
            outputs.append(x)
        return outputs

    def enlarged(self, coarse: Tensor, height: int, width: int) -> Tensor:
        """The head's logits at the picture's size."""
        return F.interpolate(coarse, (height, width), mode="bilinear", align_corners=True)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, classes, H, W) of pictures (B, 3, H, W) in [−1, 1]."""
        mean, std = (torch.tensor(values, dtype=image.dtype, device=image.device)[:, None, None]
                     for values in (_MEAN, _STD))  # fmt: skip
        normalised = (0.5 * (image + 1) - mean) / std
        return self.enlarged(self.aspp(self.features(normalised)[-1]), *image.shape[2:])


def deeplab_sizes(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Constructor arguments of the parser whose checkpoint has these keys and shapes.

    `groups` leaves no trace there: it is the published number, or one channel a group in a narrower network.
    """
    blocks = [match for match in map(_BLOCK.fullmatch, shapes) if match]
    return {
        "classes": shapes["aspp.conv3.weight"][0],
        "width": shapes["conv1.weight"][0],
        "depths": [sum(int(match[1]) == stage for match in blocks) for stage in range(1, 5)],
        "groups": min(_GROUPS, shapes["conv1.weight"][0]),
        "head_width": shapes["aspp.conv2.weight"][0],
    }
