"""What is computed from a weight alone, kept as long as the weight stays as it is."""

from __future__ import annotations

from collections.abc import Callable, Hashable

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

# weight -> (its version, name -> value)
_values: WeakTensorKeyDictionary = WeakTensorKeyDictionary()


def frozen(weight: Tensor) -> bool:
    """Whether no gradient of the weight is wanted, and its changes are counted."""
    return not (torch.is_grad_enabled() and weight.requires_grad) and not weight.is_inference()


def derived(weight: Tensor, name: Hashable, compute: Callable[[Tensor], Tensor]) -> Tensor:
    """compute(weight): of a frozen weight computed once, until the weight changes or goes.

    A change through `weight.data` is not seen.
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
