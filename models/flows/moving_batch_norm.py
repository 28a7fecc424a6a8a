"""Normalisation by running statistics, invertible, with its log-determinant (FFJORD, 2019)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

EPSILON = 1e-4


class MovingBatchNorm1d(nn.Module):
    """y = (x − mean) / √(var + ε) · exp(weight) + bias, with running mean and variance also while training.

    A training call normalises with the statistics from before it. The statistics of its batch enter the running ones at
    once (`immediate`, the published order) or when `update` is called, so that both directions of a training step see
    the same ones.

    Args:
        features: D; statistics run over all other axes.
        momentum: share of a batch in the running statistics.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, features: int, momentum: float = 0.1, immediate: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(features))
        self.bias = nn.Parameter(torch.zeros(features))
        self.register_buffer("running_mean", torch.zeros(features))
        self.register_buffer("running_var", torch.ones(features))
        self.momentum = momentum
        self.immediate = immediate
        self._pending: tuple[Tensor, Tensor] | None = None

    def _scale(self) -> Tensor:
        return torch.exp(self.weight) * torch.rsqrt(self.running_var + EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., D) → y (..., D)."""
        # Copies, because an immediate update writes over what backward needs.
        y = (x - self.running_mean.clone()) * self._scale() + self.bias
        if self.training:
            vectors = x.detach().flatten(0, -2)
            self._pending = vectors.mean(0), vectors.var(0)
            if self.immediate:
                self.update()
        return y

    def forward_and_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """y (..., D) and log|det ∂y/∂x| of each vector (...)."""
        # Before the call, which may change the statistics.
        log_det = (self.weight - 0.5 * torch.log(self.running_var + EPSILON)).sum()
        return self(x), log_det.expand(x.shape[:-1])

    def inverse(self, y: Tensor) -> Tensor:
        """y (..., D) → x (..., D)."""
        return (y - self.bias) / self._scale() + self.running_mean.clone()

    def update(self) -> None:
        """Let the statistics of the last training batch enter the running ones."""
        if self._pending is None:
            return
        mean, variance = self._pending
        with torch.no_grad():
            self.running_mean += self.momentum * (mean - self.running_mean)
            self.running_var += self.momentum * (variance - self.running_var)
        self._pending = None
