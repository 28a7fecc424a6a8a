"""The flow as StyleFlow and SDFlow publish it: everything is integrated, also what nobody asked for.

Kept on purpose: the state is (x, log-density, conditioning), and all three limit the steps; the divergence is an
autograd inside the right-hand side, computed in editing too; gates and shifts are linear layers of [t, s] at every
evaluation; training goes through the adjoint method, whose steps the gradients of all parameters limit.

Two things differ, neither of which costs or saves time: each solve keeps its own probe (the published adjoint of the
first runs with the second's), and a batch enters the running statistics at the end of a training step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchdiffeq import odeint, odeint_adjoint

from models.flows.cnf import flow_sizes

_EPSILON = 1e-4


class _ConcatSquash(nn.Module):
    def __init__(self, inputs: int, outputs: int, semantics: int) -> None:
        super().__init__()
        self._layer = nn.Linear(inputs, outputs)
        self._hyper_bias = nn.Linear(1 + semantics, outputs, bias=False)
        self._hyper_gate = nn.Linear(1 + semantics, outputs)

    def forward(self, context: Tensor, x: Tensor) -> Tensor:
        gate = torch.sigmoid(self._hyper_gate(context)).unsqueeze(1)
        return self._layer(x) * gate + self._hyper_bias(context).unsqueeze(1)


class _Network(nn.Module):
    def __init__(self, widths: Sequence[int], semantics: int) -> None:
        super().__init__()
        pairs = zip(widths[:-1], widths[1:], strict=True)
        self.layers = nn.ModuleList(_ConcatSquash(inputs, outputs, semantics) for inputs, outputs in pairs)

    def forward(self, context: Tensor, x: Tensor) -> Tensor:
        for index, layer in enumerate(self.layers):
            x = layer(context, x)
            if index < len(self.layers) - 1:
                x = torch.tanh(x)
        return x


class _MovingBatchNorm(nn.Module):
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(features))
        self.bias = nn.Parameter(torch.zeros(features))
        self.register_buffer("running_mean", torch.zeros(features))
        self.register_buffer("running_var", torch.ones(features))
        self.seen: tuple[Tensor, Tensor] | None = None

    def forward(self, x: Tensor, logp: Tensor, reverse: bool = False) -> tuple[Tensor, Tensor]:
        scale = -0.5 * torch.log(self.running_var + _EPSILON)
        log_det = (scale + self.weight).expand_as(x).sum(-1, keepdim=True)
        if reverse:
            x = (x - self.bias) * torch.exp(-self.weight)
            return x * torch.exp(-scale) + self.running_mean, logp + log_det
        if self.training:
            vectors = x.detach().flatten(0, -2)
            self.seen = vectors.mean(0), vectors.var(0)
        x = (x - self.running_mean) * torch.exp(scale)
        return x * torch.exp(self.weight) + self.bias, logp - log_det

    def update(self) -> None:
        if self.seen is not None:
            for running, value in zip((self.running_mean, self.running_var), self.seen, strict=True):
                running -= 0.1 * (running - value)


class _RightHandSide(nn.Module):
    def __init__(self, diffeq: _Network) -> None:
        super().__init__()
        self.diffeq = diffeq

    def forward(self, t: Tensor, x: Tensor, context: Tensor, probe: Tensor) -> tuple[Tensor, Tensor]:
        """Velocity (B, L, D) and −eᵀ J e (B, L, 1)."""
        with torch.enable_grad():
            x.requires_grad_(True)
            time = torch.ones(len(x), 1, dtype=x.dtype, device=x.device) * t.detach().to(x).requires_grad_(True)
            velocity = self.diffeq(torch.cat([time, context], dim=1), x)
            tangent = torch.autograd.grad(velocity, x, probe, create_graph=True)[0]
            return velocity, -(tangent * probe).sum(-1, keepdim=True)


class _Integral(nn.Module):
    sqrt_end_time: Tensor

    def __init__(self, widths: Sequence[int], semantics: int, trainable_end_time: bool, tolerance: float) -> None:
        super().__init__()
        if trainable_end_time:
            self.sqrt_end_time = nn.Parameter(torch.ones(()))
        else:
            self.register_buffer("sqrt_end_time", torch.ones(()))
        self.odefunc = _RightHandSide(_Network(widths, semantics))
        self.tolerance = tolerance
        self.evaluations = 0

    def forward(
        self, x: Tensor, logp: Tensor, context: Tensor, probe: Tensor | None, reverse: bool = False
    ) -> tuple[Tensor, Tensor]:
        direction = torch.randn_like(x) if probe is None else probe
        end = self.sqrt_end_time * self.sqrt_end_time
        times = torch.stack([torch.zeros_like(end), end])
        self.evaluations = 0

        def right_hand_side(t: Tensor, state: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
            self.evaluations += 1
            velocity, change = self.odefunc(t, state[0], state[2], direction)
            return velocity, change, torch.zeros_like(state[2])

        state = (x, logp, context)
        options = {"atol": self.tolerance, "rtol": self.tolerance, "method": "dopri5"}
        times = times.flip(0) if reverse else times
        if self.training:
            parameters = tuple(self.odefunc.parameters())
            path = odeint_adjoint(right_hand_side, state, times, adjoint_params=parameters, **options)
        else:
            path = odeint(right_hand_side, state, times, **options)
        return path[0][-1], path[1][-1]


class Flow(nn.Module):
    """Batch norm, integral, batch norm, under the public key names.

    Args:
        tolerance: absolute and relative, of the solver (published 1e-5).
    """

    def __init__(
        self,
        style_dim: int,
        semantics: int,
        hidden: Sequence[int],
        trainable_end_time: bool = False,
        tolerance: float = 1e-5,
    ) -> None:
        super().__init__()
        integral = _Integral([style_dim, *hidden, style_dim], semantics, trainable_end_time, tolerance)
        chain: Any = nn.ModuleList([_MovingBatchNorm(style_dim), integral, _MovingBatchNorm(style_dim)])
        self.chain = chain

    @classmethod
    def with_weights(cls, state: Mapping[str, Tensor], tolerance: float = 1e-5) -> Flow:
        """The flow with copies of these tensors."""
        sizes = flow_sizes({key: tuple(value.shape) for key, value in state.items()})
        flow = cls(**sizes | {"trainable_end_time": False}, tolerance=tolerance)  # type: ignore[arg-type]
        flow.load_state_dict({key: state[key] for key in flow.state_dict()})
        return flow

    def integrate(
        self,
        x: Tensor,
        context: Tensor,
        logp: Tensor | None = None,
        reverse: bool = False,
        probe: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """w → z, or z → w where `reverse`; and minus the log-determinant of the way, (B, L, 1).

        Args:
            x: (B, L, D).
            context: semantics (B, A).
            logp: what the log-density starts from; it is integrated also where none is given, but is not the whole
                then.
            probe: of Hutchinson's estimate; drawn where none is given.
        """
        zeros = torch.zeros_like(x[..., :1])
        first, integral, last = self.chain
        before, after = (last, first) if reverse else (first, last)
        x, start = before(x, zeros if logp is None else logp, reverse)
        x, end = integral(x, zeros if logp is None else start, context, probe, reverse)
        return after(x, end, reverse)

    def forward(self, w: Tensor, semantics: Tensor) -> Tensor:
        """w → z."""
        return self.integrate(w, semantics)[0]

    def inverse(self, z: Tensor, semantics: Tensor) -> Tensor:
        """z → w."""
        return self.integrate(z, semantics, reverse=True)[0]

    def forward_and_log_det(self, w: Tensor, semantics: Tensor) -> tuple[Tensor, Tensor]:
        """w → z and log|det ∂z/∂w| of each style vector, (B, L)."""
        z, logp = self.integrate(w, semantics, torch.zeros_like(w[..., :1]))
        return z, -logp[..., 0]

    @property
    def evaluations(self) -> int:
        """Of the right-hand side in the last solve, with those of its adjoint once that ran."""
        return self.chain[1].evaluations

    @torch.no_grad()
    def update_statistics(self) -> None:
        """Let the last training batch enter the running statistics."""
        for index in (0, 2):
            self.chain[index].update()
