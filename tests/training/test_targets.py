"""Random targets of a training step."""

from __future__ import annotations

import pytest
import torch

from training.targets import replace_one_attribute


def semantics(rows: int = 3000) -> torch.Tensor:
    return 2 + torch.rand(rows, 3, generator=torch.Generator().manual_seed(0))  # no draw from [0, 1] can equal these


def test_one_entry_of_each_row_becomes_uniform() -> None:
    torch.manual_seed(0)
    before = semantics().requires_grad_()
    after = replace_one_attribute(before, -0.2, 1.2)
    changed = after != before
    assert not after.requires_grad
    assert (changed.sum(1) == 1).all()
    assert ((changed.sum(0) - 1000).abs() < 4 * (3000 * 2 / 9) ** 0.5).all()  # each column as often
    values = after[changed]
    assert -0.2 <= values.min() < -0.19 and 1.19 < values.max() <= 1.2
    assert values.mean().item() == pytest.approx(0.5, abs=4 * 1.4 / (12 * 3000) ** 0.5)


def test_the_draw_follows_the_global_generator() -> None:
    torch.manual_seed(1)
    first = replace_one_attribute(semantics(50))
    torch.manual_seed(1)
    torch.testing.assert_close(replace_one_attribute(semantics(50)), first, rtol=0, atol=0)
