"""Ranger, the optimiser of pSp: RAdam ("On the Variance of the Adaptive Learning Rate and Beyond", 2019) with lookahead
("Lookahead Optimizer", 2019) and gradient centralisation ("Gradient Centralization", 2020), as the public code has it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn


class Ranger(torch.optim.Optimizer):
    """RAdam on centralised gradients; every few steps the weights return a part of the way to where they were.

    Args:
        lr: learning rate.
        betas, eps: as Adam's; eps is added to the root of the second moment without bias correction.
        lookahead: every so many steps the slow weights move and the fast ones return to them.
        slow_rate: how far the slow weights move towards the fast ones.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.95, 0.999),
        eps: float = 1e-5,
        lookahead: int = 6,
        slow_rate: float = 0.5,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "lookahead": lookahead, "slow_rate": slow_rate}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; `closure` computes the loss anew, which is returned."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._step(parameter, group)
        return loss

    def _step(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros(())
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
            state["slow"] = parameter.clone()
        gradient = centralised(parameter.grad)
        first, second = group["betas"]
        state["step"] += 1
        step = int(state["step"])
        state["exp_avg"].lerp_(gradient, 1 - first)
        state["exp_avg_sq"].lerp_(gradient.square(), 1 - second)
        rate, moved = group["lr"] / (1 - first**step), state["exp_avg"]
        rectification = rectified(second, step)
        if rectification is not None:
            rate *= rectification
            moved = moved / (state["exp_avg_sq"].sqrt() + group["eps"])
        parameter.add_(moved, alpha=-rate)
        if step % group["lookahead"] == 0:
            state["slow"].lerp_(parameter, group["slow_rate"])
            parameter.copy_(state["slow"])


def centralised(gradient: Tensor | None) -> Tensor:
    """A gradient without its mean over all axes but the first; that of a vector stays."""
    assert gradient is not None
    return gradient if gradient.ndim < 2 else gradient - gradient.mean(tuple(range(1, gradient.ndim)), keepdim=True)


def rectified(beta: float, step: int) -> float | None:
    """RAdam's factor of the step, with the bias correction of the second moment; None while its variance is unknown."""
    longest = 2 / (1 - beta) - 1
    correction = 1 - beta**step
    length = longest - 2 * step * beta**step / correction
    if length <= 5:  # the published threshold; that of the paper is 4
        return None
    ratio = (length - 4) / (longest - 4) * (length - 2) / length * longest / (longest - 2)
    return math.sqrt(correction * ratio)
