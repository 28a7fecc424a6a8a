"""The authors' rules that change one attribute."""

from __future__ import annotations

import pytest
import torch

from scripts.published.targets import labelled_target, modify_one_attribute, slider_scale


def semantics(rows: int = 3000) -> torch.Tensor:
    return 2 + torch.rand(rows, 3, generator=torch.Generator().manual_seed(0))  # no draw from [0, 1] can equal these


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
