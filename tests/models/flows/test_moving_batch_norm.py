"""Normalisation by running statistics: invertible, and still during a training step."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from models.flows.moving_batch_norm import EPSILON, MovingBatchNorm1d
from tests.flows import moving_batch_norm


def vectors() -> Tensor:
    return torch.randn(4, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 3 + 1


def test_it_is_the_printed_formula() -> None:
    layer, x = moving_batch_norm().eval(), vectors()
    expected = (x - layer.running_mean) / torch.sqrt(layer.running_var + EPSILON) * layer.weight.exp() + layer.bias
    torch.testing.assert_close(layer(x), expected)


def test_a_training_step_sees_one_set_of_statistics_until_its_end() -> None:
    layer, x = moving_batch_norm().train(), vectors()
    mean, variance = layer.running_mean.clone(), layer.running_var.clone()
    torch.testing.assert_close(layer.inverse(layer(x)), x)
    torch.testing.assert_close(layer.running_mean, mean, rtol=0, atol=0)
    layer.update()
    flat = x.reshape(-1, 3).numpy()
    torch.testing.assert_close(layer.running_mean, 0.9 * mean + 0.1 * torch.from_numpy(flat.mean(0)))
    torch.testing.assert_close(layer.running_var, 0.9 * variance + 0.1 * torch.from_numpy(flat.var(0, ddof=1)))
    after = layer.running_mean.clone()
    layer.update()  # the batch is used up
    torch.testing.assert_close(layer.running_mean, after, rtol=0, atol=0)


def test_the_published_order_updates_at_once() -> None:
    late, early, x = moving_batch_norm().train(), moving_batch_norm(immediate=True).train(), vectors()
    torch.testing.assert_close(early(x), late(x))  # this batch is still normalised with the old statistics
    late.update()
    torch.testing.assert_close(early.running_mean, late.running_mean)
    torch.testing.assert_close(early.running_var, late.running_var)
    assert not torch.allclose(early.inverse(early(x)), x, atol=1e-3)


def test_evaluation_leaves_statistics_alone() -> None:
    layer = moving_batch_norm(immediate=True).eval()
    before = layer.running_mean.clone()
    layer(vectors())
    layer.update()
    torch.testing.assert_close(layer.running_mean, before, rtol=0, atol=0)


@pytest.mark.parametrize("immediate", [False, True])
def test_gradients_are_right_in_both_modes(immediate: bool) -> None:
    layer, x = moving_batch_norm(immediate=immediate).train(), vectors().requires_grad_()
    mean, variance = layer.running_mean.clone(), layer.running_var.clone()

    def value_and_log_det(x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        layer.running_mean.copy_(mean)
        layer.running_var.copy_(variance)
        parameters = {"layer.weight": weight, "layer.bias": bias}
        return torch.func.functional_call(_WithLogDet(layer), parameters, x)

    assert torch.autograd.gradcheck(value_and_log_det, (x, layer.weight, layer.bias))


class _WithLogDet(torch.nn.Module):
    def __init__(self, layer: MovingBatchNorm1d) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.layer.forward_and_log_det(x)


def test_the_log_determinant_is_of_the_statistics_that_normalised() -> None:
    layer, x = moving_batch_norm(immediate=True).train(), vectors()
    before = moving_batch_norm().eval().forward_and_log_det(x)
    torch.testing.assert_close(layer.forward_and_log_det(x), before)
    assert not torch.allclose(layer.forward_and_log_det(x)[1], before[1])  # this batch has entered
