"""Small invertible maps in float64, far from the identity, for the tests of flows."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from models.flows.cnf import ContinuousFlow
from models.flows.moving_batch_norm import MovingBatchNorm1d
from models.flows.realnvp import RealNVP


def continuous_flow(
    style_dim: int = 3, hidden: tuple[int, ...] = (8, 8), tolerance: float = 1e-8, **options: Any
) -> ContinuousFlow:
    """In evaluation mode, of two semantics, with a far from linear field."""
    torch.manual_seed(0)
    made = ContinuousFlow(style_dim, 2, hidden, tolerance=tolerance, **options).double()
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if "odefunc" in name:
                parameter.mul_(2)
        for index in (0, 2):
            made.chain[index].weight.normal_(std=0.3)
            made.chain[index].bias.normal_(std=0.3)
            made.chain[index].running_mean.normal_(std=0.3)
            made.chain[index].running_var.uniform_(0.5, 1.5)
    return made.eval()


def codes(count: int = 2, styles: int = 2, style_dim: int = 3, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Latent codes (B, L, D) and semantics (B, 2)."""
    generator = torch.Generator().manual_seed(seed)
    w = torch.randn(count, styles, style_dim, dtype=torch.float64, generator=generator)
    return w, torch.rand(count, 2, dtype=torch.float64, generator=generator)


def realnvp() -> RealNVP:
    """In evaluation mode, for style vectors of 4, its statistics those of a few batches."""
    torch.manual_seed(0)
    network = RealNVP(4, couplings=3, width=8).double()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    network.train()
    for _ in range(3):
        network(torch.randn(64, 4, dtype=torch.float64) * torch.tensor([1.0, 2.0, 0.5, 3.0]) + 1)
    return network.eval()


def moving_batch_norm(features: int = 3, immediate: bool = False) -> MovingBatchNorm1d:
    """In training mode."""
    torch.manual_seed(0)
    layer = MovingBatchNorm1d(features, immediate=immediate).double()
    with torch.no_grad():
        layer.weight.normal_(std=0.3)
        layer.bias.normal_()
        layer.running_mean.normal_()
        layer.running_var.uniform_(0.5, 2.0)
    return layer
