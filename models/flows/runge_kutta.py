"""Dormand and Prince's method of order 5 (1980) in steps of equal length, and its exact gradient.

The error of the flow's steps hardly changes along its way, so equal steps reach an accuracy with the fewest
evaluations. How many are needed is predicted from one trial step over the whole way on a few style vectors: the error
grows with the fifth power of the length. Each step is checked all the same, and the rest of the way divided anew.

An integral along the way is a sum over the stages with the method's own weights. Two of the seven are zero, so its
integrand is not computed there, and it does not limit the steps, because nothing depends on it ("Hey, that's not an
ODE", Kidger et al. 2021).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

NODES = (0.0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
STAGES: tuple[tuple[float, ...], ...] = (
    (),
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
)
SOLUTION = (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84)
ERROR = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)
SAFETY = 0.9
SHORTEST = 1e-4  # share of the way; needing a shorter step means the field is not smooth
SAMPLE = 2  # style vectors of each face in the trial step


class Field(Protocol):
    """A right-hand side; `Any` is what it keeps of one evaluation."""

    def evaluate(self, t: float, z: Tensor) -> tuple[Tensor, Any]:
        """Rate of z, and what the rest needs."""

    @property
    def integrand(self) -> Callable[[Any], Tensor] | None:
        """What is integrated along the way, if anything, as a function of what is kept."""

    def pull_back(self, kept: Any, rate: Tensor, integrand: Tensor | None) -> Tensor:
        """Gradient of z from those of rate and integrand."""


@dataclass
class Step:
    """A step that was taken: its length and first six stages (the seventh is the next step's first)."""

    length: float
    rates: list[Tensor]
    kept: list[Any]


@dataclass
class Solution:
    """What a solve found, and what it took."""

    end: Tensor
    integral: Tensor | None
    evaluations: int  # of the whole batch; those of the trial step are a sixth of that or less
    steps: list[Step] = field(default_factory=list)  # for `pull_back`, if they are kept


def combine(start: Tensor | None, rates: list[Tensor], weights: tuple[float, ...], length: float) -> Tensor:
    """start + length · Σ weight · rate, of which at least one weight is not zero."""
    total = None
    for weight, rate in zip(weights, rates, strict=True):
        if weight and total is None:
            total = rate * (weight * length) if start is None else torch.add(start, rate, alpha=weight * length)
        elif weight and total is not None:
            total.add_(rate, alpha=weight * length)
    assert total is not None
    return total


def integrate(field: Field, start: Tensor, begin: float, finish: float, tolerance: float, keep: bool) -> Solution:
    """Solve from time `begin` to `finish`.

    Args:
        start: (B, L, D).
        tolerance: largest estimated error of a step, absolute and relative, as a root mean square.
        keep: keep the steps.
    Raises:
        FloatingPointError: no step is short enough, or a value is not finite.
    """
    way, done = finish - begin, 0.0
    first = field.evaluate(begin, start)
    sample = slice(None, None, max(1, start.shape[1] // SAMPLE))
    trial = _attempt(field, None, start[:, sample], (first[0][:, sample], None), begin, way, keep=False)
    share = _change(trial.error, tolerance)
    solution = Solution(start, None, evaluations=1)
    while done < 1:
        count = max(1, math.ceil((1 - done) / share))
        share = (1 - done) / count
        attempt = _attempt(field, field.integrand, solution.end, first, begin + done * way, share * way, keep)
        solution.evaluations += 6
        if attempt.error <= tolerance:
            sofar = solution.integral
            solution.integral = attempt.integral if sofar is None else sofar + attempt.integral
            if keep:
                solution.steps.append(attempt.step)
            solution.end, first = attempt.end, attempt.following
            done = done + share if count > 1 else 1.0
        elif share < SHORTEST:
            raise FloatingPointError(f"the flow's solver stopped on the way: error {attempt.error:.1e} in a short step")
        share *= _change(attempt.error, tolerance)
    return solution


def equal_steps(
    rate: Callable[[float, Tensor], Tensor], start: Tensor, begin: float, finish: float, count: int
) -> Tensor:
    """End point (B, L, D) of so many equal steps, none of which is checked; `start` is kept."""
    length = (finish - begin) / count
    for index in range(count):
        rates: list[Tensor] = []
        for node, weights in zip(NODES, STAGES, strict=False):  # the seventh node is the next step's first
            at = combine(start, rates, weights, length) if rates else start
            rates.append(rate(begin + (index + node) * length, at))
        start = combine(start, rates, SOLUTION, length)
    return start


def pull_back(field: Field, steps: list[Step], end: Tensor, integral: Tensor | None) -> tuple[Tensor, Tensor]:
    """Gradient of the start from those of end and integral; what the field depends on, it gathers itself.

    Returns:
        Gradient of the start, and that of a common factor of all rates (a scalar).
    """
    gradient, factor = end, torch.zeros((), dtype=end.dtype, device=end.device)
    for step in reversed(steps):
        of_stages: list[Tensor] = []  # from the sixth on backwards
        before = gradient
        for stage in reversed(range(6)):
            # What the solution and the later stages take of this stage's rate.
            takes = (SOLUTION[stage], *(STAGES[later][stage] for later in range(5, stage, -1)))
            of_rate = combine(None, [gradient, *of_stages], takes, step.length)
            weight = SOLUTION[stage] * step.length
            of_integrand = None if integral is None or not weight else integral * weight
            factor += torch.vdot(of_rate.flatten(), step.rates[stage].flatten())
            of_stages.append(field.pull_back(step.kept[stage], of_rate, of_integrand))
            before = before + of_stages[-1]
        gradient = before
    return gradient, factor


@dataclass
class _Attempt:
    end: Tensor
    integral: Any
    step: Step
    following: tuple[Tensor, Any]
    error: float


def _attempt(
    field: Field,
    integrand: Callable[[Any], Tensor] | None,
    start: Tensor,
    first: tuple[Tensor, Any],
    t: float,
    length: float,
    keep: bool,
) -> _Attempt:
    """One step; its error is the root mean square of the estimate over 1 + max(|z|) at both ends."""
    rates: list[Tensor] = []
    kept: list[Any] = []
    integral: Any = None
    for stage in range(6):
        if stage == 0:
            rate, evaluation = first
        else:
            at = combine(start, rates, STAGES[stage], length)
            rate, evaluation = field.evaluate(t + NODES[stage] * length, at)
        if integrand is not None and SOLUTION[stage]:
            part = integrand(evaluation) * (SOLUTION[stage] * length)
            integral = part if integral is None else integral + part
        rates.append(rate)
        if keep:
            kept.append(evaluation)
    end = combine(start, rates, SOLUTION, length)
    following = field.evaluate(t + length, end)
    estimate = combine(None, [*rates, following[0]], ERROR, length)
    scaled = estimate / (1 + torch.maximum(start.abs(), end.abs()))
    return _Attempt(end, integral, Step(length, rates, kept), following, scaled.square().mean().sqrt().item())


def _change(error: float, tolerance: float) -> float:
    """Factor of the length of the next step after one of this error."""
    if not math.isfinite(error):
        return 0.1
    return min(9.0, max(0.1, SAFETY * math.pow(tolerance / max(error, 1e-30), 0.2)))
