"""Inception and VGG16 from their files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from models.evaluation.feature_networks import VGG16Features, feature_network
from utils.torchvision_operators import torchvision
from utils.weights import WeightsError


def inception_state() -> dict[str, torch.Tensor]:
    network = torchvision.models.inception_v3(weights=None, aux_logits=False, num_classes=1008, init_weights=False)
    return network.state_dict()


def test_inception_sees_whole_levels(tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(inception_state(), tmp_path / "inception.pth")
    network = feature_network("inception", tmp_path / "inception.pth")
    image = torch.rand(2, 3, 64, 64) * 2 - 1
    features = network(image)
    assert features.shape == (2, 2048) and bool(features.any()) and not features.requires_grad
    assert torch.equal(network(((image + 1) * 127.5).round() / 127.5 - 1), features)
    torch.testing.assert_close(network(image[1:]), features[1:])


def test_vgg16_ends_with_the_second_relu() -> None:
    with torch.device("meta"):
        network = VGG16Features(torchvision.models.vgg16(init_weights=False).state_dict())
        for side in (256, 64):
            assert network(torch.zeros(2, 3, side, side)).shape == (2, 4096)
    assert [type(layer).__name__ for layer in network.network.classifier][-2:] == ["ReLU", "Dropout"]
    assert not network.network.training


def test_another_file_is_refused(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(2)}, tmp_path / "other.pth")
    for name in ("inception", "vgg16"):
        with pytest.raises(WeightsError, match=rf"other\.pth: not the weights of {name}"):
            feature_network(name, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=r"none\.pth: no such weight file; python scripts/download\.py fid"):
        feature_network("inception", tmp_path / "none.pth")
