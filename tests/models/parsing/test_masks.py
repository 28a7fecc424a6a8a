"""Masks as pictures, their mirror image, and how well two of them agree."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from models.parsing.agreement import class_accuracy, confusion, intersection_over_union, mean_iou, pixel_accuracy
from models.parsing.masks import as_image, indexed, mirrored, overlaid, with_legend
from models.parsing.palette import CLASSES, PALETTE, read_mask
from utils.images import to_bytes


@pytest.fixture(scope="module")
def mask() -> Tensor:
    return torch.arange(20).remainder(19).view(4, 5)


def test_a_mirrored_mask_exchanges_left_and_right(mask: Tensor) -> None:
    turned = mirrored(mask)
    assert mirrored(turned).equal(mask) and not turned.equal(mask.flip(-1))
    for index, name in enumerate(CLASSES):
        other = name.replace("left", "LEFT").replace("right", "left").replace("LEFT", "right")
        assert ((mask == index).flip(-1) == (turned == CLASSES.index(other))).all()
    assert mirrored(mask.repeat(2, 1, 1)).equal(turned.repeat(2, 1, 1))


def test_colours_are_those_of_the_palette(mask: Tensor) -> None:
    image = as_image(mask[None])
    assert image.shape == (1, 3, 4, 5) and image.dtype == torch.float32
    np.testing.assert_array_equal(to_bytes(image[0]), np.asarray(PALETTE)[mask.numpy()])


def test_a_picture_shows_through_its_mask_and_the_background_is_clear(mask: Tensor) -> None:
    image = torch.rand(3, 4, 5) * 2 - 1
    over = overlaid(image, mask, 0.25)
    torch.testing.assert_close(over[:, mask == 1], 0.75 * image[:, mask == 1] + 0.25 * as_image(mask)[:, mask == 1])
    assert over[:, mask == 0].equal(image[:, mask == 0])


def test_a_file_to_paint_in_keeps_the_classes(mask: Tensor, tmp_path: Path) -> None:
    indexed(mask).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), mask.numpy())
    with Image.open(tmp_path / "mask.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), mask.numpy())
        np.testing.assert_array_equal(np.asarray(picture.convert("RGB")), np.asarray(PALETTE)[mask.numpy()])


def test_a_legend_names_classes_beside_the_picture(mask: Tensor) -> None:
    sheet = with_legend(as_image(mask), [1, 13], scale=10)
    assert sheet.height == 40 and sheet.width > 50 + 32
    np.testing.assert_array_equal(np.asarray(sheet)[0:40:10, 0:50:10], np.asarray(PALETTE)[mask.numpy()])
    colours = {tuple(pixel) for pixel in np.asarray(sheet)[:, 50:].reshape(-1, 3).tolist()}
    assert {tuple(PALETTE[1].tolist()), tuple(PALETTE[13].tolist())} <= colours
    assert tuple(PALETTE[18].tolist()) not in colours


def test_agreement_of_masks_by_hand() -> None:
    truth, found = torch.tensor([[1, 1, 1, 2], [0, 0, 5, 5]]), torch.tensor([[1, 1, 2, 2], [0, 5, 5, 5]])
    counts = confusion(truth, found)
    assert counts.sum() == 8 and counts[1, 2] == 1 and counts[0, 5] == 1
    scores, shares = intersection_over_union(counts), class_accuracy(counts)
    assert scores[[0, 1, 2, 5]].tolist() == pytest.approx([1 / 2, 2 / 3, 1 / 2, 2 / 3])
    assert shares[[0, 1, 2, 5]].tolist() == pytest.approx([1 / 2, 2 / 3, 1, 1])
    assert scores.isnan().sum() == 15 and shares.isnan().sum() == 15
    assert mean_iou(counts) == pytest.approx(7 / 12) and pixel_accuracy(counts) == 0.75
    assert mean_iou(confusion(truth, truth)) == 1.0
