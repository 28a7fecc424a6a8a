"""Dormand and Prince's steps: the method's order, and as many steps as a field needs."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from models.flows.runge_kutta import ERROR, NODES, SOLUTION, STAGES, integrate


class Oscillation:
    """dz/dt = −ω² ∫z as a system in the last axis, with the integral of cos t beside it."""

    def __init__(self, frequency: float = 1.0) -> None:
        self.frequency = frequency

    def evaluate(self, t: float, z: Tensor) -> tuple[Tensor, float]:
        return self.frequency * torch.stack([z[..., 1], -z[..., 0]], dim=-1), t

    def integrand(self, t: float) -> Tensor:
        return torch.tensor([[math.cos(t)]], dtype=torch.float64)

    def pull_back(self, kept: Any, rate: Tensor, integrand: Tensor | None) -> Tensor:
        raise NotImplementedError


def start() -> Tensor:
    return torch.tensor([[[1.0, 0.0]]], dtype=torch.float64)


def test_the_table_is_consistent() -> None:
    for node, weights in zip(NODES[:6], STAGES, strict=True):
        assert sum(weights) == pytest.approx(node, abs=1e-14)
    assert sum(SOLUTION) == pytest.approx(1, abs=1e-14)
    assert sum(ERROR) == pytest.approx(0, abs=1e-14)


@pytest.mark.parametrize("forward", [True, False])
def test_it_is_of_order_five(forward: bool) -> None:
    times = (0.0, 2.0) if forward else (2.0, 0.0)
    errors, counts = [], []
    for tolerance in (1e-4, 1e-7, 1e-10):
        solution = integrate(Oscillation(), start(), *times, tolerance, keep=True)
        way = times[1] - times[0]
        exact = torch.tensor([math.cos(way), -math.sin(way)], dtype=torch.float64)
        errors.append((solution.end - exact).abs().max().item())
        counts.append(len(solution.steps))
        lengths = [abs(step.length) for step in solution.steps]
        assert max(lengths) < 1.5 * min(lengths)
        assert solution.evaluations <= 1 + 6 * (counts[-1] + 1)  # hardly one was refused
        assert errors[-1] < 10 * tolerance
        assert solution.integral is not None
        assert solution.integral.item() == pytest.approx(math.sin(times[1]) - math.sin(times[0]), abs=10 * tolerance)
    orders = [math.log(errors[i] / errors[i + 1]) / math.log(counts[i + 1] / counts[i]) for i in (0, 1)]
    assert all(order > 4.5 for order in orders)


def test_a_field_that_gets_harder_on_the_way_takes_more_steps_there() -> None:
    class Late(Oscillation):
        def evaluate(self, t: float, z: Tensor) -> tuple[Tensor, float]:
            rate, kept = super().evaluate(t, z)
            return rate * (1 + 40 * max(0.0, t - 1) ** 6), kept

    solution = integrate(Late(), start(), 0.0, 2.0, 1e-7, keep=True)
    lengths = [step.length for step in solution.steps]
    assert sum(lengths) == pytest.approx(2)
    assert lengths[-1] < 0.5 * lengths[0]
    angle = 2 + 40 / 7
    assert solution.end[0, 0, 0].item() == pytest.approx(math.cos(angle), abs=1e-5)


@pytest.mark.parametrize("frequency", [1e9, math.nan])
def test_what_no_step_can_follow_is_an_error(frequency: float) -> None:
    with pytest.raises(FloatingPointError):
        integrate(Oscillation(frequency), start(), 0.0, 1.0, 1e-6, keep=False)
