"""The networks in bfloat16, for a measurement: autocast around each convolutional network, float32 at its border.

The flow stays in float32, since its solver asks for more digits than bfloat16 has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from models.domain import Domain


def in_bfloat16(function: Callable[..., Tensor], device: torch.device) -> Callable[..., Tensor]:
    """The function under autocast, its result in float32."""

    def low(*arguments: Any, **options: Any) -> Tensor:
        with torch.autocast(device.type, dtype=torch.bfloat16):
            return function(*arguments, **options).float()

    return low


def use_bfloat16(domain: Domain, semantic_encoder: nn.Module) -> None:
    """Let the generator, the encoder and the semantic encoder compute in bfloat16 from now on."""
    domain.generator.synthesis = in_bfloat16(domain.generator.synthesis, domain.device)
    for network in (domain.encoder, semantic_encoder):
        network.forward = in_bfloat16(network.forward, domain.device)
