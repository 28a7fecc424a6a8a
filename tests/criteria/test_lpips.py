"""LPIPS with the trunk of a file such as torchvision publishes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from criteria.lpips import LPIPS
from scripts.checks.weight_file_samples import save
from utils.weights import WeightsError

SHAPES = {0: (64, 3, 11, 11), 3: (192, 64, 5, 5), 6: (384, 192, 3, 3), 8: (256, 384, 3, 3), 10: (256, 256, 3, 3)}


def trunk() -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(0)
    state: dict[str, Tensor] = {"classifier.6.bias": torch.zeros(1000)}
    for layer, shape in SHAPES.items():
        scale = (2 / (shape[1] * shape[2] * shape[3])) ** 0.5
        state[f"features.{layer}.weight"] = scale * torch.randn(shape, generator=draw)
        state[f"features.{layer}.bias"] = torch.zeros(shape[0])
    return state


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_the_file_is_its_trunk(legacy: bool, tmp_path: Path) -> None:
    path = save(tmp_path / "alexnet-owt-7be5be79.pth", trunk(), legacy)
    distance = LPIPS.of_file(path)
    image, target = (torch.rand(2, 3, 64, 64) * 2 - 1 for _ in range(2))
    image.requires_grad_()
    assert torch.equal(distance(image, target), LPIPS(trunk())(image, target))
    assert distance(image, target).shape == (2,) and torch.equal(distance(target, target), torch.zeros(2))
    distance(image, target).sum().backward()
    assert image.grad is not None and image.grad.abs().sum() > 0
    assert not any(one.requires_grad for one in distance.parameters())


def test_another_file_is_refused(tmp_path: Path) -> None:
    whole = trunk()
    for content, words in (
        ({"weight": torch.ones(2)}, "'features.0.weight' is missing"),
        ([1, 2], "'features.0.weight' is missing"),
        ({key: value for key, value in whole.items() if key != "features.8.bias"}, "'features.8.bias' is missing"),
        ({**whole, "features.3.weight": torch.ones(4, 4)}, "no AlexNet of torchvision .*Error"),
    ):
        path = save(tmp_path / "other.pth", content)
        with pytest.raises(WeightsError, match=rf"other\.pth: .*{words}"):
            LPIPS.of_file(path)
    with pytest.raises(WeightsError, match=r"none\.pth: no such weight file; python scripts/download.py lpips"):
        LPIPS.of_file(tmp_path / "none.pth", "python scripts/download.py lpips")
