"""Rules that change one attribute."""

from __future__ import annotations

import pytest
import torch

from models.editors.targets import labelled_target, modify_one_attribute, replace_one_attribute, slider_scale


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


@pytest.mark.parametrize("mode", ["random", "uniform"])
def test_random_modes_change_one_entry_of_each_row(mode: str) -> None:
    before = semantics(500)
    chosen, after = modify_one_attribute(before, mode=mode)
    assert torch.equal((after != before).int().argmax(1), chosen)
    values = after.gather(1, chosen[:, None])
    assert values.min() >= 0 and values.max() <= 1
    assert (values.unique().numel() == 2) == (mode == "random")


def test_the_negative_mode_changes_one_column() -> None:
    before = semantics(20)
    chosen, after = modify_one_attribute(before, mode="negative")
    torch.testing.assert_close(after[:, int(chosen)], 1 - before[:, int(chosen)])
    assert int((after != before).any(0).sum()) == 1


def test_an_unknown_mode_is_an_error() -> None:
    with pytest.raises(ValueError, match="unknown mode 'flip'"):
        modify_one_attribute(semantics(2), mode="flip")


def test_labels_are_flipped_and_undecided_values_stay() -> None:
    source = torch.tensor([1.0, 0.0, 0.4])
    torch.testing.assert_close(labelled_target(source, 0.2), torch.tensor([-0.2, 1.2, 0.4]))


def test_the_slider_spans_keeping_to_overshooting() -> None:
    present = torch.ones(2)
    keep, most = slider_scale(torch.tensor([1 / 7, 1.0])).tolist()
    torch.testing.assert_close(labelled_target(present, keep), present)
    torch.testing.assert_close(labelled_target(present, most), torch.full((2,), -0.2))
