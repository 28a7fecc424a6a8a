"""Bias, activation, gain and clamp in one call."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class _Activation(NamedTuple):
    function: Callable[[Tensor, float], Tensor]
    gain: float = 1.0
    alpha: float = 0.0


_ROOT_2 = math.sqrt(2)
_ACTIVATIONS = {
    "linear": _Activation(lambda x, alpha: x),
    "relu": _Activation(lambda x, alpha: F.relu(x), _ROOT_2),
    "lrelu": _Activation(lambda x, alpha: F.leaky_relu(x, alpha), _ROOT_2, 0.2),
    "tanh": _Activation(lambda x, alpha: torch.tanh(x)),
    "sigmoid": _Activation(lambda x, alpha: torch.sigmoid(x)),
    "elu": _Activation(lambda x, alpha: F.elu(x)),
    "selu": _Activation(lambda x, alpha: F.selu(x)),
    "softplus": _Activation(lambda x, alpha: F.softplus(x)),
    "swish": _Activation(lambda x, alpha: torch.sigmoid(x) * x, _ROOT_2),
}
ACTIVATIONS = tuple(_ACTIVATIONS)


def bias_act(
    x: Tensor,
    bias: Tensor | None = None,
    dim: int = 1,
    activation: str = "linear",
    alpha: float | None = None,
    gain: float | None = None,
    clamp: float | None = None,
) -> Tensor:
    """clamp(gain · activation(x + bias)), in this order (Karras et al., "Training Generative Adversarial Networks
    with Limited Data", 2020, reference code).

    Args:
        x: tensor of any shape.
        bias: vector for the axis `dim` of x.
        activation: one of `ACTIVATIONS`.
        alpha: slope of the negative side of `lrelu` (default 0.2).
        gain: factor behind the activation (default √2 for relu, lrelu and swish, else 1).
        clamp: limit of the result's magnitude (default none).
    Returns:
        Tensor of x's shape, differentiable twice.
    Raises:
        ValueError: unknown activation, or a bias that does not fit.
    """
    if activation not in _ACTIVATIONS:
        raise ValueError(f"unknown activation {activation!r}; known: {', '.join(ACTIVATIONS)}")
    spec = _ACTIVATIONS[activation]
    if bias is not None:
        if bias.ndim != 1 or bias.shape[0] != x.shape[dim]:
            raise ValueError(f"bias of shape {tuple(bias.shape)} does not fit axis {dim} of {tuple(x.shape)}")
        x = x + bias.reshape([-1 if axis == dim % x.ndim else 1 for axis in range(x.ndim)])
    x = spec.function(x, spec.alpha if alpha is None else alpha)
    gain = spec.gain if gain is None else gain
    if gain != 1:
        x = x * gain
    return x if clamp is None else x.clamp(-clamp, clamp)
