"""Training against e4e's latent discriminator, which keeps codes in the distribution of the mapping network ("Designing
an Encoder for StyleGAN Image Manipulation", 2021, section 3.3.2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from criteria.adversarial import discriminator_loss, r1_penalty
from models import NETWORKS
from models.domain import Domain
from models.encoders.latent_discriminator import LatentDiscriminator
from training.method import Phase
from utils.config import ConfigError, as_section

ADVERSARIAL = "adversarial"
PHASE = "latent_discriminator"
PHASE_TERMS = ("latent_discriminator", "latent_r1")


def build_discriminator(section: dict[str, Any] | None, terms: Sequence[str], domain: Domain) -> Any:
    """The latent discriminator of a method's section, or None without one.

    Raises:
        ConfigError: the section without the term `adversarial`, or the term without the section.
    """
    if (ADVERSARIAL in terms) != (section is not None):
        raise ConfigError("method: the term 'adversarial' and the section 'latent_discriminator' need each other")
    if section is None:
        return None
    section = as_section(section, "method.latent_discriminator")
    return NETWORKS.build_a(LatentDiscriminator, section, style_dim=domain.style_dim)


def discriminator_phase(discriminator: LatentDiscriminator, learning_rate: float) -> Phase:
    """The phase in which the discriminator learns, after that of the codes."""
    parameters = list(discriminator.parameters())
    return Phase(PHASE, parameters, torch.optim.Adam(parameters, lr=learning_rate, betas=(0.0, 0.99)))


def discriminator_losses(discriminator: LatentDiscriminator, codes: Tensor, domain: Domain) -> dict[str, Tensor]:
    """The phase's terms: `latent_discriminator`, and `latent_r1`, ½‖∂D/∂w‖² on mapped codes.

    Args:
        codes: rows (B, N, D), without gradient; as many rows are mapped from z.
    """
    shape = domain.generator.z_shape
    count = codes.shape[0] * codes.shape[1] // math.prod(shape[:-1])
    z = torch.randn(max(count, 1), *shape, device=codes.device)
    with torch.no_grad():
        real = domain.generator.mapping(z).flatten(0, -2)  # of a transformer all rows of each code
    real.requires_grad_()
    real_scores = discriminator(real)
    return {
        "latent_discriminator": discriminator_loss(real_scores, discriminator(codes)),
        "latent_r1": r1_penalty(real_scores, real),
    }
