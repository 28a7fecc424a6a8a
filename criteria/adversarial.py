"""Non-saturating logistic GAN losses and their gradient penalty. A score is a logit: high means real."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def discriminator_loss(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """−log σ(D(x)) − log(1 − σ(D(G(z)))), means over the batch ("Generative Adversarial Nets", 2014, eq. 1)."""
    return F.softplus(-real_scores).mean() + F.softplus(fake_scores).mean()


def generator_loss(fake_scores: Tensor) -> Tensor:
    """−log σ(D(G(z))), the non-saturating form ("Generative Adversarial Nets", 2014, section 3)."""
    return F.softplus(-fake_scores).mean()


def r1_penalty(real_scores: Tensor, real: Tensor) -> Tensor:
    """½‖∂D(x)/∂x‖², summed over x and averaged over the batch, differentiable.

    "Which Training Methods for GANs do actually Converge?" (2018, eq. 9), without its factor γ.

    Args:
        real_scores: D(real), computed from `real` with `real.requires_grad`.
        real: (B, ...).
    """
    (gradient,) = torch.autograd.grad(real_scores.sum(), real, create_graph=True)
    return 0.5 * gradient.square().flatten(1).sum(1).mean()
