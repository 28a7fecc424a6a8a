"""Path length regularisation: steps of equal length in W should change the image by equal amounts."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def path_lengths(image: Tensor, latent: Tensor) -> Tensor:
    """‖Jᵀy‖ for one random image y ~ N(0, 1/(H·W)) per sample, (B,), differentiable.

    "Analyzing and Improving the Image Quality of StyleGAN" (2020, eq. 4); the square root is taken of the mean over the
    L rows, so that the length does not grow with the number of layers.

    Args:
        image: (B, C, H, W), computed from `latent` with `latent.requires_grad`.
        latent: (B, L, D).
    """
    noise = torch.randn_like(image) / math.sqrt(image.shape[2] * image.shape[3])
    (gradient,) = torch.autograd.grad((image * noise).sum(), latent, create_graph=True)
    return gradient.square().sum(2).mean(1).sqrt()


def path_length_penalty(lengths: Tensor, mean_length: Tensor) -> Tensor:
    """Mean of (‖Jᵀy‖ − a)², where a is the running mean of the lengths (a constant)."""
    return (lengths - mean_length.detach()).square().mean()
