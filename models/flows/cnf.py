"""Φ: a continuous normalizing flow between latent codes and a standard Gaussian (paper, section 3.2).

Each style vector of a code moves on its own under dz/dt = Φ(z, s, t), between two normalisations. The equation's
right-hand side is a `FlowField` around the network of `concat_squash.py`; torchdiffeq solves it (`solve.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from models.flows.concat_squash import ConcatSquashNetwork
from models.flows.field import FlowField, unit_vectors
from models.flows.moving_batch_norm import MovingBatchNorm1d
from models.flows.runge_kutta import Solution
from utils.ranges import Between, Positive, Size, Sizes

Solver = Literal[
    "equal_steps",
    "dopri5",
    "dopri8",
    "bosh3",
    "fehlberg2",
    "adaptive_heun",
    "euler",
    "midpoint",
    "heun2",
    "heun3",
    "rk4",
    "explicit_adams",
    "implicit_adams",
    "scipy_solver",
]
UNSUPPORTED_GRADIENTS = {"equal_steps": "adjoint", "scipy_solver": "backpropagation"}


class _RightHandSide(nn.Module):
    """Holds the velocity network under its public name."""

    def __init__(self, diffeq: ConcatSquashNetwork) -> None:
        super().__init__()
        self.diffeq = diffeq


class _Integral(nn.Module):
    """The middle of the chain: end time and right-hand side, under their public names.

    The end time T is stored as its square root; a fixed one is a buffer.
    """

    sqrt_end_time: Tensor

    def __init__(self, velocity: ConcatSquashNetwork, end_time: float, trainable: bool) -> None:
        super().__init__()
        root = torch.tensor(math.sqrt(end_time))
        if trainable:
            self.sqrt_end_time = nn.Parameter(root)
        else:
            self.register_buffer("sqrt_end_time", root)
        self.odefunc = _RightHandSide(velocity)


class ContinuousFlow(nn.Module):
    """Invertible map between latent codes w and Gaussian codes z, both (B, L, D), given semantics s (B, A).

    Args:
        style_dim: D.
        semantics: A.
        hidden: widths of the velocity network between its first and last layer.
        end_time: T; the codes move from time 0 (w) to T (z).
        trainable_end_time: T is learned, as in the authors' code.
        tolerance: absolute and relative, of a solver's step. Equal steps at 1e-6 come closer to the exact w_e than
            `dopri5` at 1e-5 with the published norm, which counts the log-density.
        solver: torchdiffeq's name of it. `equal_steps` is ours, registered there (`equal_steps.py`).
        gradient: `backpropagation` through the solver's steps (`equal_steps`: their gradient in closed form), or
            `adjoint`: a second solve, for less memory.
        steps: of a solver on a fixed grid (`rk4`, `midpoint`, …), which follows no tolerance.
        statistics: when a training batch enters the running statistics: `step`, when `update_statistics` is called, or
            `published`, at once, so that the two directions of a training step see different ones.
    """

    derivable = (r"\._num_evals$", r"^chain\.\d+\.step$")

    def __init__(
        self,
        style_dim: Size = 512,
        semantics: Size = 5,
        hidden: Sizes = (512,) * 5,
        end_time: Positive = 1.0,
        trainable_end_time: bool = False,
        tolerance: Positive = 1e-6,
        solver: Solver = "equal_steps",
        gradient: Literal["backpropagation", "adjoint"] = "backpropagation",
        steps: Annotated[int, Between(1, 100_000)] = 16,
        statistics: Literal["step", "published"] = "step",
    ) -> None:
        super().__init__()
        if gradient == UNSUPPORTED_GRADIENTS.get(solver):
            raise ValueError(f"the solver {solver} has no gradient by {gradient}; dopri5, for example, has")
        immediate = statistics == "published"
        velocity = ConcatSquashNetwork(style_dim, list(hidden), semantics)
        chain: Any = nn.ModuleList(
            [
                MovingBatchNorm1d(style_dim, immediate=immediate),
                _Integral(velocity, end_time, trainable_end_time),
                MovingBatchNorm1d(style_dim, immediate=immediate),
            ]
        )
        self.chain = chain
        self.tolerance, self.solver, self.gradient, self.steps = tolerance, solver, gradient, steps
        self.evaluations = 0  # of the right-hand side in the last solve

    @property
    def velocity(self) -> ConcatSquashNetwork:
        """The right-hand side's network."""
        network: ConcatSquashNetwork = self.chain[1].odefunc.diffeq
        return network

    @property
    def end_time(self) -> Tensor:
        """T."""
        root: Tensor = self.chain[1].sqrt_end_time
        return root.square()

    def forward(self, w: Tensor, semantics: Tensor) -> Tensor:
        """w → z without any density."""
        first, _, last = self.chain
        z: Tensor = last(self._solve(first(w), semantics, forward=True).end)
        return z

    def inverse(self, z: Tensor, semantics: Tensor) -> Tensor:
        """z → w without any density; under changed semantics, w_e of the paper's equation 4."""
        first, _, last = self.chain
        w: Tensor = first.inverse(self._solve(last.inverse(z), semantics, forward=False).end)
        return w

    def forward_and_log_det(
        self, w: Tensor, semantics: Tensor, probe: Tensor | None = None, exact: bool = False
    ) -> tuple[Tensor, Tensor]:
        """w → z and log|det ∂z/∂w| of each style vector, (B, L).

        Args:
            probe: direction (B, L, D) of Hutchinson's estimate eᵀ J e, drawn from the normal distribution if absent.
            exact: sum the trace over all unit vectors instead.
        """
        first, _, last = self.chain
        start, before = first.forward_and_log_det(w)
        if exact:
            directions = unit_vectors(start)
        else:
            directions = [(torch.randn_like(start) if probe is None else probe)[None]]
        solution = self._solve(start, semantics, True, directions)
        z, after = last.forward_and_log_det(solution.end)
        return z, solution.integral + (before + after)

    def log_prob(self, w: Tensor, semantics: Tensor, exact: bool = False) -> Tensor:
        """log p(w | s) in nats, (B,)."""
        z, log_det = self.forward_and_log_det(w, semantics, exact=exact)
        normal = -0.5 * (z.square() + math.log(2 * math.pi)).flatten(1).sum(1)
        return normal + log_det.sum(1)

    def update_statistics(self) -> None:
        """Let the last training batch enter the running statistics of both normalisations."""
        for index in (0, 2):
            self.chain[index].update()

    def _solve(self, start: Tensor, semantics: Tensor, forward: bool, directions: Sequence[Tensor] = ()) -> Solution:
        from models.flows.solve import solve  # here: torchdiffeq imports all of SciPy's integrators, 0.7 s

        field = FlowField(self.velocity, self.velocity.condition(semantics), self.end_time, forward, directions)
        solution = solve(field, start, self.solver, self.tolerance, self.steps, self.gradient == "adjoint")
        self.evaluations = solution.evaluations
        return solution


def flow_sizes(shapes: Mapping[str, Sequence[int]]) -> dict[str, object]:
    """Constructor arguments of the flow whose public checkpoint has these shapes."""
    prefix = "chain.1.odefunc.diffeq.layers."
    layers = sorted({int(key[len(prefix) :].split(".")[0]) for key in shapes if key.startswith(prefix)})
    widths = [shapes[f"{prefix}{index}._layer.weight"][0] for index in layers]
    return {
        "style_dim": shapes["chain.0.running_mean"][0],
        "semantics": shapes[f"{prefix}0._hyper_bias.weight"][1] - 1,
        "hidden": widths[:-1],
        "trainable_end_time": "chain.1.sqrt_end_time" in shapes,
    }
