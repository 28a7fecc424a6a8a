"""The mask encoder: what it depends on, and what it refuses."""

from __future__ import annotations

import pytest
import torch

from models import NETWORKS
from models.parsing.mask_encoder import MaskEncoder, mask_encoder_sizes
from utils.config import Section


def masks(count: int, side: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randint(0, 19, (count, side // 8, side // 8), generator=generator)
    return coarse.repeat_interleave(8, 1).repeat_interleave(8, 2)


@torch.no_grad()
def test_two_classes_exchanged_are_another_condition() -> None:
    torch.manual_seed(0)
    encoder, mask = MaskEncoder(side=64, stages=2).eval(), masks(3, 64)
    exchanged = torch.where(mask == 13, 1, torch.where(mask == 1, 13, mask))
    condition = encoder(mask)
    assert condition.shape == (3, 19)
    assert ((encoder(exchanged) - condition).norm(dim=1) > 0.01 * condition.norm(dim=1)).all()
    torch.testing.assert_close(encoder(mask[1:2]), condition[1:2])
    assert torch.equal(encoder(mask.to(torch.uint8)), condition)


@pytest.mark.parametrize("shape", [(1, 60, 60), (1, 128, 128), (1, 64, 60), (1, 3, 64, 64), (64, 64)])
def test_masks_of_another_size_are_refused(shape: tuple[int, ...]) -> None:
    """The published head takes 491 to 554 pixels for 512, and gives four rows for 1024."""
    with pytest.raises(ValueError, match="takes masks of 64 × 64, not"):
        MaskEncoder(side=64, stages=2)(torch.zeros(shape, dtype=torch.long))


@pytest.mark.parametrize("sizes", [{}, {"side": 64, "stages": 1}, {"outputs": 5, "side": 32, "stages": 2, "width": 7}])
def test_sizes_are_read_off_the_shapes(sizes: dict[str, int]) -> None:
    with torch.device("meta"):
        state = MaskEncoder(**sizes).state_dict()
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    assert mask_encoder_sizes(shapes) == {"outputs": 19, "side": 512, "stages": 3, "width": 19} | sizes


def test_a_side_that_cannot_be_quartered_so_often() -> None:
    with pytest.raises(ValueError, match="3 stages takes masks of a multiple of 64, not 96"):
        NETWORKS.build(Section({"name": "mask_encoder", "side": 96}, "network"))
