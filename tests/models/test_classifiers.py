"""Residual networks, attribute classifier, semantic encoder: published numbers and keys, torchvision, sizes."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from models import NETWORKS
from models.classifiers import AttributeClassifier, attribute_classifier_sizes
from models.resnet import ResNet, resnet_sizes
from models.semantic_encoder import SemanticEncoder, semantic_encoder_sizes
from scripts.checks.golden.case import run_case
from scripts.checks.golden.encoders import CASES
from utils.config import ConfigError, Section
from utils.torchvision_operators import torchvision

GOLDEN = Path(__file__).parent.parent / "golden"


def shapes_of(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in module.state_dict().items()}


def on_meta(network: Callable[..., nn.Module], **sizes: Any) -> nn.Module:
    with torch.device("meta"):
        return network(**sizes)


def images(side: int = 64, count: int = 3) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.mark.parametrize("name", ["attribute_classifier_r34", "semantic_estimator_r34"])
def test_published_networks_give_the_recorded_numbers(name: str) -> None:
    result = run_case(GOLDEN / f"{name}.json", CASES[name])
    assert result.passed, result.failures()


@pytest.mark.parametrize(
    ("name", "network", "sizes", "arguments"),
    [
        ("attribute_classifier_r34", AttributeClassifier, attribute_classifier_sizes, {}),
        ("attribute_classifier_r50", AttributeClassifier, attribute_classifier_sizes, {"backbone": "r50"}),
        ("semantic_estimator_r34", SemanticEncoder, semantic_encoder_sizes, {"attributes": 3, "head": []}),
    ],
)
def test_keys_and_shapes_are_the_published_ones(
    name: str, network: Callable[..., nn.Module], sizes: Callable[..., dict[str, Any]], arguments: dict[str, Any]
) -> None:
    shapes = {k: tuple(v) for k, v in json.loads((GOLDEN / f"{name}.json").read_text())["shapes"].items()}
    assert shapes_of(on_meta(network, **sizes(shapes))) == shapes
    assert shapes_of(on_meta(network, **arguments)) == shapes


def test_resnet34_is_torchvisions() -> None:
    torch.manual_seed(0)
    theirs = torchvision.models.resnet34(weights=None)
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.normal_(module.running_mean, std=0.1)
    ours = ResNet("r34")
    ours.load_state_dict(theirs.state_dict(), strict=True)
    theirs.eval(), ours.eval()
    with torch.no_grad():
        torch.testing.assert_close(ours(images()), theirs(images()), rtol=0, atol=0)


@pytest.mark.parametrize(("backbone", "name"), [("r18", "resnet18"), ("r50", "resnet50"), ("r101", "resnet101")])
def test_other_layouts_have_torchvisions_keys(backbone: str, name: str) -> None:
    with torch.device("meta"):
        theirs = torchvision.models.get_model(name, weights=None)
    assert shapes_of(on_meta(ResNet, backbone=backbone)) == shapes_of(theirs)


@pytest.mark.parametrize("side", [32, 64, 100, 256])
def test_input_of_any_size(side: int) -> None:
    with torch.device("meta"):
        image = torch.empty(2, 3, side, side + 8)
        assert AttributeClassifier("r34", 4, 5, 2)(image).shape == (2, 7)
        assert SemanticEncoder(3, "r50", 4)(image).shape == (2, 3)


@pytest.mark.parametrize(
    ("network", "sizes", "arguments"),
    [
        (ResNet, resnet_sizes, {"backbone": "r18", "width": 12}),
        (ResNet, resnet_sizes, {"backbone": "r50", "width": 4, "depths": [1, 2, 1, 3]}),
        (
            AttributeClassifier,
            attribute_classifier_sizes,
            {"backbone": "r50", "width": 4, "attribute_heads": 5, "age_logits": 0, "head_width": 24},
        ),
        (
            AttributeClassifier,
            attribute_classifier_sizes,
            {"backbone": "r34", "width": 6, "depths": [1, 1, 1, 1], "attribute_heads": 12, "age_logits": 3},
        ),
        (SemanticEncoder, semantic_encoder_sizes, {"attributes": 5, "backbone": "r34", "width": 8, "head": [20, 9]}),
        (SemanticEncoder, semantic_encoder_sizes, {"attributes": 3, "backbone": "r50", "width": 4, "head": []}),
    ],
)
def test_sizes_are_read_off_the_shapes(
    network: Callable[..., nn.Module], sizes: Callable[..., dict[str, Any]], arguments: dict[str, Any]
) -> None:
    assert sizes(shapes_of(on_meta(network, **arguments))) == arguments


def test_one_face_alone_is_the_same_face_in_a_batch() -> None:
    torch.manual_seed(0)
    for network in (AttributeClassifier("r34", 8, 5, 2), SemanticEncoder(5, "r50", 4)):
        network.eval().requires_grad_(False)
        batch = network(images())
        torch.testing.assert_close(network(images()[1:2]), batch[1:2], rtol=1e-4, atol=1e-6)
        assert (batch[0] - batch[1]).abs().max() > 1e-6


def test_no_age_logits_means_no_second_trunk() -> None:
    network = AttributeClassifier("r34", 8, attribute_heads=5, age_logits=0).eval()
    assert not any(key.startswith("age_heads") for key in network.state_dict())
    assert network(images()).shape == (3, 5) and network.features(images()).shape == (3, 64)


def test_heads_see_the_features_and_the_age_trunk_the_image() -> None:
    torch.manual_seed(0)
    network = AttributeClassifier("r34", 8, 3, 2).eval().requires_grad_(False)
    features = network.features(images())
    logits = network(images())
    torch.testing.assert_close(logits[:, 1:2], network.attr_heads[1](features))
    torch.testing.assert_close(logits[:, 3:], network.age_heads(images()))


def test_decisions_count_the_age_steps() -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(20, 9)).astype(np.float32)
    network = on_meta(AttributeClassifier, width=4, attribute_heads=5, age_logits=4)
    decisions = network.decisions(torch.from_numpy(logits)).numpy()
    assert np.array_equal(decisions[:, :5], logits[:, :5] > 0)
    assert np.array_equal(decisions[:, 5], (logits[:, 5:] > 0).sum(axis=1))
    without_age = on_meta(AttributeClassifier, width=4, attribute_heads=9, age_logits=0)
    assert np.array_equal(without_age.decisions(torch.from_numpy(logits)).numpy(), logits > 0)


def test_semantics_are_the_sigmoid_of_three_linear_layers() -> None:
    torch.manual_seed(0)
    network = SemanticEncoder(5, width=8, head=[16, 12]).eval().requires_grad_(False)
    x = network.backbone.features(images()).double().numpy()
    state = {key: value.double().numpy() for key, value in network.state_dict().items() if ".fc." in key}
    for layer in (0, 2, 4):
        x = x @ state[f"backbone.fc.{layer}.weight"].T + state[f"backbone.fc.{layer}.bias"]
        x = np.maximum(x, 0) if layer < 4 else x
    np.testing.assert_allclose(network.logits(images()).numpy(), x, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(network(images()).numpy(), 1 / (1 + np.exp(-x)), rtol=1e-5)


def test_impossible_sizes_are_refused() -> None:
    for kind in ("attribute_classifier", "semantic_encoder"):
        for key, value in (
            ("backbone", "r35"), ("width", 0), ("depths", [1, 1, 1]), ("depths", [1, 0, 1, 1]), ("attribute_heads", 0),
            ("age_logits", -1), ("head_width", 0), ("attributes", 0), ("head", [0]),
        ):  # fmt: skip
            section = Section({"name": kind, "attributes": 2, key: value}, "network")
            if kind == "attribute_classifier":
                section.pop("attributes")
            if key in inspect.signature(NETWORKS.load(kind)).parameters:
                with pytest.raises(ConfigError, match=f"network.{key}: (item . )?must be"):
                    NETWORKS.build(section)
    for sizes in (resnet_sizes, attribute_classifier_sizes, semantic_encoder_sizes):
        with pytest.raises(ValueError, match="missing"):
            sizes({"mlp.0.weight": (4, 4)})
    trunk = shapes_of(on_meta(AttributeClassifier, width=4, attribute_heads=1, age_logits=0))
    with pytest.raises(ValueError, match="attr_heads"):
        attribute_classifier_sizes({key: shape for key, shape in trunk.items() if "attr_heads" not in key})
