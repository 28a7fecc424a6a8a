"""Distance of two images in a frozen network's features ("The Unreasonable Effectiveness of Deep Features", 2018)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.protocols import ImageNetwork


def output_and_features(network: ImageNetwork, layers: Sequence[str], image: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Output of a network and of the named layers inside it, from one pass; differentiable.

    Args:
        layers: names as in `network.named_modules()`, each called once in a pass.
    Raises:
        AttributeError: a layer does not exist.
    """
    features: dict[str, Tensor] = {}

    def keep(name: str) -> torch.utils.hooks.RemovableHandle:
        def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            features[name] = output

        return network.get_submodule(name).register_forward_hook(note)

    handles = [keep(name) for name in layers]
    try:
        output = network(image)
    finally:
        for handle in handles:
            handle.remove()
    return output, [features[name] for name in layers]


def perceptual_distance(features: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
    """Σ over layers of the mean over batch and positions of ‖f/‖f‖ − t/‖t‖‖², norms over channels (eq. 1, weights 1).

    Args:
        features, targets: maps (B, C, H, W) of the same layers for the two images.
    """
    terms = [
        (F.normalize(feature, dim=1, eps=1e-6) - F.normalize(target, dim=1, eps=1e-6)).square().sum(1).mean()
        for feature, target in zip(features, targets, strict=True)
    ]
    return torch.stack(terms).sum()
