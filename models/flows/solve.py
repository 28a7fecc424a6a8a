"""Every solve of the flow's differential equation: one call of torchdiffeq."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchdiffeq import odeint, odeint_adjoint

from models.flows import equal_steps
from models.flows.field import FlowField
from models.flows.runge_kutta import Solution

ADAPTIVE = ("dopri5", "dopri8", "bosh3", "fehlberg2", "adaptive_heun")
FIXED_GRID = ("euler", "midpoint", "heun2", "heun3", "rk4", "explicit_adams", "implicit_adams")

equal_steps.register()


def solve(field: FlowField, start: Tensor, method: str, tolerance: float, steps: int, adjoint: bool) -> Solution:
    """z(t₁) = z(t₀) + ∫ Φ(z, s, t) dt (paper, equation 2), with the integral of the trace if the field has directions.

    Args:
        start: z(t₀), (B, L, D).
        method: name of a torchdiffeq solver, or `equal_steps`.
        tolerance: absolute and relative.
        steps: of a solver on a fixed grid.
        adjoint: gradients by the adjoint method instead of backpropagation through the solver.
    Raises:
        FloatingPointError: no step is short enough, or a value is not finite.
    """
    times = torch.tensor(field.span, dtype=start.dtype, device=start.device)
    settings: dict[str, Any] = {"rtol": tolerance, "atol": tolerance, "method": method, "options": {}}
    if method in ADAPTIVE:
        # The last step ends exactly at the end. Left alone it passes it and the value is interpolated, with an error
        # that no tolerance bounds: round trips were 2 to 10,000 times less exact for as many evaluations.
        settings["options"] = {"step_t": times}
    elif method in FIXED_GRID:
        settings["options"] = {"step_size": 1 / steps}
    integrator = odeint
    if adjoint and torch.is_grad_enabled():
        integrator = odeint_adjoint
        settings["adjoint_params"] = tuple(value for value in field.tensors() if value.requires_grad)
        # Gradients of parameters are integrals that no state depends on: they need not limit the steps
        # ("Hey, that's not an ODE", Kidger et al. 2021).
        settings["adjoint_options"] = {"norm": "seminorm", **settings["options"]}
    state = (start, torch.zeros_like(start[..., 0])) if field.directions else start
    try:
        path = integrator(field, state, times, **settings)
    except AssertionError as error:  # torchdiffeq's way to say that a step can get no smaller
        raise FloatingPointError(f"the flow's solver stopped on the way ({error}): too large or NaN") from error
    end, integral = (path[0][-1], path[1][-1]) if isinstance(path, tuple) else (path[-1], None)
    return Solution(end, integral, field.evaluations)
