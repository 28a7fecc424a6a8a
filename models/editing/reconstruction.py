"""How far a domain's encoder and generator are from reproducing a picture."""

from __future__ import annotations

from torch import Tensor

from models.domain import Domain

_LEAST_VARIANCE = 1e-3  # of pixels in [−1, 1]: below it a picture counts as flat


def reconstruction_distance(domain: Domain, image: Tensor, inversion: Tensor) -> Tensor:
    """Share (B,) of each picture's variance that its inversion leaves unexplained: mean squared error / variance.

    0 is a perfect inversion, 1 is as good as a single colour. The share, unlike the error itself, also tells pictures
    of low contrast, which are near to everything, from faces; and it needs no network.

    Args:
        domain: gives the side at which pictures are compared.
        image, inversion: (B, 3, S, S) in [−1, 1].
    """
    image, inversion = domain.resized(image), domain.resized(inversion)
    error = (inversion - image).square().flatten(1).mean(1)
    variance = image.flatten(2).var(2, correction=0).mean(1)
    return error / variance.clamp_min(_LEAST_VARIANCE)
