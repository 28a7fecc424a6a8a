"""Numbers over faces, on masks and changes made by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.evaluation.estimates import Estimate, Resamples, mean_iou
from models.parsing.agreement import confusion, confusions
from models.parsing.agreement import mean_iou as mean_iou_of_all_classes


def test_iou_of_masks_made_by_hand() -> None:
    truth = torch.tensor([[[1, 1], [1, 13]], [[1, 1], [13, 13]]])
    found = torch.tensor([[[1, 1], [13, 13]], [[1, 1], [13, 13]]])
    counts = confusions(truth, found).numpy()
    assert mean_iou(counts) == pytest.approx([(2 / 3 + 1 / 2) / 2, 1])
    sample = Resamples(2, seed=0)
    assert sample.iou(counts).value == pytest.approx((4 / 5 + 3 / 4) / 2)  # pixels of both faces together
    assert sample.pixel_accuracy(counts).value == pytest.approx(7 / 8)
    assert torch.equal(confusion(truth, found), torch.from_numpy(counts.sum(0)))
    assert sample.iou(counts).value == pytest.approx(mean_iou_of_all_classes(confusion(truth, found)))


def test_a_class_that_no_target_has_is_no_class() -> None:
    truth, found = torch.zeros(1, 10, 10), torch.zeros(1, 10, 10)
    found[0, 0, 0] = 3
    assert mean_iou(confusions(truth, found).numpy()) == pytest.approx([0.99])
    assert mean_iou_of_all_classes(confusion(truth, found)) == pytest.approx(0.495)


def test_intervals_hold_the_mean_and_cases_only_their_faces() -> None:
    values = np.random.default_rng(0).normal(3, 1, 400)
    found = Resamples(400, seed=0).mean(values).json()
    assert found is not None
    low, high = found["interval"]
    assert low < values.mean() < high and high - low == pytest.approx(4 * values.std() / 20, rel=0.1)
    rows = np.arange(400) < 100
    assert Resamples(400, 0, rows).mean(values).value == pytest.approx(values[:100].mean())


def test_numbers_of_the_same_faces_are_resampled_together() -> None:
    sample, values = Resamples(50, seed=0), np.random.default_rng(1).normal(size=50)
    same = sample.mean(values) - sample.mean(values)
    assert same.json() == {"value": 0, "interval": [0, 0]}
    half = (sample.mean(values / 2) / sample.mean(values)).json()
    assert half is not None and half["interval"] == pytest.approx([0.5, 0.5])
    both = Estimate.average([sample.mean(values), sample.mean(values + 2)])
    assert both.value == pytest.approx(values.mean() + 1) and both.resampled.shape == same.resampled.shape
    nothing = sample.mean(values) / Estimate(0.0, same.resampled)
    assert nothing.json() is None


def test_slope_is_the_share_of_the_way() -> None:
    asked = np.random.default_rng(2).normal(size=300)
    noise = np.random.default_rng(3).normal(scale=0.01, size=300)
    assert Resamples(300, 0).slope(0.7 * asked + noise, asked).value == pytest.approx(0.7, abs=0.01)
