"""GAN losses and the gradient penalty against their formulas."""

from __future__ import annotations

import math

import torch

from criteria.adversarial import discriminator_loss, generator_loss, r1_penalty

REAL, FAKE = torch.tensor([[0.3], [-2.0], [4.0]]), torch.tensor([[1.5], [-0.7], [0.0]])


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def test_discriminator_loss_is_the_cross_entropy_of_real_and_fake() -> None:
    expected = sum(-math.log(sigmoid(s)) for s in REAL.flatten().tolist()) / 3
    expected += sum(-math.log(1 - sigmoid(s)) for s in FAKE.flatten().tolist()) / 3
    torch.testing.assert_close(discriminator_loss(REAL, FAKE), torch.tensor(expected))


def test_generator_loss_does_not_saturate() -> None:
    expected = sum(-math.log(sigmoid(s)) for s in FAKE.flatten().tolist()) / 3
    torch.testing.assert_close(generator_loss(FAKE), torch.tensor(expected))
    lost = torch.tensor([[-50.0]], requires_grad=True)
    generator_loss(lost).backward()
    torch.testing.assert_close(lost.grad, torch.tensor([[-1.0]]))


def test_losses_stay_finite_for_large_scores() -> None:
    large = torch.tensor([[1e4]])
    assert discriminator_loss(-large, large).item() == 2e4
    assert generator_loss(large).item() == 0


def test_r1_penalty_of_a_quadratic_score_and_its_gradient() -> None:
    """D(x) = ½ Σ c·x² has the gradient c·x; the penalty ½ mean Σ (c·x)² has the gradient mean c·x² in c."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(5, 3, 4, 4, generator=draw, dtype=torch.float64).requires_grad_()
    c = torch.randn(3, 4, 4, generator=draw, dtype=torch.float64).requires_grad_()
    scores = 0.5 * (c * x.square()).flatten(1).sum(1, keepdim=True)
    penalty = r1_penalty(scores, x)
    torch.testing.assert_close(penalty, 0.5 * (c * x).square().sum() / 5)
    penalty.backward()
    torch.testing.assert_close(c.grad, (c * x.square()).mean(0).detach())
