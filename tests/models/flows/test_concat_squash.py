"""The right-hand side: its published formula, and tangents carried forward."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from models.flows.concat_squash import ConcatSquashNetwork

T = 0.37


def network(hidden: tuple[int, ...] = (7, 6)) -> ConcatSquashNetwork:
    torch.manual_seed(0)
    net = ConcatSquashNetwork(4, list(hidden), 2).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(2)  # far from linear
    return net


def state() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    z = torch.randn(2, 3, 4, dtype=torch.float64, generator=generator)
    return z, torch.rand(2, 2, dtype=torch.float64, generator=generator)


@torch.no_grad()
def test_it_is_the_published_stack() -> None:
    net, (z, s) = network(), state()
    context = np.concatenate([np.full((2, 1), T), s.numpy()], axis=1)
    x = z.numpy()
    for index, layer in enumerate(net.layers):
        gate = 1 / (1 + np.exp(-(context @ layer._hyper_gate.weight.numpy().T + layer._hyper_gate.bias.numpy())))
        shift = context @ layer._hyper_bias.weight.numpy().T
        linear = x @ layer._layer.weight.numpy().T + layer._layer.bias.numpy()
        x = linear * gate[:, None] + shift[:, None]
        if index < len(net.layers) - 1:
            x = np.tanh(x)
    np.testing.assert_allclose(net(T, z, net.condition(s)).numpy(), x, rtol=1e-10)


@pytest.mark.parametrize("hidden", [(), (5,), (7, 6)])
def test_tangents_are_forward_mode_derivatives(hidden: tuple[int, ...]) -> None:
    net, (z, s) = network(hidden), state()
    condition = net.condition(s)
    directions = torch.randn(3, *z.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    evaluation = net.evaluate(T, z, condition)
    torch.testing.assert_close(evaluation.value, net(T, z, condition))
    tangents = net.push_forward(evaluation, directions).value
    for direction, tangent in zip(directions, tangents, strict=True):
        _, expected = torch.func.jvp(lambda x: net(T, x, condition), (z,), (direction,))
        torch.testing.assert_close(tangent, expected)


def test_gradients_of_the_tangent() -> None:
    """Training differentiates eᵀ J e: second derivatives, in reverse over the forward pass."""
    net, (z, s) = network((3,)), state()
    direction = torch.randn(1, *z.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    names, values = zip(*net.named_parameters(), strict=True)

    def quadratic(z: Tensor, s: Tensor, *parameters: Tensor) -> Tensor:
        own = {f"net.{name}": value for name, value in zip(names, parameters, strict=True)}
        return torch.func.functional_call(_Quadratic(net, direction), own, (z, s))

    assert torch.autograd.gradcheck(quadratic, (z.requires_grad_(), s.requires_grad_(), *values))


class _Quadratic(torch.nn.Module):
    def __init__(self, net: ConcatSquashNetwork, direction: Tensor) -> None:
        super().__init__()
        self.net, self.direction = net, direction

    def forward(self, z: Tensor, s: Tensor) -> Tensor:
        tangents = self.net.push_forward(self.net.evaluate(T, z, self.net.condition(s)), self.direction)
        return (self.direction * tangents.value).sum()


@torch.no_grad()
def test_style_vectors_and_faces_do_not_touch() -> None:
    net, (z, s) = network(), state()
    before = net(T, z, net.condition(s))
    z[1, 2] += 1
    changed = (net(T, z, net.condition(s)) != before).any(-1)
    assert changed.tolist() == [[False, False, False], [False, False, True]]
