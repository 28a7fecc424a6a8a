"""The flow in equal steps that are not checked, against the solver."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.flows.unrolled import UnrolledFlow, unroll
from tests.flows import codes, continuous_flow


def test_it_converges_with_order_five() -> None:
    flow, (w, semantics) = continuous_flow(), codes()
    first, second, third = (UnrolledFlow(flow, steps).error(w, semantics, 1 - semantics) for steps in (1, 2, 4))
    assert first > 2**4.5 * second > 2**9 * third > 0


@pytest.mark.parametrize("trainable", [False, True])
def test_it_is_the_solvers_solution_in_both_directions(trainable: bool) -> None:
    flow, (w, semantics) = continuous_flow(end_time=0.7, trainable_end_time=trainable), codes()
    unrolled = UnrolledFlow(flow, 32)
    with torch.no_grad():
        torch.testing.assert_close(unrolled(w, semantics), flow(w, semantics), rtol=0, atol=1e-6)
        torch.testing.assert_close(unrolled.inverse(w, semantics), flow.inverse(w, semantics), rtol=0, atol=1e-6)


def test_the_error_is_that_of_the_exact_solution_and_changes_nothing() -> None:
    flow, (w, semantics) = continuous_flow(solver="euler", steps=2).float(), codes()
    unrolled = UnrolledFlow(flow, 4)
    error = unrolled.error(w.float(), semantics.float(), 1 - semantics.float())
    with torch.no_grad():
        z = continuous_flow(tolerance=1e-10)(w, semantics)
        exact = continuous_flow(tolerance=1e-10).inverse(z, 1 - semantics)
        found = unrolled.inverse(unrolled(w.float(), semantics.float()), 1 - semantics.float())
    assert error == pytest.approx(float((found - exact).abs().max()), rel=0.05)
    assert flow.solver == "euler" and flow.velocity.layers[0]._layer.weight.dtype == torch.float32


def test_every_flow_of_an_owner_is_replaced() -> None:
    owner = nn.ModuleDict({"flow": continuous_flow(), "other": nn.Linear(2, 2)})
    (unrolled,) = unroll(owner, 3)
    assert owner["flow"] is unrolled and unrolled.steps == 3 and not unrolled.training
    assert type(owner["other"]) is nn.Linear and unroll(nn.ModuleDict(), 3) == []
