"""RealNVP: its density, and batch normalisation in training and after."""

from __future__ import annotations

import torch

from models.flows.realnvp import RealNVP
from tests.flows import realnvp


@torch.no_grad()
def test_density_is_that_of_the_gaussian_under_the_map() -> None:
    network, styles = realnvp(), torch.randn(2, 3, 4, dtype=torch.float64)
    z, log_det = network.forward_and_log_det(styles)
    normal = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)
    torch.testing.assert_close(network.log_prob(styles), normal + log_det)


def test_training_normalises_with_the_batch_and_ends_where_evaluation_begins() -> None:
    torch.manual_seed(0)
    network = RealNVP(4, couplings=1, width=8).double().train()
    styles = 3 * torch.randn(512, 4, dtype=torch.float64) + 2
    normalised, _ = network.layers[0].forward_and_log_det(styles)
    torch.testing.assert_close(normalised.mean(0), torch.zeros(4, dtype=torch.float64), atol=1e-9, rtol=0)
    torch.testing.assert_close(normalised.var(0, unbiased=False), torch.ones(4, dtype=torch.float64), rtol=1e-4, atol=0)
    for _ in range(200):
        network.layers[0].forward_and_log_det(styles)
    network.eval()
    torch.testing.assert_close(network.layers[0].forward_and_log_det(styles)[0], normalised, rtol=0, atol=1e-6)
