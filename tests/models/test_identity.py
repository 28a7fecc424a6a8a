"""Face recognition networks: published numbers and keys, crops, unit embeddings."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import models
from models.identity import (
    PUBLISHED_CROP,
    IResNetIdentity,
    IRSEIdentity,
    crop_face,
    iresnet_identity_sizes,
    irse_identity_sizes,
)
from scripts.checks.golden.case import run_case
from scripts.checks.golden.encoders import CASES
from utils.config import ConfigError, Section

GOLDEN = Path(__file__).parent.parent / "golden"
IRSE: dict[str, Any] = {"layers": [1, 2, 1, 1], "widths": [8, 8, 12, 16, 24], "embedding_dim": 20, "input_side": 64}
IRESNET: dict[str, Any] = {"layers": [1, 2, 1, 1], "width": 8, "embedding_dim": 20, "input_side": 64}
NETWORKS: list[tuple[Any, dict[str, Any]]] = [(IRSEIdentity, IRSE), (IResNetIdentity, IRESNET)]


def shapes_of(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in module.state_dict().items()}


def images(side: int = 64, count: int = 3) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(1)) * 2 - 1


def frozen(network: Callable[..., nn.Module], **arguments: Any) -> Any:
    torch.manual_seed(0)
    return network(**arguments).eval().requires_grad_(False)


@pytest.mark.parametrize("name", ["arcface_ir_se50", "iresnet34"])
def test_published_networks_give_the_recorded_numbers(name: str) -> None:
    result = run_case(GOLDEN / f"{name}.json", CASES[name])
    assert result.passed, result.failures()


@pytest.mark.parametrize(
    ("name", "network", "sizes", "arguments"),
    [
        ("arcface_ir_se50", IRSEIdentity, irse_identity_sizes, {}),
        ("iresnet34", IResNetIdentity, iresnet_identity_sizes, {}),
        ("iresnet50", IResNetIdentity, iresnet_identity_sizes, {"layers": [3, 4, 14, 3]}),
    ],
)
def test_keys_and_shapes_are_the_published_ones(
    name: str, network: Callable[..., nn.Module], sizes: Callable[..., dict[str, Any]], arguments: dict[str, Any]
) -> None:
    shapes = {k: tuple(v) for k, v in json.loads((GOLDEN / f"{name}.json").read_text())["shapes"].items()}
    with torch.device("meta"):
        assert shapes_of(network(**sizes(shapes))) == shapes
        assert shapes_of(network(**arguments)) == shapes


def test_sizes_are_read_off_the_shapes() -> None:
    with torch.device("meta"):
        assert irse_identity_sizes(shapes_of(IRSEIdentity(**IRSE))) == IRSE
        assert iresnet_identity_sizes(shapes_of(IResNetIdentity(**IRESNET))) == IRESNET


@pytest.mark.parametrize(("network", "arguments"), NETWORKS)
@pytest.mark.parametrize("crop", [None, PUBLISHED_CROP])
@pytest.mark.parametrize("side", [48, 64, 130])
def test_embeddings_of_any_image_have_unit_norm(
    network: Callable[..., nn.Module], arguments: dict[str, Any], crop: tuple[int, ...] | None, side: int
) -> None:
    embedding = frozen(network, **arguments, crop=crop).embedding(images(side))
    assert embedding.shape == (3, 20)
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(3))
    assert (embedding[0] - embedding[1]).abs().max() > 1e-4


@pytest.mark.parametrize(("network", "arguments"), NETWORKS)
def test_one_face_alone_is_the_same_face_in_a_batch(
    network: Callable[..., nn.Module], arguments: dict[str, Any]
) -> None:
    identity = frozen(network, **arguments)
    torch.testing.assert_close(
        identity.embedding(images()[1:2]), identity.embedding(images())[1:2], rtol=1e-4, atol=1e-5
    )


def test_only_the_arcface_network_normalises() -> None:
    torch.testing.assert_close(frozen(IRSEIdentity, **IRSE)(images()).norm(dim=1), torch.ones(3))
    assert (frozen(IResNetIdentity, **IRESNET)(images()).norm(dim=1) - 1).abs().min() > 0.05


@pytest.mark.parametrize(("side", "rows", "columns"), [(256, (35, 223), (32, 220)), (512, (70, 446), (64, 440)),
                                                       (64, (8, 55), (8, 55))])  # fmt: skip
def test_crop_scales_with_the_image(side: int, rows: tuple[int, int], columns: tuple[int, int]) -> None:
    index = torch.arange(side * side).reshape(1, 1, side, side)
    assert torch.equal(crop_face(index, PUBLISHED_CROP), index[:, :, slice(*rows), slice(*columns)])
    assert crop_face(index, None) is index


@pytest.mark.parametrize(("network", "arguments"), NETWORKS)
def test_what_lies_outside_the_crop_does_not_matter(
    network: Callable[..., nn.Module], arguments: dict[str, Any]
) -> None:
    identity = frozen(network, **arguments, crop=[32, 224, 64, 192])
    image, other = images(64), images(64)
    other[:, :, :8], other[:, :, 56:], other[:, :, :, :16], other[:, :, :, 48:] = 0.5, 0.5, 0.5, 0.5
    assert torch.equal(identity.embedding(image), identity.embedding(other))
    other[:, :, 8:12] = 0.5
    assert not torch.equal(identity.embedding(image), identity.embedding(other))


@pytest.mark.parametrize(("network", "arguments"), NETWORKS)
def test_image_that_fits_is_taken_as_it_is(network: Callable[..., nn.Module], arguments: dict[str, Any]) -> None:
    identity, image = frozen(network, **arguments, crop=None), images(64)
    assert identity.preprocess(image) is image
    torch.testing.assert_close(identity.resize(image), image, rtol=0, atol=1e-6)
    torch.testing.assert_close(identity.embedding(image), nn.functional.normalize(identity(image)))


@pytest.mark.parametrize(("network", "arguments"), NETWORKS)
def test_gradients_reach_the_image(network: Callable[..., nn.Module], arguments: dict[str, Any]) -> None:
    image = images(100).requires_grad_()
    frozen(network, **arguments).embedding(image)[:, 0].sum().backward()
    assert image.grad is not None and image.grad.abs().max() > 0


@pytest.mark.parametrize(("network", "arguments"), NETWORKS)
def test_impossible_sizes_are_refused(network: Callable[..., nn.Module], arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="64 x 64, not 128 x 128"):
        frozen(network, **arguments)(images(128))
    for key, value in (
        ("crop", [0, 10, 0]), ("crop", [10, 10, 0, 20]), ("crop", [0, 10, 0, 257]), ("crop", [-1, 10, 0, 20]),
        ("input_side", 8), ("layers", [1, 1, 1]), ("layers", [1, 1, 1, 0]), ("embedding_dim", 0),
    ):  # fmt: skip
        kind = "ir_se_identity" if network is IRSEIdentity else "iresnet_identity"
        with pytest.raises(ConfigError, match=f"network.{key}: (item . )?must be"):
            models.NETWORKS.build(Section({"name": kind, **arguments, key: value}, "network"))


def test_other_checkpoints_are_refused() -> None:
    for sizes in (irse_identity_sizes, iresnet_identity_sizes):
        with pytest.raises(ValueError, match="missing"):
            sizes({"mlp.0.weight": (4, 4)})
    shapes = shapes_of(IResNetIdentity(**IRESNET))
    with pytest.raises(ValueError, match="not a square map"):
        iresnet_identity_sizes({**shapes, "fc.weight": (20, 1000)})
