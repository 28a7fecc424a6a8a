"""What holds for every invertible map: an inverse, and the log-determinant of its Jacobian."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.flows import codes, continuous_flow, moving_batch_norm, realnvp

MAPS: dict[str, Callable[[], Any]] = {
    "continuous flow": lambda: continuous_flow(style_dim=4),
    "continuous flow to time 1.7": lambda: continuous_flow(style_dim=4, end_time=1.7, trainable_end_time=True),
    "continuous flow by dopri5": lambda: continuous_flow(style_dim=4, solver="dopri5", tolerance=1e-9),
    "RealNVP": realnvp,
    "moving batch norm": lambda: moving_batch_norm(4).eval(),
}
CLOSE = {"rtol": 0.0, "atol": 1e-6}


@pytest.mark.parametrize("name", MAPS)
def test_properties(name: str) -> None:
    invertible, (w, semantics) = MAPS[name](), codes(style_dim=4)
    flow = name.startswith("continuous")
    condition: tuple[Tensor, ...] = (semantics,) if flow else ()
    options = {"exact": True} if flow else {}  # Hutchinson's estimate is of one direction

    z, log_det = invertible.forward_and_log_det(w, *condition, **options)
    assert z.shape == w.shape and log_det.shape == w.shape[:-1]
    assert (z - w).abs().max() > 0.1
    torch.testing.assert_close(invertible(w, *condition), z, **CLOSE)
    torch.testing.assert_close(invertible.inverse(z, *condition), w, **CLOSE)
    torch.testing.assert_close(invertible(invertible.inverse(w, *condition), *condition), w, **CLOSE)

    jacobian = torch.autograd.functional.jacobian(lambda x: invertible(x, *condition), w)  # (B, L, D, B, L, D)
    for face in range(2):
        for row in range(2):
            own = jacobian[face, row, :, face, row]
            torch.testing.assert_close(torch.linalg.slogdet(own).logabsdet, log_det[face, row], **CLOSE)
            jacobian[face, row, :, face, row] = 0
    assert jacobian.abs().max() < 1e-6  # style vectors share the solver's steps and nothing else
