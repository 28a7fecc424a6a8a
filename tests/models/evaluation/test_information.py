"""Probes, on codes of which it is known what they tell."""

from __future__ import annotations

import pytest
import torch

from models.evaluation.information import PROBES, Kind, probe


@pytest.mark.parametrize("kind", PROBES)
def test_probes_find_what_is_there_and_nothing_else(kind: Kind) -> None:
    random = torch.Generator().manual_seed(0)
    codes = torch.randn(1600, 2, 6, generator=random)
    told = codes[:, 0, 0] > 0
    coin = torch.rand(1600, generator=random) < 0.5
    decisions = torch.stack([told, coin, torch.ones(1600, dtype=torch.bool)], 1)
    reading = probe((codes[:1200], decisions[:1200]), (codes[1200:], decisions[1200:]), kind)
    bits, right = reading.bits.mean(0), reading.right.mean(0)
    assert bits[0] > 0.6 and -0.1 < bits[1] < 0.05 and bits[2] == 0
    assert right[0] > 0.9 and 0.35 < right[1] < 0.65 and right[2] == 1


def test_a_curved_secret_is_read_by_the_network_alone() -> None:
    codes = torch.randn(3000, 1, 2, generator=torch.Generator().manual_seed(1))
    decisions = codes.prod(-1) > 0
    parts = [(codes[:2500], decisions[:2500]), (codes[2500:], decisions[2500:])]
    assert abs(probe(*parts, "linear").bits.mean()) < 0.02 and probe(*parts, "MLP").bits.mean() > 0.5


@pytest.mark.parametrize("kind", PROBES)
def test_of_a_rare_attribute_the_share_alone_is_known(kind: Kind) -> None:
    """Nine faces are too few to be split for cross-validation and stopping; nothing may fail on them."""
    codes = torch.randn(12, 1, 2, generator=torch.Generator().manual_seed(1))
    decisions = torch.arange(12)[:, None] < 9
    reading = probe((codes, decisions), (codes, decisions), kind)
    assert (reading.bits == 0).all() and (reading.right == decisions.numpy()).all()
