"""Terms that compare a face with its inversion, and rows of a latent code."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from criteria.delta import delta_loss
from criteria.identity import identity_loss
from criteria.perceptual import output_and_features, perceptual_distance


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.Flatten(), nn.Linear(5 * 16, 2))


def test_features_come_from_the_named_layers_and_no_hook_stays() -> None:
    net = network()
    image = torch.randn(2, 3, 8, 8)
    output, (first, second) = output_and_features(net, ["1", "2"], image)
    torch.testing.assert_close(output, net(image))
    torch.testing.assert_close(first, net[1](net[0](image)))
    torch.testing.assert_close(second, net[2](first))
    assert not any(module._forward_hooks for module in net.modules())


def test_an_unknown_layer_is_an_error() -> None:
    with pytest.raises(AttributeError, match="layer9"):
        output_and_features(network(), ["layer9"], torch.zeros(1, 3, 8, 8))


def test_perceptual_distance_compares_directions_of_channels() -> None:
    east, north = torch.zeros(2, 4, 3, 3), torch.zeros(2, 4, 3, 3)
    east[:, 0], north[:, 1] = 2.0, 5.0
    assert perceptual_distance([east], [3 * east]).item() < 1e-10  # brightness of a map does not count
    torch.testing.assert_close(perceptual_distance([east, east], [north, east]), torch.tensor(2.0))
    half = north.clone()
    half[:, :, :, 0] = east[:, :, :, 0]
    torch.testing.assert_close(perceptual_distance([half], [north]), torch.tensor(2.0 / 3))


def test_identity_loss_is_the_mean_of_one_minus_cosine() -> None:
    one = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    other = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-0.6, -0.8]])
    torch.testing.assert_close(identity_loss(one, other), torch.tensor((0.0 + 1.0 + 2.0) / 3))


def test_delta_loss_sums_the_norms_of_offsets() -> None:
    latent = torch.tensor([[[1.0, 1.0], [4.0, 5.0], [1.0, 3.0]], [[0.0, 0.0], [0.0, 0.0], [0.0, 1.0]]])
    torch.testing.assert_close(delta_loss(latent), torch.tensor((5.0 + 2.0 + 0.0 + 1.0) / 2))


def test_delta_loss_of_equal_rows_has_a_finite_gradient() -> None:
    latent = torch.ones(2, 4, 3, requires_grad=True)
    delta_loss(latent).backward()
    assert latent.grad is not None and torch.isfinite(latent.grad).all()
    assert delta_loss(latent[:, :1]).item() == 0  # the first stage has no offsets
