"""Equal steps as a solver of torchdiffeq: how it is registered, what it takes, and the gradient of its steps."""

from __future__ import annotations

import gc
import sys
import weakref
from typing import Any

import pytest
import torch
from torch import Tensor
from torchdiffeq import odeint

from models.flows import equal_steps, runge_kutta
from models.flows.concat_squash import ConcatSquashNetwork
from models.flows.field import FlowField
from models.flows.runge_kutta import Solution
from models.flows.solve import solve


def solved(field: FlowField, start: Tensor, tolerance: float) -> Solution:
    return solve(field, start, "equal_steps", tolerance, steps=1, adjoint=False)


def problem(directions: int = 0) -> tuple[FlowField, Tensor]:
    """A field and a state (2, 2, 3) in float64."""
    torch.manual_seed(0)
    net = ConcatSquashNetwork(3, [4], 2).double()
    chunks = list(torch.randn(directions, 2, 2, 3).double().split(2)) if directions else []
    end = torch.tensor(1.0, dtype=torch.float64)
    return FlowField(net, net.condition(torch.rand(2, 2).double()), end, True, chunks), torch.randn(2, 2, 3).double()


def test_torchdiffeq_knows_the_solver_by_name() -> None:
    table = sys.modules["torchdiffeq._impl.odeint"].SOLVERS
    assert table.get("equal_steps") is equal_steps.EqualSteps, "torchdiffeq takes its solvers from another table now"
    field, start = problem()
    times = torch.tensor([0.0, 1.0], dtype=torch.float64)
    path = odeint(field, start, times, rtol=1e-5, atol=1e-5, method="equal_steps")
    assert torch.equal(path[0], start) and torch.equal(path[1], solved(field, start, 1e-5).end)
    assert not torch.allclose(path[1], start)


def test_a_table_that_moved_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchdiffeq._impl.odeint", None)
    with pytest.raises(ImportError, match="no table torchdiffeq._impl.odeint.SOLVERS.*pip install torchdiffeq=="):
        equal_steps.register()


def test_what_it_cannot_solve_is_an_error() -> None:
    (field, start), times = problem(), torch.tensor([0.0, 1.0], dtype=torch.float64)
    same: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-5, "method": "equal_steps"}
    with pytest.raises(TypeError, match="solves a FlowField"):
        odeint(lambda t, y: -y, start, times, **same)
    with pytest.raises(TypeError, match="increasing times"):
        odeint(field, start, times.flip(0), **same)
    with pytest.raises(ValueError, match="one tolerance"):
        odeint(field, start, times, **same | {"atol": 1e-6})
    with pytest.raises(ValueError, match="no gradient of the times"):
        odeint(field, start, times.clone().requires_grad_(), **same)
    with pytest.raises(ValueError, match="no options"):
        odeint(field, start, times, options={"step_size": 0.1}, **same)


@pytest.mark.parametrize("directions", [0, 2])
@torch.no_grad()
def test_times_between_the_ends(directions: int) -> None:
    field, start = problem(directions)
    whole = solved(field, start, 1e-9)
    times = torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64)
    state = (start, torch.zeros_like(start[..., 0])) if directions else start
    path = odeint(field, state, times, rtol=1e-9, atol=1e-9, method="equal_steps")
    for values, expected in zip(path, (whole.end, whole.integral), strict=True) if directions else [(path, whole.end)]:
        assert len(values) == 3 and not torch.allclose(values[1], values[2])
        torch.testing.assert_close(values[2], expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("directions", [0, 1, 3])
@pytest.mark.parametrize("forward", [True, False])
def test_gradients_are_those_of_the_steps_taken(forward: bool, directions: int) -> None:
    """Coarse steps: a gradient of the exact flow would differ from that of the solution that is returned."""
    torch.manual_seed(0)
    net = ConcatSquashNetwork(3, [4], 2).double()
    names = list(dict(net.named_parameters()))
    z, s = torch.randn(2, 2, 3, dtype=torch.float64), torch.rand(2, 2, dtype=torch.float64)
    chunks = list(torch.randn(directions, 2, 2, 3, dtype=torch.float64).split(2)) if directions else []

    def solution(z: Tensor, s: Tensor, end: Tensor, *parameters: Tensor) -> Any:
        wrapped = _Solution(net, chunks, forward)
        own = {f"net.{name}": value for name, value in zip(names, parameters, strict=True)}
        return torch.func.functional_call(wrapped, own, (z, s, end))

    inputs = (z, s, torch.tensor(1.3, dtype=torch.float64), *(p.detach() * 3 for p in net.parameters()))
    assert torch.autograd.gradcheck(solution, tuple(value.requires_grad_() for value in inputs))


class _Solution(torch.nn.Module):
    def __init__(self, net: ConcatSquashNetwork, directions: list[Tensor], forward: bool) -> None:
        super().__init__()
        self.net, self.directions, self.to_gaussian = net, directions, forward

    def forward(self, z: Tensor, s: Tensor, end: Tensor) -> Any:
        field = FlowField(self.net, self.net.condition(s), end, self.to_gaussian, self.directions)
        solution = solved(field, z, 1e-2)
        return solution.end if solution.integral is None else (solution.end, solution.integral)


def test_gradients_after_a_refused_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first stage of a step that is taken anew is evaluated once and counts once."""
    field, start = problem(directions=1)
    start.requires_grad_()

    def gradients() -> list[Tensor]:
        solution = solved(field, start, 1e-9)
        assert solution.integral is not None
        inputs = [start, *field.network.linear_parameters()]
        return list(torch.autograd.grad(solution.end.square().sum() + solution.integral.sum(), inputs))

    expected, evaluations = gradients(), field.evaluations
    own, first = runge_kutta._change, [9.0]  # as if the trial step had found the field very smooth
    monkeypatch.setattr(runge_kutta, "_change", lambda *args: first.pop() if first else own(*args))
    found = gradients()
    assert field.evaluations > 2 * evaluations
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-7)


def test_weights_that_change_before_backward_are_an_error() -> None:
    field, start = problem()
    end = solved(field, start, 1e-3).end
    with torch.no_grad():
        field.network.layers[0]._layer.weight.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        end.sum().backward()


def test_a_solution_holds_no_memory_after_backward() -> None:
    gc.disable()
    try:
        field, start = problem(directions=1)
        solution = solved(field, start, 1e-3)
        held = weakref.ref(field)
        del field
        assert held() is not None  # by the graph
        assert solution.integral is not None
        (solution.end.sum() + solution.integral.sum()).backward()
        del solution
        assert held() is None
    finally:
        gc.enable()
