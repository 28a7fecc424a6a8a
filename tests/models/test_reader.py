"""The reader: sizes, and that it sees where things are."""

from __future__ import annotations

import pytest
import torch

from models import NETWORKS
from models.reader import Reader
from utils.config import ConfigError, Section


@pytest.mark.parametrize("side", [32, 64])
def test_it_reads_as_many_numbers_as_asked_off_pictures_of_its_size(side: int) -> None:
    reader = Reader(7, width=4, image_side=side).eval()
    image = torch.randn(3, 3, side, side)
    assert reader(image).shape == (3, 7)
    torch.testing.assert_close(reader(image[:1]), reader(image)[:1])


def test_a_moved_dot_is_read_differently() -> None:
    torch.manual_seed(0)
    reader = Reader(2, width=4).eval()
    image = torch.zeros(2, 3, 64, 64)
    image[0, :, 16:20, 16:20] = image[1, :, 16:20, 48:52] = 1
    readings = reader(image)
    assert (readings[0] - readings[1]).abs().max() > 1e-4


@pytest.mark.parametrize("sizes", [{"outputs": 0}, {"outputs": 1, "width": 0}, {"outputs": 1, "image_side": 40}])
def test_impossible_sizes(sizes: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="must be (at least 1|a multiple of 16)"):
        NETWORKS.build(Section({"name": "reader", **sizes}, "network"))
