"""What speed costs in accuracy, on a few avatars."""

from __future__ import annotations

import torch

from scripts.benchmarks.accuracy import bfloat16_effect, solver_errors


def test_accuracy_on_a_few_avatars() -> None:
    errors = solver_errors(2, torch.device("cpu"))
    assert errors.published.shape == errors.ours.shape == (10,)
    assert (errors.published < 1e-2).all() and (errors.ours < 1e-2).all() and (errors.ours > 0).all()
    low = bfloat16_effect(7, torch.device("cpu"))
    assert low["edits"] == 7 and low["decisions"] == 35
    assert 30 < low["psnr"]["least"] <= low["psnr"]["mean"] < 100
