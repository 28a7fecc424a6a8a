"""DeepLabv3 at small sizes: what the recorded numbers do not show."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.parsing.segmentor import DeepLabV3

SMALL = {"width": 4, "depths": (1, 1, 2, 2), "groups": 2, "head_width": 4}


@pytest.fixture(scope="module")
def parser() -> DeepLabV3:
    torch.manual_seed(0)
    return DeepLabV3(**SMALL).eval()  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(32, 32), (40, 56), (33, 47)])
def test_logits_have_the_pictures_size(parser: DeepLabV3, size: tuple[int, int]) -> None:
    assert parser(torch.rand(2, 3, *size) * 2 - 1).shape == (2, 19, *size)


@torch.no_grad()
def test_pictures_are_normalised_as_imagenet_is(parser: DeepLabV3) -> None:
    image = torch.rand(1, 3, 32, 32)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    normalised = (image - mean[:, None, None]) / std[:, None, None]
    expected = parser.enlarged(parser.aspp(parser.features(normalised)[-1]), 32, 32)
    torch.testing.assert_close(parser(2 * image - 1), expected)


@torch.no_grad()
def test_a_kernel_counts_without_its_mean_and_scale(parser: DeepLabV3) -> None:
    image, convolutions = torch.rand(1, 3, 32, 32), [m for m in parser.modules() if isinstance(m, nn.Conv2d)]
    before = parser(image)
    state = {key: value.clone() for key, value in parser.state_dict().items()}
    for convolution in convolutions:
        if convolution is not parser.aspp.conv3:
            convolution.weight.mul_(3).add_(0.5)
    after = parser(image)
    parser.load_state_dict(state)
    torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-3)
    assert all(convolution.bias is None for convolution in convolutions if convolution is not parser.aspp.conv3)


def test_gradients_reach_the_picture(parser: DeepLabV3) -> None:
    image = torch.rand(1, 3, 32, 32, requires_grad=True)
    parser(image).square().sum().backward()
    assert image.grad is not None and image.grad.abs().min() >= 0 and image.grad.any()


def test_the_default_is_the_published_network() -> None:
    with torch.device("meta"):
        made = DeepLabV3()
    assert sum(p.numel() for p in made.parameters()) == 58_040_147 and len(made.state_dict()) == 332
    assert made.mask_classes == 19
