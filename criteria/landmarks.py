"""Where the eyes, brows, nose and mouth of two faces are ("Face identity disentanglement via latent space mapping",
2020): the landmarks without the jawline.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from models.landmarks import MobileFaceNet

JAWLINE = 17  # points of 68, which come first


def inner_landmarks(network: MobileFaceNet, image: Tensor, antialias: bool = True) -> Tensor:
    """Landmarks (B, points − 17, 2), x and y, of pictures (B, 3, H, W) in [0, 1]; in pixels of the network's input.

    Args:
        antialias: smooth a picture that shrinks, as torchvision does since 0.17; before, it did not.
    """
    return landmarks(network, image, antialias)[:, JAWLINE:]


def landmarks(network: MobileFaceNet, image: Tensor, antialias: bool = True) -> Tensor:
    """All landmarks (B, points, 2), see `inner_landmarks`."""
    points: Tensor = network(reduced(image, network.input_side, antialias))
    return network.input_side * points


def reduced(image: Tensor, side: int, antialias: bool = True) -> Tensor:
    """Pictures (B, 3, H, W), whole, at the side of a network; arguments as in `inner_landmarks`."""
    if image.shape[2:] == (side, side):
        return image
    return F.interpolate(image, (side, side), mode="bilinear", align_corners=False, antialias=antialias)


def landmark_distance(points: Tensor, target: Tensor) -> Tensor:
    """Mean squared difference of two sets of landmarks (B, N, 2)."""
    return (points - target).square().mean()
