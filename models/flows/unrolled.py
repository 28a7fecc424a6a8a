"""Φ in a fixed number of equal steps: sums and products only, for programs that have no solver (ONNX)."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from models.flows.cnf import ContinuousFlow
from models.flows.runge_kutta import equal_steps

_EXACT = 1e-9  # tolerance of the solution in float64 that the steps are compared with


class UnrolledFlow(nn.Module):
    """The maps of a flow in `steps` steps of Dormand and Prince's method, of which none is checked.

    Args:
        flow: whose networks it uses; not changed.
        steps: of equal length, six evaluations each.
    """

    def __init__(self, flow: ContinuousFlow, steps: int) -> None:
        super().__init__()
        self.flow, self.steps = flow, steps
        self.duration = flow.end_time.item()

    def forward(self, w: Tensor, semantics: Tensor) -> Tensor:
        """w → z, both (B, L, D)."""
        first, _, last = self.flow.chain
        z: Tensor = last(self._moved(first(w), semantics, 0.0, self.duration))
        return z

    def inverse(self, z: Tensor, semantics: Tensor) -> Tensor:
        """z → w, both (B, L, D)."""
        first, _, last = self.flow.chain
        w: Tensor = first.inverse(self._moved(last.inverse(z), semantics, self.duration, 0.0))
        return w

    def _moved(self, start: Tensor, semantics: Tensor, begin: float, finish: float) -> Tensor:
        network = self.flow.velocity
        condition = network.condition(semantics)

        def rate(t: float, z: Tensor) -> Tensor:
            return network.evaluate(t, z, condition, keep=False).value

        return equal_steps(rate, start, begin, finish, self.steps)

    @torch.no_grad()
    def error(self, w: Tensor, semantics: Tensor, target: Tensor) -> float:
        """Largest distance between w_e (B, L, D) of these steps and of the adaptive solution in float64."""
        exact = copy.deepcopy(self.flow).double()
        exact.solver, exact.tolerance = "equal_steps", _EXACT
        expected = exact.inverse(exact(w.double(), semantics.double()), target.double())
        return float((self.inverse(self(w, semantics), target) - expected).abs().max())


def unroll(owner: nn.Module, steps: int) -> list[UnrolledFlow]:
    """Put an `UnrolledFlow` in the place of each continuous flow among the networks of an editor.

    Returns:
        Those put in.
    """
    found = [name for name, network in owner.named_children() if isinstance(network, ContinuousFlow)]
    unrolled = [UnrolledFlow(owner.get_submodule(name), steps).eval() for name in found]  # type: ignore[arg-type]
    for name, flow in zip(found, unrolled, strict=True):
        setattr(owner, name, flow)
    return unrolled
