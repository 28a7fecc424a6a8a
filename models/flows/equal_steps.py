"""Dormand–Prince in equal steps as a solver of torchdiffeq: `odeint(field, y0, t, method="equal_steps")`.

The steps are those of `runge_kutta.py`. torchdiffeq's public options do not give them: `dopri5` interpolates the value
at the end of the way in float32 (20 times the error), and backpropagation through its steps takes 1.4 to 1.7 times as
long as their gradient in closed form.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from models.flows.concat_squash import Conditioning, Evaluation, Tangents
from models.flows.field import FlowField
from models.flows.runge_kutta import Solution, integrate, pull_back

EQUAL_STEPS = "equal_steps"


class EqualSteps:
    """Solver in the form of torchdiffeq's `ScipyWrapperODESolver`; gradients reach the state and the field's tensors.

    Args:
        func: a `FlowField` in torchdiffeq's wrappers.
        y0: the field's state; torchdiffeq flattens a tuple.
        rtol, atol: the same number: largest estimated error of a step, over 1 + |z|, as a root mean square.
        norm: torchdiffeq always passes one; not used.
    Raises:
        TypeError: another kind of right-hand side, or decreasing times.
        ValueError: two tolerances, options, or times that ask for a gradient.
    """

    def __init__(
        self, func: Any, y0: Tensor, rtol: float, atol: float, norm: Callable[..., Any] | None = None, **options: Any
    ) -> None:
        if rtol != atol or options:
            raise ValueError(f"{EQUAL_STEPS} takes one tolerance and no options: rtol {rtol}, atol {atol}, {options}")
        inner = func.base_func
        self.shapes: list[torch.Size] | None = getattr(inner, "shapes", None)  # of a tuple's tensors
        self.field = inner if self.shapes is None else inner.base_func
        if not isinstance(self.field, FlowField):
            raise TypeError(f"{EQUAL_STEPS} solves a FlowField over increasing times, not {type(self.field).__name__}")
        self.y0, self.tolerance = y0, rtol

    @classmethod
    def valid_callbacks(cls) -> set[str]:
        """None of torchdiffeq's."""
        return set()

    def integrate(self, t: Tensor) -> Tensor:
        """States at the times t (N,), as (N, *state)."""
        if t.requires_grad:
            raise ValueError(f"{EQUAL_STEPS} has no gradient of the times; that of a field's end time it has")
        states = [self.y0]
        for begin, finish in pairwise(t.tolist()):
            states.append(self._advance(states[-1], begin, finish))
        return torch.stack(states)

    def _advance(self, state: Tensor, begin: float, finish: float) -> Tensor:
        if self.shapes is None:
            return _solve(self.field, state, begin, finish, self.tolerance)[0]
        count = self.shapes[0].numel()
        start, integral = state[:count].view(self.shapes[0]), state[count:]
        end, change = _solve(self.field, start, begin, finish, self.tolerance)
        assert change is not None
        return torch.cat([end.flatten(), integral + change.flatten()])


def register() -> None:
    """Enter the solver into torchdiffeq's table.

    Raises:
        ImportError: this version of torchdiffeq has no such table.
    """
    try:
        from torchdiffeq._impl.odeint import SOLVERS
    except ImportError as error:
        raise ImportError(
            "torchdiffeq has no table torchdiffeq._impl.odeint.SOLVERS, where the flow's solver is registered; "
            "version 0.2.5 has: pip install torchdiffeq==0.2.5"
        ) from error
    SOLVERS[EQUAL_STEPS] = EqualSteps


def _solve(
    field: FlowField, start: Tensor, begin: float, finish: float, tolerance: float
) -> tuple[Tensor, Tensor | None]:
    """End point (B, L, D) and integral of the trace (B, L), if the field has directions, for τ from begin to finish."""
    tensors = field.tensors()
    if torch.is_grad_enabled() and any(value.requires_grad for value in (start, *tensors)):
        recorded: Callable[..., tuple[Tensor, Tensor | None]] = _Solve.apply  # untyped in PyTorch
        return recorded(field, begin, finish, tolerance, start, *tensors)
    solution = _integrate(_ClosedForm(field, keep=False), start, begin, finish, tolerance)
    return solution.end, solution.integral


def _integrate(closed: _ClosedForm, start: Tensor, begin: float, finish: float, tolerance: float) -> Solution:
    scale = closed.field.scale.item()
    solution = integrate(closed, start, scale * begin, scale * finish, tolerance, closed.keep)
    closed.field.evaluations += solution.evaluations
    return solution


class _Solve(torch.autograd.Function):
    """One solve; its gradient is that of the steps taken, as backpropagation through them would give it."""

    @staticmethod
    def forward(
        ctx: Any, field: FlowField, begin: float, finish: float, tolerance: float, start: Tensor, *tensors: Tensor
    ) -> Any:
        ctx.set_materialize_grads(False)
        ctx.closed = _ClosedForm(field, keep=True)
        solution = _integrate(ctx.closed, start, begin, finish, tolerance)
        ctx.steps = solution.steps
        # Of all tensors, so that changing one of them before backward is an error.
        ctx.save_for_backward(solution.integral, *tensors)
        return solution.end, solution.integral

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_end: Tensor | None, of_integral: Tensor | None) -> Any:
        integral, *_ = ctx.saved_tensors
        if of_end is None:
            of_end = torch.zeros_like(ctx.steps[0].rates[0])
        ctx.closed.prepare_gradients()
        of_start, of_rates = pull_back(ctx.closed, ctx.steps, of_end, of_integral)
        of_trace = None if of_integral is None else (of_integral * integral).sum()
        return None, None, None, None, of_start, *ctx.closed.gradients(of_rates, of_trace)


@dataclass
class _Kept:
    evaluation: Evaluation
    tangents: list[Tangents]


class _ClosedForm:
    """A flow's field in time t itself, as `runge_kutta` asks for it; gathers gradients while a solve is pulled back.

    Args:
        keep: keep what gradients need.
    """

    def __init__(self, field: FlowField, keep: bool) -> None:
        self.field, self.keep = field, keep

    def evaluate(self, t: float, z: Tensor) -> tuple[Tensor, _Kept]:
        keep = self.keep or bool(self.field.directions)
        evaluation = self.field.network.evaluate(t, z, self.field.condition, keep)
        return evaluation.value, _Kept(evaluation, [])

    @property
    def integrand(self) -> Callable[[_Kept], Tensor] | None:
        return self._trace if self.field.directions else None

    def _trace(self, kept: _Kept) -> Tensor:
        kept.tangents = []  # the first stage of a refused step is evaluated once and used again
        return self.field.trace(kept.evaluation, kept.tangents if self.keep else None)

    def prepare_gradients(self) -> None:
        """Zeros for what `pull_back` adds up."""
        self.of_condition = Conditioning(*(torch.zeros_like(value) for value in self.field.condition.tensors()))
        self.of_parameters = [torch.zeros_like(value) for value in self.field.network.linear_parameters()]

    def pull_back(self, kept: _Kept, rate: Tensor, integrand: Tensor | None) -> Tensor:
        pairs = []
        if integrand is not None:
            pairs = [(tangents, integrand[..., None] * tangents.inputs[0]) for tangents in kept.tangents]
        return self.field.network.pull_back(kept.evaluation, rate, pairs, self.of_condition, self.of_parameters)

    def gradients(self, of_rates: Tensor, of_trace: Tensor | None) -> list[Tensor]:
        """Gradients of the field's tensors, given those of a common factor of all rates, and of the trace.

        The scale c is such a factor, of both, and one of the time that gates and shifts depend on.
        """
        condition, of_condition = self.field.condition, self.of_condition
        of_scale = of_rates + (of_condition.gate_slope * condition.gate_slope).sum()
        of_scale = of_scale + (of_condition.shift_slope * condition.shift_slope).sum()
        if of_trace is not None:
            of_scale = of_scale + of_trace
        return [of_scale / self.field.scale, *of_condition.tensors(), *self.of_parameters]
