"""Semantic encoder E_s: one semantic variable in (0, 1) for each attribute of a face."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from models.resnet import Backbone, ResNet, resnet_sizes
from utils.ranges import Size, Sizes, Stages


class SemanticEncoder(nn.Module):
    """Residual network, linear layers with ReLU between them, sigmoid (SDFlow, section 3.1).

    The paper has three linear layers of unpublished widths; the published weights (`labeldist-0010000`) have one, which
    `head=()` gives. Their keys are `backbone.fc.*` in both cases.

    Args:
        attributes: number of semantic variables.
        backbone: layout of the residual network, see `models.resnet.LAYOUTS`.
        width: channels of the first stage (64 as published).
        head: hidden sizes of the linear layers.
        depths: blocks of each stage, where they differ from the layout's.
    """

    def __init__(
        self,
        attributes: Size,
        backbone: Backbone = "r34",
        width: Size = 64,
        head: Sizes = (512, 512),
        depths: Stages | None = None,
    ) -> None:
        super().__init__()
        self.backbone = ResNet(backbone, width, outputs=0, depths=depths)
        sizes = [self.backbone.feature_dim, *head, attributes]
        layers: list[nn.Module] = []
        for inputs, outputs in zip(sizes, sizes[1:], strict=False):
            layers += [nn.Linear(inputs, outputs), nn.ReLU(inplace=True)]
        layers.pop()
        self.backbone.fc = nn.Sequential(*layers) if head else layers[0]

    def logits(self, image: Tensor) -> Tensor:
        """The semantic variables before the sigmoid, (B, attributes), of images (B, 3, H, W) in [-1, 1] of any size."""
        logits: Tensor = self.backbone(image)
        return logits

    def forward(self, image: Tensor) -> Tensor:
        """Semantic variables (B, attributes) in (0, 1)."""
        return self.logits(image).sigmoid()


def semantic_encoder_sizes(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Constructor arguments of the semantic encoder whose checkpoint has these keys and shapes.

    Raises:
        ValueError: the keys are not those of a semantic encoder.
    """
    trunk = resnet_sizes(shapes, "backbone.")
    weights = sorted(
        (key for key in shapes if key.startswith("backbone.fc.") and key.endswith("weight")),
        key=lambda key: [int(part) for part in key.split(".") if part.isdecimal()],
    )
    if not weights:
        raise ValueError("no semantic encoder here: keys 'backbone.fc.*' are missing")
    *head, attributes = (int(shapes[key][0]) for key in weights)
    return {"attributes": attributes, **trunk, "head": head}
