"""S²-Flow's terms against numbers worked out by hand."""

from __future__ import annotations

import math

import torch

from criteria.mask_agreement import mask_agreement
from criteria.unchanged_pixels import unchanged_pixels

# Three pixels of class 0 with the logits 0, 0; one pixel of class 1 with 0, log 3: its class has three quarters.
LOGITS = torch.tensor([[[[0.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, math.log(3)]]]])
TARGET = torch.tensor([[[0, 0], [0, 1]]])
COMMON, RARE = math.log(2), math.log(4 / 3)


def test_mask_agreement_is_the_mean_over_pixels_or_over_classes() -> None:
    torch.testing.assert_close(mask_agreement(LOGITS, TARGET), torch.tensor((3 * COMMON + RARE) / 4))
    torch.testing.assert_close(mask_agreement(LOGITS, TARGET, 1.0), torch.tensor((COMMON + RARE) / 2))
    root = 3**0.5  # shares 3/4 and 1/4 to the power −1/2 are 1 : √3
    expected = torch.tensor((3 * COMMON + root * RARE) / (3 + root))
    torch.testing.assert_close(mask_agreement(LOGITS, TARGET, 0.5), expected)


def test_classes_that_no_target_has_change_nothing_but_the_logits_do() -> None:
    absent = torch.cat([LOGITS, torch.full((1, 1, 2, 2), -1e9)], dim=1)
    torch.testing.assert_close(mask_agreement(absent, TARGET, 1.0), mask_agreement(LOGITS, TARGET, 1.0))
    logits = torch.randn(1, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda values: mask_agreement(values, TARGET, 0.7), (logits,))


def test_unchanged_pixels_is_the_mean_over_the_kept_ones() -> None:
    picture, edited = torch.zeros(2, 3, 1, 2), torch.zeros(2, 3, 1, 2)
    edited[0, :, 0, 0] = torch.tensor([0.3, -0.6, 0.0])  # 0.3 on average
    edited[0, :, 0, 1] = 9.0  # where the mask changes
    edited[1] = 0.9
    kept = torch.tensor([[[True, False]], [[True, False]]])
    torch.testing.assert_close(unchanged_pixels(edited, picture, kept), torch.tensor((0.3 + 0.9) / 2))


def test_unchanged_pixels_has_a_gradient_where_the_mask_stays_alone() -> None:
    kept = torch.tensor([[[True, False]]])
    edited = torch.randn(1, 3, 1, 2, dtype=torch.float64, requires_grad=True)
    picture = torch.zeros_like(edited)
    assert torch.autograd.gradcheck(lambda values: unchanged_pixels(values, picture, kept), (edited,))
    unchanged_pixels(edited, picture, kept).backward()
    assert edited.grad is not None and edited.grad[..., 0].all() and not edited.grad[..., 1].any()
    nothing = unchanged_pixels(edited, picture, torch.zeros_like(kept))
    nothing.backward()
    assert nothing == 0 and edited.grad.isfinite().all()
