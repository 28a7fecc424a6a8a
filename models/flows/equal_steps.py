"""One solve of Φ in equal steps as one differentiable operation, with or without ∫ Tr(∂Φ/∂z) dt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from models.flows.concat_squash import Conditioning, Evaluation, Tangents, VelocityNetwork
from models.flows.runge_kutta import Solution, integrate, pull_back


@dataclass
class Problem:
    """What is solved: from time 0 to T or back.

    Args:
        directions: chunks (K, B, L, D) whose Σ eᵀ J e is integrated; empty for no integral.
    """

    velocity: VelocityNetwork
    directions: list[Tensor]
    tolerance: float
    forward: bool
    evaluations: int = 0  # of the whole batch, known after the solve


@dataclass
class _Kept:
    evaluation: Evaluation
    tangents: list[Tangents] = field(default_factory=list)


class _Field:
    """The velocity and its trace as the solver sees them; gathers gradients while the solution is pulled back."""

    def __init__(self, problem: Problem, condition: Conditioning, keep: bool) -> None:
        self.velocity, self.directions = problem.velocity, problem.directions
        self.condition, self.keep = condition, keep

    def evaluate(self, t: float, z: Tensor) -> tuple[Tensor, _Kept]:
        evaluation = self.velocity.evaluate(t, z, self.condition, keep=self.keep or bool(self.directions))
        return evaluation.value, _Kept(evaluation)

    @property
    def integrand(self) -> Callable[[_Kept], Tensor] | None:
        return self._trace if self.directions else None

    def _trace(self, kept: _Kept) -> Tensor:
        trace = torch.zeros_like(kept.evaluation.value[..., 0])
        carried = []
        for directions in self.directions:
            tangents = self.velocity.push_forward(kept.evaluation, directions)
            trace += (directions * tangents.value).sum((0, -1))
            if self.keep:
                carried.append(tangents)
        kept.tangents = carried
        return trace

    def prepare_gradients(self) -> tuple[Conditioning, list[Tensor]]:
        """Zeros for what `pull_back` adds up."""
        self.of_condition = Conditioning(*(torch.zeros_like(value) for value in self.condition.tensors()))
        self.of_parameters = [torch.zeros_like(parameter) for parameter in self.velocity.linear_parameters()]
        return self.of_condition, self.of_parameters

    def pull_back(self, kept: _Kept, rate: Tensor, integrand: Tensor | None) -> Tensor:
        pairs = []
        if integrand is not None:
            pairs = [(tangents, integrand[..., None] * tangents.inputs[0]) for tangents in kept.tangents]
        return self.velocity.pull_back(kept.evaluation, rate, pairs, self.of_condition, self.of_parameters)


def solve(problem: Problem, start: Tensor, condition: Conditioning, end_time: Tensor) -> tuple[Tensor, Tensor | None]:
    """End point (B, L, D) and integral (B, L), if there are directions.

    Gradients reach start, conditioning, end time and the network's linear layers, not the directions.
    """
    inputs = [start, end_time, *condition.tensors(), *problem.velocity.linear_parameters()]
    if torch.is_grad_enabled() and any(value.requires_grad for value in inputs):
        return _Solve.apply(problem, *inputs)
    solution = _integrate(problem, _Field(problem, condition, keep=False), start, end_time)
    return solution.end, solution.integral


def _integrate(problem: Problem, field: _Field, start: Tensor, end_time: Tensor) -> Solution:
    begin, finish = (0.0, end_time.item()) if problem.forward else (end_time.item(), 0.0)
    solution = integrate(field, start, begin, finish, problem.tolerance, field.keep)
    problem.evaluations = solution.evaluations
    return solution


class _Solve(torch.autograd.Function):
    """The gradient is that of the steps taken, as backpropagation through them would give it."""

    @staticmethod
    def forward(ctx: Any, problem: Problem, start: Tensor, end_time: Tensor, *tensors: Tensor) -> Any:
        ctx.set_materialize_grads(False)
        ctx.field = _Field(problem, Conditioning(*tensors[:4]), keep=True)
        solution = _integrate(problem, ctx.field, start, end_time)
        ctx.steps = solution.steps
        # Of all tensors, so that changing one of them before backward is an error.
        ctx.save_for_backward(solution.integral, end_time, *tensors)
        return solution.end, solution.integral

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_end: Tensor | None, of_integral: Tensor | None) -> Any:
        integral, end_time, _, gate_slope, _, shift_slope, *_ = ctx.saved_tensors
        of_condition, of_parameters = ctx.field.prepare_gradients()
        if of_end is None:
            of_end = torch.zeros_like(ctx.steps[0].rates[0])
        of_start, of_factor = pull_back(ctx.field, ctx.steps, of_end, of_integral)
        of_end_time = None
        if ctx.needs_input_grad[2]:
            # T times all rates and the integrand, and T times what depends on time.
            of_factor = of_factor + (of_condition.gate_slope * gate_slope).sum()
            of_factor = of_factor + (of_condition.shift_slope * shift_slope).sum()
            if of_integral is not None:
                of_factor = of_factor + (of_integral * integral).sum()
            of_end_time = of_factor / end_time
        return None, of_start, of_end_time, *of_condition.tensors(), *of_parameters
