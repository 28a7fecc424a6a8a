"""Functions of tensors as graphs: what is in them, and for how many faces they are."""

from __future__ import annotations

import torch
from torch import nn

from models.exporting.programs import traced


def test_a_graph_has_what_is_used_and_takes_any_number_of_faces() -> None:
    torch.manual_seed(0)
    used, unused = nn.Linear(3, 2), nn.Linear(3, 2)

    def compute(first: torch.Tensor, second: torch.Tensor, third: torch.Tensor) -> torch.Tensor:
        assert second is None or len(second)
        return used(third) * first

    examples = {"a": torch.rand(2, 2), "c": torch.rand(2, 3), "d": torch.rand(2, 3)}
    program = traced(compute, ("a", "b", "c"), examples, {"used": used, "unused": unused})
    assert program.inputs == ("a", "c")
    assert set(program.graph.state_dict) == {"networks.used.weight", "networks.used.bias"}
    for count in (1, 2, 5):
        first, third = torch.rand(count, 2), torch.rand(count, 3)
        torch.testing.assert_close(program.graph.module()(first, third), used(third) * first)


def test_an_argument_that_is_not_touched_is_left_out() -> None:
    program = traced(lambda first, second: second + 1, ("a", "b"), {"a": torch.rand(2), "b": torch.rand(2)}, {})
    assert program.inputs == ("b",)
