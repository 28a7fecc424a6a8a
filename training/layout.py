"""How a network's weights lie in memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

_LEAST_CHANNELS = 8


def channels_last(network: nn.Module) -> Any:
    """The network with channels-last weights, a third faster to train on CPUs; very narrow ones are left as they are.

    The gradient of a strided 1 × 1 convolution of 4 channels writes out of bounds in that layout (PyTorch 2.13, CPU).
    """
    widths = [m.out_channels for m in network.modules() if isinstance(m, nn.Conv2d)]
    if min(widths, default=0) < _LEAST_CHANNELS:
        return network
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def is_channels_last(network: nn.Module) -> bool:
    """Whether `channels_last` changed the network, so that its input is best given in that layout as well."""
    return any(
        p.ndim == 4 and p.is_contiguous(memory_format=torch.channels_last) and not p.is_contiguous()
        for p in network.parameters()
    )
