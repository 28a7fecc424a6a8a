"""Attribute classifier of AdaTrans and SDFlow: CelebA's attributes and ordinal age logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from models.resnet import Backbone, ResNet, resnet_sizes
from utils.ranges import Between, Size, Stages


class AttributeClassifier(nn.Module):
    """Residual trunk with one small head for each attribute and, if wanted, a second trunk for the age.

    The published files (`r34_a40_age_256_classifier.pth`, `r50_a40_age_256_classifier.pth`) have 40 heads in CelebA's
    order and 6 ordinal age logits of a second residual network, which takes the image, not the first one's features.

    Args:
        backbone: layout of the residual networks, see `models.resnet.LAYOUTS`.
        width: channels of the first stage (64 as published).
        attribute_heads: number of attributes.
        age_logits: number of ordinal age logits; 0 leaves the second trunk out.
        head_width: hidden size of the heads; by default that of the trunk's features, as published.
        depths: blocks of each stage, where they differ from the layout's.
    """

    def __init__(
        self,
        backbone: Backbone = "r34",
        width: Size = 64,
        attribute_heads: Size = 40,
        age_logits: Annotated[int, Between(0, 1000)] = 6,
        head_width: Size | None = None,
        depths: Stages | None = None,
    ) -> None:
        super().__init__()
        self.attribute_count, self.age_logits = attribute_heads, age_logits
        self.extractor = ResNet(backbone, width, outputs=0, depths=depths)
        self.feature_dim = self.extractor.feature_dim
        hidden = head_width if head_width is not None else self.feature_dim
        self.attr_heads = nn.ModuleList(_head(self.feature_dim, hidden) for _ in range(attribute_heads))
        self.age_heads = ResNet(backbone, width, outputs=age_logits, depths=depths) if age_logits else None

    def features(self, image: Tensor) -> Tensor:
        """Input of the attribute heads, (B, feature_dim), for images (B, 3, H, W) in [-1, 1] of any size."""
        return self.extractor.features(image)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, attribute_heads + age_logits): attributes first. Probabilities are their sigmoid."""
        features = self.features(image)
        logits = [head(features) for head in self.attr_heads]
        if self.age_heads is not None:
            logits.append(self.age_heads(image))
        return torch.cat(logits, dim=1)

    def decisions(self, logits: Tensor) -> Tensor:
        """Decisions at probability 0.5 as int64, from the logits of `forward`.

        One column for each attribute (0 or 1) and, where there are age logits, a last one with the number of age steps
        that are passed: (B, attribute_heads) or (B, attribute_heads + 1).
        """
        passed = (logits.sigmoid() > 0.5).long()
        if not self.age_logits:
            return passed
        attributes, age_steps = passed.split([self.attribute_count, self.age_logits], dim=1)
        return torch.cat([attributes, age_steps.sum(dim=1, keepdim=True)], dim=1)


def _head(features: int, hidden: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs in (features, hidden, hidden):
        layers += [nn.Linear(inputs, hidden), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.Linear(hidden, 1))


def attribute_classifier_sizes(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Constructor arguments of the classifier whose checkpoint has these keys and shapes.

    Raises:
        ValueError: the keys are not those of an attribute classifier.
    """
    trunk = resnet_sizes(shapes, "extractor.")
    heads = {key.split(".")[1] for key in shapes if key.startswith("attr_heads.")}
    if not heads:
        raise ValueError("no attribute classifier here: keys 'attr_heads.*' are missing")
    hidden, features = (int(size) for size in shapes["attr_heads.0.0.weight"])
    age = shapes.get("age_heads.fc.weight", (0,))
    return {
        **trunk,
        "attribute_heads": len(heads),
        "age_logits": int(age[0]),
        **({"head_width": hidden} if hidden != features else {}),
    }
