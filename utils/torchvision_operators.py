"""torchvision beside a PyTorch build that its compiled operators do not fit.

The wheel of torchvision on PyPI is compiled for CUDA builds of PyTorch. Beside a CPU-only build its binary does not
load, and the import then stops at the meta registrations of `nms` and `qnms`. Nothing here needs those operators, only
the networks written in Python: declaring the two names lets the import finish. A matched install is left as it is.

Import torchvision from here (`from utils.torchvision_operators import torchvision`), so that the order is certain.
"""

from __future__ import annotations

import sys
from typing import Any

import torch

_OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_declared: torch.library.Library | None = None  # the declarations live as long as this object


def _import_torchvision() -> Any:
    global _declared
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]  # half-imported
        _declared = torch.library.Library("torchvision", "FRAGMENT")
        for operator in _OPERATORS:
            _declared.define(operator)
        import torchvision
    return torchvision


torchvision = _import_torchvision()

__all__ = ["torchvision"]
