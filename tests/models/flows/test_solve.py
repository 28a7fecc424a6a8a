"""Every solver that a config can name, with either gradient, against a float64 solution far below its error."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import Tensor

from models import NETWORKS
from models.flows import cnf
from models.flows.cnf import ContinuousFlow
from models.flows.field import FlowField, unit_vectors
from models.flows.solve import ADAPTIVE, FIXED_GRID, odeint, solve
from tests.flows import codes, continuous_flow
from utils.config import ConfigError, Section, as_section, load_config

SOLVERS = get_args(cnf.Solver)
TOLERANCE = {"adaptive_heun": 1e-4, "fehlberg2": 1e-5}  # of order 2: 1e-7 takes them thousands of steps
ERROR = {"euler": 0.1, "midpoint": 3e-3, "heun2": 3e-3, "heun3": 1e-4, "explicit_adams": 1e-4}  # of 32 steps
ERROR |= {"adaptive_heun": 2e-3, "fehlberg2": 5e-3}
COMBINATIONS = [
    (solver, gradient)
    for solver in SOLVERS
    for gradient in ("backpropagation", "adjoint")
    if cnf.UNSUPPORTED_GRADIENTS.get(solver) != gradient
]


def outputs_and_gradients(net: ContinuousFlow) -> list[Tensor]:
    """z, its log-determinant and w_e of a training step's two solves, and all gradients."""
    w, s = codes()
    probe = torch.randn(w.shape, dtype=w.dtype, generator=torch.Generator().manual_seed(4))
    inputs = [w.requires_grad_(), s.requires_grad_()]
    z, log_det = net.forward_and_log_det(w, s, probe)
    edited = net.inverse(z, s.flip(0))
    loss = z.square().mean() - log_det.mean() + (edited - w).square().mean()
    return [z, log_det, edited, *torch.autograd.grad(loss, [*inputs, *net.parameters()])]


@pytest.fixture(scope="module")
def exact() -> list[Tensor]:
    return outputs_and_gradients(continuous_flow(trainable_end_time=True, tolerance=1e-11))


@pytest.mark.parametrize(("solver", "gradient"), COMBINATIONS)
def test_every_combination_finds_the_float64_solution(solver: str, gradient: str, exact: list[Tensor]) -> None:
    tolerance = TOLERANCE.get(solver, 1e-7)
    net = continuous_flow(trainable_end_time=True, tolerance=tolerance, solver=solver, gradient=gradient, steps=32)
    for value, expected in zip(outputs_and_gradients(net), exact, strict=True):
        assert (value - expected).norm() <= ERROR.get(solver, 1e-5) * expected.norm() + 1e-9


def test_the_names_are_torchdiffeqs() -> None:
    from torchdiffeq._impl.odeint import SOLVERS as table

    assert set(SOLVERS) == set(table) - {"fixed_adams"}  # an older name of implicit_adams
    assert set(SOLVERS) == {*ADAPTIVE, *FIXED_GRID, "equal_steps", "scipy_solver"}


@pytest.mark.parametrize("solver", ["equal_steps", "dopri5"])
def test_every_solve_is_torchdiffeqs_in_increasing_time(solver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def recorded(field, state, times, **settings):  # type: ignore[no-untyped-def]
        calls.append((settings["method"], times.tolist()))
        return odeint(field, state, times, **settings)

    monkeypatch.setattr("models.flows.solve.odeint", recorded)
    net, (w, s) = continuous_flow(solver=solver, tolerance=1e-4), codes()
    net.inverse(net(w, s), s)
    net.log_prob(w, s)
    assert calls == [(solver, [0.0, 1.0]), (solver, [-1.0, 0.0]), (solver, [0.0, 1.0])]


@pytest.mark.parametrize("solver", ["equal_steps", "dopri5"])
@torch.no_grad()
def test_the_trace_on_the_way_back_is_minus_that_on_the_way_there(solver: str) -> None:
    net, (z, s) = continuous_flow(end_time=1.7, tolerance=1e-9), codes()
    condition, units = net.velocity.condition(s), unit_vectors(z)
    there = solve(FlowField(net.velocity, condition, net.end_time, True, units), z, solver, 1e-9, 1, False)
    back = solve(FlowField(net.velocity, condition, net.end_time, False, units), there.end, solver, 1e-9, 1, False)
    assert there.integral is not None and back.integral is not None and there.integral.abs().min() > 1e-3
    torch.testing.assert_close(back.end, z, rtol=0, atol=1e-6)
    torch.testing.assert_close(back.integral, -there.integral, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("solver", "gradient"), [("equal_steps", "adjoint"), ("scipy_solver", "backpropagation")])
def test_a_gradient_that_a_solver_has_not_is_an_error(solver: str, gradient: str) -> None:
    with pytest.raises(ValueError, match=f"{solver} has no gradient by {gradient}; dopri5"):
        ContinuousFlow(3, 2, [4], solver=solver, gradient=gradient)


def test_the_authors_config_solves_as_published(exact: list[Tensor]) -> None:
    section = as_section(load_config("configs/sdflow/ffhq_authors.yaml")["method"]["flow"], "method.flow")
    built = NETWORKS.build(Section({**section, "hidden": [8, 8]}), style_dim=3, semantics=2)
    assert (built.solver, built.gradient, built.tolerance) == ("dopri5", "adjoint", 1e-5)
    assert isinstance(built.chain[1].sqrt_end_time, torch.nn.Parameter)
    net = built.double().eval()
    net.load_state_dict(continuous_flow(trainable_end_time=True).state_dict())
    for value, expected in zip(outputs_and_gradients(net), exact, strict=True):
        assert (value - expected).norm() <= 1e-3 * expected.norm() + 1e-9


def test_an_unknown_solver_is_an_error_of_the_config() -> None:
    with pytest.raises(ConfigError, match="solver.*'dopri5'.*'dopri6'"):
        NETWORKS.build(Section({"name": "continuous_flow", "solver": "dopri6"}))
