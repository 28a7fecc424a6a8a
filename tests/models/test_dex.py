"""DEX: the published shapes, what it sees, and its files; directions of W++ by its scores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from models.dex import DEX, dex_input, dex_sizes, expected_age
from models.weight_files import load_network
from scripts import convert_checkpoint
from scripts.check_golden import find_builder
from scripts.checks.golden.case import run_case

GOLDEN = Path(__file__).parents[1] / "golden"


def test_recorded_numbers() -> None:
    result = run_case(GOLDEN / "wpp_interfacegan.json", find_builder("wpp_interfacegan"))
    assert result.passed, "\n".join(result.failures())


def test_published_shapes() -> None:
    constants = json.loads((GOLDEN / "wpp_interfacegan.json").read_text("utf-8"))["constants"]
    shapes = constants["dex_age_shapes"]
    for published in (shapes, shapes | constants["dex_gender_differs"]):
        with torch.device("meta"):
            network = DEX(**dex_sizes(published))
        assert {key: list(value.shape) for key, value in network.state_dict().items()} == published


def test_pictures_of_another_side_are_resized() -> None:
    large = torch.rand(2, 3, 512, 512) * 2 - 1
    assert dex_input(large).shape == dex_input(large[:, :, :100, :100]).shape == (2, 3, 224, 224)
    plain = torch.full((1, 3, 64, 64), -1.0)
    plain[:, 0] = 1.0  # red comes last
    assert torch.equal(dex_input(plain)[0, :, 0, 0], torch.tensor([0.0, 0.0, 255.0]))


def test_a_file_is_recognised(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = DEX(classes=5, widths=(2, 3, 4, 5, 6), layers=(1, 2, 1, 1, 2), hidden=8).eval()
    torch.save(network.state_dict(), tmp_path / "age_sd.pth")
    assert convert_checkpoint.main([str(tmp_path / "age_sd.pth"), str(tmp_path / "age.safetensors")]) == 0
    image = torch.rand(3, 3, 256, 256) * 2 - 1
    for name in ("age_sd.pth", "age.safetensors"):
        loaded = load_network(tmp_path / name)
        assert loaded.kind == "dex"
        assert torch.equal(loaded.module(image), network(image))
    probabilities = network(image)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(3))
    years = expected_age(probabilities)
    assert years.shape == (3,) and bool(((years > 0) & (years < 4)).all())
    assert expected_age(torch.eye(101)).tolist() == pytest.approx(range(101))
