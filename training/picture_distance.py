"""The perceptual distance of a method, in the features that its config names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from criteria.perceptual import output_and_features, perceptual_distance
from models.domain import Domain
from models.encoders.irse import IRSETrunk
from training.methods.e4e import FEATURE_LAYERS
from utils.config import ConfigError

KINDS = ("lpips", "teacher", "encoder")
LPIPS_TRUNK = "pretrained/ffhq/alexnet-owt-7be5be79.pth"  # where download.py puts it


class PictureDistance:
    """Sum of distances of pictures; differentiable in the first ones.

    Args:
        kinds: `lpips`, whose weights are no part of a domain; `teacher`, the features of the domain's teacher, which
            look at attributes; `encoder`, the trunk of the domain's encoder, which sees all that it can reproduce.
        trunk: file of torchvision's AlexNet for `lpips`.
        layers: the teacher's that are compared.
    Raises:
        ConfigError: an unknown kind, or a domain whose encoder has no such trunk.
        WeightsError: the file is missing or another.
    """

    def __init__(
        self, domain: Domain, kinds: Sequence[str], trunk: Path, layers: Sequence[str] = FEATURE_LAYERS
    ) -> None:
        unknown = [kind for kind in kinds if kind not in KINDS]
        if unknown or not kinds:
            named = ", ".join(unknown) or "none"
            raise ConfigError(f"method.features: must be some of {', '.join(KINDS)}, not {named}")
        if "encoder" in kinds and not isinstance(domain.encoder, IRSETrunk):
            raise ConfigError(f"method.features: the encoder of domain '{domain.name}' has no IR-SE trunk")
        self.domain, self.kinds, self.layers = domain, tuple(kinds), tuple(layers)
        if "lpips" in kinds:
            from criteria.lpips import LPIPS  # imports torchvision

            self.lpips = LPIPS.of_file(trunk, "python scripts/download.py lpips").to(domain.device)

    def __call__(self, image: Tensor, target: Tensor) -> Tensor:
        """Mean over pictures (B, 3, H, W) in [−1, 1]."""
        terms = []
        if "lpips" in self.kinds:
            terms.append(self.lpips(image, target).mean())
        for kind in ("teacher", "encoder"):
            if kind in self.kinds:
                with torch.no_grad():
                    expected = self._features(kind, target)
                terms.append(perceptual_distance(self._features(kind, image), expected))
        return torch.stack(terms).sum()

    def _features(self, kind: str, image: Tensor) -> list[Tensor]:
        if kind == "teacher":
            return output_and_features(self.domain.teacher, self.layers, image)[1]
        trunk = self.domain.encoder
        assert isinstance(trunk, IRSETrunk)
        return trunk.stages(image.contiguous(memory_format=torch.channels_last))
