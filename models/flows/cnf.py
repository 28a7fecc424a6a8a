"""Φ: a continuous normalizing flow between latent codes and a standard Gaussian (paper, section 3.2).

Each style vector of a code moves on its own under dz/dt = Φ(z, s, t). Three things are kept apart: the velocity
network, the solver with its divergence, and the normalisation before and behind.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from models.flows.concat_squash import Conditioning, VelocityNetwork
from models.flows.equal_steps import Problem, solve
from models.flows.moving_batch_norm import MovingBatchNorm1d

EQUAL_STEPS = "equal_steps"
ADAPTIVE_SOLVERS = ("dopri5", "dopri8", "bosh3", "fehlberg2", "adaptive_heun")
TRACE_CHUNK = 32  # unit vectors at once in an exact trace: bounds its memory


class _RightHandSide(nn.Module):
    """Holds the velocity network under its public name."""

    def __init__(self, diffeq: VelocityNetwork) -> None:
        super().__init__()
        self.diffeq = diffeq


class _Integral(nn.Module):
    """The middle of the chain: end time and right-hand side, under their public names.

    The end time T is stored as its square root; a fixed one is a buffer.
    """

    sqrt_end_time: Tensor

    def __init__(self, velocity: VelocityNetwork, end_time: float, trainable: bool) -> None:
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
        solver: `equal_steps`, or the name of a torchdiffeq solver.
        gradient: `backpropagation` through the solver's steps, or `adjoint` (less memory, a second solve; only with a
            torchdiffeq solver).
        statistics: when a training batch enters the running statistics: `step`, when `update_statistics` is called, or
            `published`, at once, so that the two directions of a training step see different ones.
    """

    derivable = (r"\._num_evals$", r"^chain\.\d+\.step$")

    def __init__(
        self,
        style_dim: int = 512,
        semantics: int = 5,
        hidden: Sequence[int] = (512,) * 5,
        end_time: float = 1.0,
        trainable_end_time: bool = False,
        tolerance: float = 1e-6,
        solver: str = EQUAL_STEPS,
        gradient: Literal["backpropagation", "adjoint"] = "backpropagation",
        statistics: Literal["step", "published"] = "step",
    ) -> None:
        super().__init__()
        if solver == EQUAL_STEPS and gradient == "adjoint":
            raise ValueError("gradient: adjoint needs a solver of torchdiffeq, say solver: dopri5")
        immediate = statistics == "published"
        velocity = VelocityNetwork(style_dim, list(hidden), semantics)
        chain: Any = nn.ModuleList(
            [
                MovingBatchNorm1d(style_dim, immediate=immediate),
                _Integral(velocity, end_time, trainable_end_time),
                MovingBatchNorm1d(style_dim, immediate=immediate),
            ]
        )
        self.chain = chain
        self.style_dim, self.tolerance, self.solver, self.gradient = style_dim, tolerance, solver, gradient
        self.evaluations = 0  # of the right-hand side in the last solve; an adjoint's backward adds its own

    @property
    def velocity(self) -> VelocityNetwork:
        """The right-hand side's network."""
        return self.chain[1].odefunc.diffeq

    @property
    def end_time(self) -> Tensor:
        """T."""
        return self.chain[1].sqrt_end_time.square()

    def transport(self, w: Tensor, semantics: Tensor) -> Tensor:
        """w → z without any density."""
        first, _, last = self.chain
        return last(self._solve(first(w), semantics, forward=True))

    def inverse(self, z: Tensor, semantics: Tensor) -> Tensor:
        """z → w without any density."""
        first, _, last = self.chain
        return first.inverse(self._solve(last.inverse(z), semantics, forward=False))

    def to_gaussian(
        self, w: Tensor, semantics: Tensor, probe: Tensor | None = None, exact: bool = False
    ) -> tuple[Tensor, Tensor]:
        """w → z and log|det ∂z/∂w| of each style vector, (B, L).

        Args:
            probe: direction (B, L, D) of Hutchinson's estimate eᵀ J e, drawn from the normal distribution if absent.
            exact: sum the trace over all unit vectors instead.
        """
        first, _, last = self.chain
        constant = first.log_det() + last.log_det()  # before the calls, which may change the statistics
        z, integral = self._solve_with_divergence(first(w), semantics, True, probe, exact)
        return last(z), integral + constant

    def inverse_and_log_det(
        self, z: Tensor, semantics: Tensor, probe: Tensor | None = None, exact: bool = False
    ) -> tuple[Tensor, Tensor]:
        """z → w and log|det ∂w/∂z| of each style vector, (B, L); arguments as in `to_gaussian`."""
        first, _, last = self.chain
        start = last.inverse(z)
        x, integral = self._solve_with_divergence(start, semantics, False, probe, exact)
        constant = first.log_det() + last.log_det()
        return first.inverse(x), integral - constant

    def log_prob(self, w: Tensor, semantics: Tensor, exact: bool = False) -> Tensor:
        """log p(w | s) in nats, (B,)."""
        z, log_det = self.to_gaussian(w, semantics, exact=exact)
        normal = -0.5 * (z.square() + math.log(2 * math.pi)).flatten(1).sum(1)
        return normal + log_det.sum(1)

    def update_statistics(self) -> None:
        """Let the last training batch enter the running statistics of both normalisations."""
        for index in (0, 2):
            self.chain[index].update()

    def _solve(self, start: Tensor, semantics: Tensor, forward: bool) -> Tensor:
        condition = self.velocity.condition(semantics)
        end = self.end_time
        if self.solver == EQUAL_STEPS:
            return self._in_equal_steps(start, condition, [], forward)[0]

        def right_hand_side(t: Tensor, z: Tensor) -> Tensor:
            self.evaluations += 1
            return self.velocity(t * end, z, condition) * end

        return self._integrate(right_hand_side, start, (condition, end), forward)

    def _solve_with_divergence(
        self, start: Tensor, semantics: Tensor, forward: bool, probe: Tensor | None, exact: bool
    ) -> tuple[Tensor, Tensor]:
        """End point and ∫ Tr(∂Φ/∂z) dt along the way, (B, L)."""
        condition = self.velocity.condition(semantics)
        end = self.end_time
        direction = None if exact else torch.randn_like(start) if probe is None else probe
        if self.solver == EQUAL_STEPS:
            directions = self._unit_vectors(start) if direction is None else [direction[None]]
            return self._in_equal_steps(start, condition, directions, forward)

        def right_hand_side(t: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            self.evaluations += 1
            if direction is None:
                velocity, trace = self._exact_trace(t * end, state[0], condition)
            else:
                velocity, tangent = self.velocity.with_tangents(t * end, state[0], direction[None], condition)
                trace = (direction * tangent[0]).sum(-1)
            return velocity * end, trace * end

        zeros = torch.zeros_like(start[..., 0])
        return self._integrate(right_hand_side, (start, zeros), (condition, end), forward)

    def _unit_vectors(self, z: Tensor) -> list[Tensor]:
        units = torch.eye(self.style_dim, dtype=z.dtype, device=z.device)[:, None, None, :]
        return [chunk.expand(-1, *z.shape[:2], -1) for chunk in units.split(TRACE_CHUNK)]

    def _exact_trace(self, t: Tensor, z: Tensor, condition: Conditioning) -> tuple[Tensor, Tensor]:
        evaluation = self.velocity.evaluate(t, z, condition)
        trace = torch.zeros_like(z[..., 0])
        for units in self._unit_vectors(z):
            trace = trace + (self.velocity.push_forward(evaluation, units).value * units).sum((0, -1))
        return evaluation.value, trace

    def _in_equal_steps(
        self, start: Tensor, condition: Conditioning, directions: list[Tensor], forward: bool
    ) -> tuple[Tensor, Any]:
        problem = Problem(self.velocity, directions, self.tolerance, forward)
        solution = solve(problem, start, condition, self.end_time)
        self.evaluations = problem.evaluations
        return solution

    def _integrate(
        self, right_hand_side: Callable[..., Any], start: Any, inputs: tuple[Conditioning, Tensor], forward: bool
    ) -> Any:
        """Solve from 0 to 1 or back, in units of T: the gradient of T then passes through the right-hand side.

        Args:
            start: a tensor, or a tuple of tensors that moves together.
            inputs: conditioning and T, the very tensors that the right-hand side uses.
        Raises:
            FloatingPointError: no step is small enough, or a value is not finite.
        """
        from torchdiffeq import odeint, odeint_adjoint  # here, since it brings all of SciPy's integrators along

        self.evaluations = 0
        sample = start[0] if isinstance(start, tuple) else start
        times = torch.tensor([0.0, 1.0] if forward else [1.0, 0.0], dtype=sample.dtype, device=sample.device)
        options: dict[str, Any] = {"rtol": self.tolerance, "atol": self.tolerance, "method": self.solver}
        # The last step ends exactly at the end. Left alone it passes it and the value is interpolated, with an error
        # that no tolerance bounds: round trips were 2 to 10,000 times less exact for as many evaluations.
        landing = {"step_t": times} if self.solver in ADAPTIVE_SOLVERS else {}
        options["options"] = dict(landing)
        solve = odeint
        if self.gradient == "adjoint" and torch.is_grad_enabled():
            solve = odeint_adjoint
            condition, end = inputs
            values = [*condition.tensors(), end, *self.velocity.linear_parameters()]
            options["adjoint_params"] = tuple(value for value in values if value.requires_grad)
            # Gradients of parameters are integrals that no state depends on: they need not limit the steps
            # ("Hey, that's not an ODE", Kidger et al. 2021).
            options["adjoint_options"] = {"norm": "seminorm", **landing}
        try:
            path = solve(right_hand_side, start, times, **options)
        except AssertionError as error:  # torchdiffeq's way to say that a step can get no smaller
            raise FloatingPointError(f"the flow's solver stopped on the way ({error}): too large or NaN") from error
        return tuple(values[-1] for values in path) if isinstance(path, tuple) else path[-1]


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
