"""The distance of two faces' landmarks, in the network of a file, which is no part of a domain."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from criteria.landmarks import inner_landmarks, landmark_distance
from models.landmarks import MobileFaceNet
from models.weight_files import load_network
from utils.weights import freeze


class LandmarkDistance:
    """Mean squared difference of the landmarks without the jawline, in pixels of the network's input."""

    def __init__(self, network: MobileFaceNet) -> None:
        self.network = network
        freeze(network)

    @classmethod
    def of_file(cls, path: Path, device: torch.device | str = "cpu") -> LandmarkDistance:
        """With the network of a file such as `mobilefacenet_model_best.pth.tar`.

        Raises:
            WeightsError: no such file, or no MobileFaceNet in it.
        """
        network = load_network(path, "mobilefacenet", "python scripts/download.py id_swap").module
        assert isinstance(network, MobileFaceNet)
        return cls(network.to(device))

    def __call__(self, image: Tensor, target: Tensor) -> Tensor:
        """Of pictures (B, 3, H, W) in [0, 1]; differentiable in the first ones."""
        with torch.no_grad():
            expected = inner_landmarks(self.network, target)
        return landmark_distance(inner_landmarks(self.network, image), expected)
