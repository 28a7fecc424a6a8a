"""Terms of the identity swap: the high-frequency picture, patches, structural similarity."""

from __future__ import annotations

import pytest
import torch

from criteria.high_frequency import gaussian_kernel, high_frequency
from criteria.patches import draw_crops, patches
from criteria.structural_similarity import mixed_distance, structural_similarity


def pictures(side: int = 64, count: int = 2) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(0))


def test_a_constant_picture_has_no_high_frequencies() -> None:
    found = high_frequency(torch.full((1, 3, 64, 64), 0.5))
    assert found[..., 10:-10, 10:-10].abs().max() < 1e-6
    assert found[..., 0, 0].min() > 0.3  # beyond the border the picture is 0


def test_high_frequencies_are_those_of_the_grey_picture() -> None:
    image = pictures()
    found = high_frequency(image, 5)
    assert torch.equal(found[:, 0], found[:, 1])
    grey = 0.299 * image[:, 0] + 0.587 * image[:, 1] + 0.114 * image[:, 2]
    row, column, kernel = 20, 31, gaussian_kernel(5)
    expected = grey[:, row, column] - (grey[:, row - 2 : row + 3, column - 2 : column + 3] * kernel).sum((1, 2))
    torch.testing.assert_close(found[:, 0, row, column], expected)
    assert kernel.sum() == pytest.approx(1) and kernel.argmax() == 12


def test_crops_lie_inside_and_have_the_wanted_sizes() -> None:
    torch.manual_seed(0)
    crops = draw_crops(256, 500)
    assert min(crop.side for crop in crops) == 32 and max(crop.side for crop in crops) == 63
    assert all(0 <= place < 256 - crop.side for crop in crops for place in (crop.top, crop.left))
    torch.manual_seed(0)
    assert draw_crops(256, 500) == crops


def test_patches_of_a_picture_stand_together() -> None:
    image, crops = pictures(), draw_crops(64, 3)
    found = patches(image, crops, 16)
    assert found.shape == (6, 3, 16, 16)
    torch.testing.assert_close(found[3 + 1], patches(image[1:], crops[1:2], 16)[0])
    side, top, left = crops[2]
    square = patches(image, crops, side)[2]
    torch.testing.assert_close(square, image[0, :, top : top + side, left : left + side])


def test_structural_similarity_of_equal_and_of_other_pictures() -> None:
    image = pictures(176)
    assert structural_similarity(image, image).tolist() == pytest.approx([1, 1])
    noisy = (image + 0.2 * torch.randn(image.shape, generator=torch.Generator().manual_seed(1))).clamp(0, 1)
    assert (structural_similarity(noisy, image) < 0.98).all()
    assert float(mixed_distance(image, image)) == pytest.approx(0, abs=1e-6)
    expected = 0.9 * (1 - structural_similarity(noisy, image).mean()) + 0.1 * (noisy - image).abs().mean()
    assert float(mixed_distance(noisy, image)) == pytest.approx(float(expected), rel=1e-6)


def test_small_pictures_have_a_smaller_window() -> None:
    image = pictures(64)
    assert structural_similarity(image, image).tolist() == pytest.approx([1, 1])
    with pytest.raises(ValueError, match="more than 32 pixels"):
        structural_similarity(pictures(32), pictures(32))
