"""Interfaces of a domain's networks.

Images are (B, 3, H, W) in [−1, 1]. The networks are PyTorch modules, frozen and in evaluation mode.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from torch import Tensor, nn


class Network(Protocol):
    """What this project uses of any PyTorch module."""

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]: ...

    def get_submodule(self, target: str) -> nn.Module: ...

    def state_dict(self) -> dict[str, Tensor]: ...


@runtime_checkable
class Generator(Network, Protocol):
    """G: latent codes to pictures."""

    style_dim: int
    """D: width of a style vector."""

    @property
    def z_shape(self) -> tuple[int, ...]:
        """Shape of the z of a picture: (Z,), or (L, Z) where each style vector has its own."""

    @property
    def latent_count(self) -> int:
        """L: style vectors in a code."""

    def mapping(self, z: Tensor) -> Tensor:
        """Style vectors (B, D), or codes (B, L, D), of z (B, *z_shape), standard normal."""

    def broadcast(self, w: Tensor) -> Tensor:
        """w (B, D) as a code (B, L, D) of equal style vectors; a code stays."""

    def synthesis(self, latent: Tensor, noise: str = "constant", recompute_from: int | None = None) -> Tensor:
        """Pictures (B, 3, size, size), around [−1, 1], of codes (B, L, D); differentiable.

        Args:
            noise: "constant", "random" or "none".
            recompute_from: levels of this side and above are computed again in the backward pass.
        """


class ImageNetwork(Network, Protocol):
    """Images (B, 3, H, W) to a tensor."""

    def __call__(self, image: Tensor) -> Tensor: ...


@runtime_checkable
class Encoder(ImageNetwork, Protocol):
    """E_img: called with images, gives codes (B, L, D) relative to the mean code."""

    style_count: int
    """L: style vectors in a code."""
    style_dim: int
    """D: width of a style vector."""

    def takes(self, side: int) -> bool:
        """Whether it is made for images of this side."""


@runtime_checkable
class Classifier(ImageNetwork, Protocol):
    """C, C_eval: called with images, gives logits (B, O), a column for each of the domain's `classifier_outputs`."""

    def features(self, image: Tensor) -> Tensor:
        """Input of the attribute heads, (B, F)."""


@runtime_checkable
class RecognitionNetwork(ImageNetwork, Protocol):
    """Face recognition: called with cropped faces of the network's own side."""

    def embedding(self, image: Tensor) -> Tensor:
        """Unit-norm embeddings (B, E) of a domain's images, of any size."""


@runtime_checkable
class LatentSpace(Protocol):
    """A map between the codes of generator and encoder and those of a domain, and its inverse."""

    def enter(self, latent: Tensor) -> Tensor:
        """The domain's codes (…, D) of the networks' codes (…, D)."""

    def leave(self, latent: Tensor) -> Tensor:
        """The networks' codes (…, D) of the domain's; differentiable."""


@runtime_checkable
class FaceParser(ImageNetwork, Protocol):
    """Called with images, gives logits (B, 19, H, W) of CelebAMask-HQ's classes; differentiable."""

    mask_classes: int
    """19."""
