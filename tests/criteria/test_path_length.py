"""Path lengths of a linear generator, whose Jacobian is known."""

from __future__ import annotations

import torch
from torch import Tensor

from criteria.path_length import path_length_penalty, path_lengths

BATCH, ROWS, WIDTH, SIDE = 3, 4, 5, 6


def linear_generator(weight: Tensor, latent: Tensor) -> Tensor:
    return (latent.flatten(1) @ weight).view(-1, 3, SIDE, SIDE)


def inputs() -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1)
    weight = torch.randn(ROWS * WIDTH, 3 * SIDE * SIDE, generator=draw, dtype=torch.float64)
    latent = torch.randn(BATCH, ROWS, WIDTH, generator=draw, dtype=torch.float64)
    return weight.requires_grad_(), latent.requires_grad_()


def test_lengths_of_a_linear_generator() -> None:
    weight, latent = inputs()
    torch.manual_seed(2)
    lengths = path_lengths(linear_generator(weight, latent), latent)
    torch.manual_seed(2)
    y = torch.randn(BATCH, 3, SIDE, SIDE, dtype=torch.float64) / SIDE
    rows = (y.flatten(1) @ weight.T).view(BATCH, ROWS, WIDTH)
    torch.testing.assert_close(lengths, (rows.square().sum((1, 2)) / ROWS).sqrt())


def test_gradient_of_the_penalty_agrees_with_finite_differences() -> None:
    weight, latent = inputs()

    def penalty(weight: Tensor) -> Tensor:
        torch.manual_seed(3)
        image = torch.tanh(linear_generator(weight, latent))
        return path_length_penalty(path_lengths(image, latent), torch.tensor(0.7, dtype=torch.float64))

    (gradient,) = torch.autograd.grad(penalty(weight), weight)
    direction = torch.randn(weight.shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    step = 1e-5
    numeric = (penalty(weight + step * direction) - penalty(weight - step * direction)) / (2 * step)
    torch.testing.assert_close((gradient * direction).sum(), numeric.detach(), rtol=1e-6, atol=0)


def test_the_share_of_the_lengths_in_their_mean_has_a_gradient() -> None:
    lengths = torch.tensor([1.0, 3.0], requires_grad=True)
    penalty = path_length_penalty(lengths, torch.tensor(0.0).lerp(lengths.mean(), 0.25))
    assert penalty.item() == (0.25 + 6.25) / 2
    (gradient,) = torch.autograd.grad(penalty, lengths)
    torch.testing.assert_close(gradient, torch.tensor([0.5, 2.5]) - 0.25 * 1.5)
