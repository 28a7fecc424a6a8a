"""SDFlow's four terms against their formulas in NumPy, and their gradients."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from criteria.distillation import distillation
from criteria.latent_distance import latent_distance
from criteria.likelihood import negative_log_likelihood
from criteria.mutual_information import mutual_information


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_likelihood_is_the_change_of_variables() -> None:
    """For z = (w − m) / σ the likelihood of w is that of independent normals."""
    w, mean, scale = drawn(5, 2, 3), drawn(3, seed=1), drawn(3, seed=2).exp()
    log_det = -scale.log().sum().expand(5, 2)
    value = negative_log_likelihood((w - mean) / scale, log_det)
    expected = -torch.distributions.Normal(mean, scale).log_prob(w).mean()
    torch.testing.assert_close(value, expected)


def test_likelihood_formula_and_gradient() -> None:
    z, log_det = drawn(4, 2, 3), drawn(4, 2, seed=1)
    rows = [
        0.5 * (z[b].numpy() ** 2).sum() + 0.5 * 6 * math.log(2 * math.pi) - log_det[b].numpy().sum() for b in range(4)
    ]
    np.testing.assert_allclose(negative_log_likelihood(z, log_det).item(), np.mean(rows) / 6, rtol=1e-12)
    assert torch.autograd.gradcheck(negative_log_likelihood, (z.requires_grad_(), log_det.requires_grad_()))


def test_distillation_teaches_one_side_only() -> None:
    semantics, teacher = drawn(4, 3).requires_grad_(), drawn(4, 3, seed=1).requires_grad_()
    value = distillation(semantics, teacher)
    expected = np.mean((semantics.detach().numpy() - teacher.detach().numpy()) ** 2)
    np.testing.assert_allclose(value.item(), expected, rtol=1e-12)
    value.backward()
    assert teacher.grad is None
    assert torch.autograd.gradcheck(lambda s: distillation(s, teacher), (semantics,))


def test_mutual_information_moves_the_picture_not_the_wish() -> None:
    recovered, wanted = drawn(4, 3).requires_grad_(), drawn(4, 3, seed=1).requires_grad_()
    value = mutual_information(recovered, wanted)
    expected = np.mean((recovered.detach().numpy() - wanted.detach().numpy()) ** 2)
    np.testing.assert_allclose(value.item(), expected, rtol=1e-12)
    value.backward()
    assert wanted.grad is None
    assert torch.autograd.gradcheck(lambda r: mutual_information(r, wanted), (recovered,))


def test_latent_distance() -> None:
    edited, original = drawn(4, 2, 3), drawn(4, 2, 3, seed=1)
    expected = np.mean((edited.numpy() - original.numpy()) ** 2)
    np.testing.assert_allclose(latent_distance(edited, original).item(), expected, rtol=1e-12)
    assert torch.autograd.gradcheck(latent_distance, (edited.requires_grad_(), original.requires_grad_()))
