"""Path length regularisation: steps of equal length in W should change the image by equal amounts."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def path_gradients(image: Tensor, latent: Tensor, noise: Tensor | None = None) -> Tensor:
    """Jᵀy for one image y ~ N(0, 1/(H·W)) per sample, (B, L, D), differentiable.

    Args:
        image: (B, C, H, W), computed from `latent` with `latent.requires_grad`.
        latent: (B, L, D).
        noise: √(H·W) y, standard normal; random by default.
    """
    noise = torch.randn_like(image) if noise is None else noise
    pixels = image.shape[2] * image.shape[3]
    return torch.autograd.grad((image * noise).sum() / math.sqrt(pixels), latent, create_graph=True)[0]


def path_lengths(image: Tensor, latent: Tensor, noise: Tensor | None = None) -> Tensor:
    """‖Jᵀy‖ per sample, (B,), differentiable; arguments as in `path_gradients`.

    "Analyzing and Improving the Image Quality of StyleGAN" (2020, eq. 4); the square root is taken of the mean over the
    L rows, so that the length does not grow with the number of layers.
    """
    return path_gradients(image, latent, noise).square().sum(2).mean(1).sqrt()


def path_length_penalty(lengths: Tensor, mean_length: Tensor) -> Tensor:
    """Mean of (‖Jᵀy‖ − a)².

    Args:
        mean_length: a, the running mean of the lengths. The published trainings let the gradient flow through the
            share that these very lengths have in it.
    """
    return (lengths - mean_length).square().mean()
