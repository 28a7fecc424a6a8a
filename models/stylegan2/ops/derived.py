"""A cache of values computed from a frozen weight, kept until the weight changes."""

from __future__ import annotations

from collections.abc import Callable, Hashable

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

# weight -> (its version, name -> value)
_values: WeakTensorKeyDictionary = WeakTensorKeyDictionary()


def frozen(weight: Tensor) -> bool:
    """Whether the weight needs no gradient and PyTorch counts its changes; a graph that is traced computes with it."""
    needed = torch.is_grad_enabled() and weight.requires_grad
    return not needed and not weight.is_inference() and not torch.compiler.is_compiling()


def derived(weight: Tensor, name: Hashable, compute: Callable[[Tensor], Tensor]) -> Tensor:
    """compute(weight), cached for a frozen weight until it changes or is deleted.

    Changes through `weight.data` are not noticed.
    """
    if not frozen(weight):
        return compute(weight)
    version = (weight._version, weight.data_ptr(), weight.dtype)
    entry = _values.get(weight)
    if entry is None or entry[0] != version:
        entry = _values[weight] = (version, {})
    if name not in entry[1]:
        with torch.inference_mode(False), torch.no_grad():  # it may take part in a gradient later
            entry[1][name] = compute(weight)
    value: Tensor = entry[1][name]
    return value
