"""Residual networks with torchvision's layout and key names, at any width and depth."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from torch import Tensor, nn

Backbone = Literal["r18", "r34", "r50", "r101", "r152"]

# name -> (bottleneck blocks, blocks of the four stages)
LAYOUTS: dict[Backbone, tuple[bool, tuple[int, ...]]] = {
    "r18": (False, (2, 2, 2, 2)),
    "r34": (False, (3, 4, 6, 3)),
    "r50": (True, (3, 4, 6, 3)),
    "r101": (True, (3, 4, 23, 3)),
    "r152": (True, (3, 8, 36, 3)),
}


class ResNet(nn.Module):
    """Residual network for images of any size ("Deep Residual Learning for Image Recognition", 2015).

    Keys and numbers are those of `torchvision.models.resnet*`; at `width` 64 the published checkpoints load strictly.

    Args:
        backbone: one of `LAYOUTS`; decides between basic and bottleneck blocks and how many of them each stage has.
        width: channels of the first stage, doubled from stage to stage (64 as published).
        outputs: size of the last linear layer `fc`; 0 makes `fc` the identity, so that the result is `features`.
        depths: blocks of each of the four stages, where they differ from the layout's.
    Raises:
    """

    def __init__(
        self, backbone: Backbone = "r34", width: int = 64, outputs: int = 1000, depths: Sequence[int] | None = None
    ) -> None:
        super().__init__()
        bottleneck, published_depths = LAYOUTS[backbone]
        depths = tuple(depths) if depths is not None else published_depths
        block = _block(bottleneck)
        self.feature_dim = 8 * width * block.expansion
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        channels = width
        for stage, depth in enumerate(depths):
            planes, stride = width * 2**stage, 1 if stage == 0 else 2
            self.add_module(f"layer{stage + 1}", _stage(block, channels, planes, depth, stride))
            channels = planes * block.expansion
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc: nn.Module = nn.Linear(self.feature_dim, outputs) if outputs else nn.Identity()
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def feature_map(self, image: Tensor) -> Tensor:
        """Output of the last stage, (B, feature_dim, ceil(H / 32), ceil(W / 32)) of an image (B, 3, H, W)."""
        x: Tensor = self.maxpool(self.relu(self.bn1(self.conv1(image))))
        for stage in ("layer1", "layer2", "layer3", "layer4"):
            x = self.get_submodule(stage)(x)
        return x

    def features(self, image: Tensor) -> Tensor:
        """Averaged output of the last stage, (B, feature_dim)."""
        pooled: Tensor = self.avgpool(self.feature_map(image))
        return pooled.flatten(1)

    def forward(self, image: Tensor) -> Tensor:
        """`fc` of the features, (B, outputs)."""
        result: Tensor = self.fc(self.features(image))
        return result


def _block(bottleneck: bool) -> Any:
    """torchvision's class; imported late, since that takes as long as PyTorch itself."""
    from utils.torchvision_operators import torchvision

    return torchvision.models.resnet.Bottleneck if bottleneck else torchvision.models.resnet.BasicBlock


def _stage(block: Any, channels: int, planes: int, depth: int, stride: int) -> nn.Sequential:
    outputs = planes * block.expansion
    downsample = None
    if stride != 1 or channels != outputs:
        downsample = nn.Sequential(nn.Conv2d(channels, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
    blocks = [block(channels, planes, stride, downsample)]
    blocks += [block(outputs, planes) for _ in range(depth - 1)]
    return nn.Sequential(*blocks)


def resnet_sizes(shapes: Mapping[str, Sequence[int]], prefix: str = "") -> dict[str, Any]:
    """`backbone`, `width` and, where no layout has them, `depths` of the network whose keys start with `prefix`.

    Raises:
        ValueError: the keys are not those of such a network.
    """
    if f"{prefix}conv1.weight" not in shapes:
        raise ValueError(f"no residual network here: key '{prefix}conv1.weight' is missing")
    pattern = re.compile(re.escape(prefix) + r"layer(\d+)\.(\d+)\.")
    blocks = {(int(m[1]), int(m[2])) for m in map(pattern.match, shapes) if m}
    depths = tuple(sum(stage == wanted for stage, _ in blocks) for wanted in range(1, 5))
    bottleneck = f"{prefix}layer1.0.conv3.weight" in shapes
    sizes: dict[str, Any] = {"width": int(shapes[f"{prefix}conv1.weight"][0])}
    for name, layout in LAYOUTS.items():
        if layout == (bottleneck, depths):
            return {"backbone": name, **sizes}
    return {"backbone": "r50" if bottleneck else "r34", **sizes, "depths": list(depths)}
