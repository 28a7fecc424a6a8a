"""The start of a conditional generator: the pictures of a trained one, whatever the condition."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import torch
from torch import Tensor

_MODULATION = re.compile(r"(^|\.)conv\.modulation\.weight$")


def widened(state: Mapping[str, Tensor], condition_dim: int) -> dict[str, Tensor]:
    """Weights of a generator that sees `condition_dim` more numbers behind each style vector and heeds none of them.

    An equalised layer divides by the root of its inputs' number, which grows: the old columns become √((D + k) / D)
    times larger. The new ones are zero.

    Args:
        state: of a generator without a condition.
    """

    def wider(weight: Tensor) -> Tensor:
        inputs = weight.shape[1]
        scale = math.sqrt((inputs + condition_dim) / inputs)
        return torch.cat([weight * scale, weight.new_zeros(len(weight), condition_dim)], dim=1)

    return {key: wider(value) if _MODULATION.search(key) else value for key, value in state.items()}
