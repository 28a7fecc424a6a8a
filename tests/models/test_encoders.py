"""e4e and pSp encoders and latent discriminator: published numbers, stages, sizes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from models import NETWORKS
from models.encoders.e4e import E4eEncoder, e4e_sizes
from models.encoders.irse import IRSEUnit, SqueezeExcitation, halved
from models.encoders.latent_discriminator import LatentDiscriminator, latent_discriminator_sizes
from models.encoders.psp import GradualStyleEncoder, psp_sizes
from scripts.check_golden import find_builder
from scripts.checks.golden.case import run_case
from utils.config import ConfigError, Section

GOLDEN = Path(__file__).parent.parent / "golden"
NARROW: dict[str, Any] = {
    "input_size": 64,
    "styles": 10,
    "style_dim": 24,
    "layers": [2, 2, 4, 2],
    "widths": [8, 8, 16, 24, 32],
}


@pytest.fixture(scope="module")
def encoder() -> E4eEncoder:
    torch.manual_seed(0)
    return E4eEncoder(**NARROW).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1


def shapes_of(module: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in module.state_dict().items()}


@pytest.mark.parametrize(("name", "outputs"), [("e4e_encoder", 7), ("psp_gradual_encoder_256", 1)])
def test_published_network_gives_the_recorded_codes(name: str, outputs: int) -> None:
    result = run_case(GOLDEN / f"{name}.json", find_builder(name))
    assert len(result.comparisons) == outputs
    assert result.passed, result.failures()


@pytest.mark.parametrize(("name", "styles"), [("e4e_encoder", 18), ("psp_gradual_encoder_256", 14)])
def test_psp_has_the_published_keys(name: str, styles: int) -> None:
    """At 18 rows they are those of e4e."""
    shapes = {k: tuple(v) for k, v in json.loads((GOLDEN / f"{name}.json").read_text())["shapes"].items()}
    with torch.device("meta"):
        network, default = GradualStyleEncoder(**psp_sizes(shapes)), GradualStyleEncoder(styles=styles)
    assert shapes_of(network) == shapes
    assert shapes_of(default) == shapes


def test_psp_takes_each_row_from_its_own_head(encoder: E4eEncoder, images: torch.Tensor) -> None:
    """On the same weights, e4e's rows are the first one plus what pSp reads as rows of their own."""
    psp = GradualStyleEncoder(**NARROW).eval().requires_grad_(False)
    psp.load_state_dict(encoder.state_dict())
    rows = psp(images)
    assert rows.shape == (3, NARROW["styles"], NARROW["style_dim"])
    expected = torch.cat([rows[:, :1], rows[:, :1] + rows[:, 1:]], dim=1)
    torch.testing.assert_close(encoder(images), expected, rtol=0, atol=0)
    with torch.no_grad():
        psp.styles[4].linear.bias += 1
    assert (psp(images) != rows).any(dim=2).any(dim=0).nonzero().flatten().tolist() == [4]


def test_keys_and_shapes_are_the_published_ones() -> None:
    shapes = {k: tuple(v) for k, v in json.loads((GOLDEN / "e4e_encoder.json").read_text())["shapes"].items()}
    with torch.device("meta"):
        network, default = E4eEncoder(**e4e_sizes(shapes)), E4eEncoder()
    assert shapes_of(network) == shapes
    assert shapes_of(default) == shapes


@pytest.mark.parametrize("stage", [0, 1, 3, 6, 7, 9])
def test_stage_adds_one_head_after_another(encoder: E4eEncoder, images: torch.Tensor, stage: int) -> None:
    full = encoder(images)
    encoder.stage = stage
    try:
        staged = encoder(images)
    finally:
        encoder.stage = NARROW["styles"] - 1
    torch.testing.assert_close(staged[:, : stage + 1], full[:, : stage + 1], rtol=0, atol=0)
    for row in range(stage + 1, NARROW["styles"]):
        assert torch.equal(staged[:, row], staged[:, 0])
        assert not torch.allclose(full[:, row], full[:, 0])


def test_later_stage_than_rows_uses_all_heads(encoder: E4eEncoder, images: torch.Tensor) -> None:
    full = encoder(images)
    encoder.stage = 18
    assert encoder.stage == NARROW["styles"] - 1
    assert torch.equal(encoder(images), full)
    with pytest.raises(ValueError, match="stage is -1"):
        encoder.stage = -1


def test_heads_beyond_the_stage_get_no_gradient(images: torch.Tensor) -> None:
    network = E4eEncoder(**NARROW)
    network.stage = 2
    network(images).square().mean().backward()
    assert all((head.linear.weight.grad is not None) == (row <= 2) for row, head in enumerate(network.styles))
    assert network.latlayer1.weight.grad is None
    network.stage = 3
    network(images).square().mean().backward()
    assert network.latlayer1.weight.grad is not None and network.latlayer2.weight.grad is None


def test_rows_read_coarse_middle_and_fine_features(encoder: E4eEncoder, images: torch.Tensor) -> None:
    c1, c2, c3 = encoder.features(images)
    assert c1.shape == (3, 16, 16, 16) and c2.shape == (3, 24, 8, 8) and c3.shape == (3, 32, 4, 4)
    code = encoder.decode_features(c1, c2, c3)
    changed_fine = (encoder.decode_features(c1 + 1, c2, c3) != code).any(dim=2).any(dim=0)
    changed_middle = (encoder.decode_features(c1, c2 + 1, c3) != code).any(dim=2).any(dim=0)
    assert changed_fine.tolist() == [False] * 7 + [True] * 3
    assert changed_middle.tolist() == [False] * 3 + [True] * 7


def test_one_face_alone_is_the_same_face_in_a_batch(encoder: E4eEncoder, images: torch.Tensor) -> None:
    torch.testing.assert_close(encoder(images[1:2]), encoder(images)[1:2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("side", "styles"), [(16, 1), (17, 18), (40, 10), (64, 3), (96, 4), (100, 7), (112, 8), (256, 18), (500, 20)]
)
def test_any_input_size_and_number_of_styles(side: int, styles: int) -> None:
    with torch.device("meta"):
        for kind in (E4eEncoder, GradualStyleEncoder):
            network = kind(side, styles, 8, [1, 1, 1, 1], [4, 4, 4, 8, 12])
            assert network(torch.empty(2, 3, side, side)).shape == (2, styles, 8)


@pytest.mark.parametrize("side", [32, 64, 128, 256, 1024])
def test_sizes_are_read_off_the_shapes(side: int) -> None:
    arguments = {**NARROW, "input_size": side}
    with torch.device("meta"):
        network = E4eEncoder(**arguments)
    assert e4e_sizes(shapes_of(network)) == arguments


def test_impossible_sizes_are_refused(encoder: E4eEncoder) -> None:
    with pytest.raises(ValueError, match="64 x 64, not 128 x 128"):
        encoder(torch.zeros(1, 3, 128, 128))
    for key, value in (
        ("input_size", 8), ("styles", 0), ("style_dim", 0), ("layers", [2, 2, 2]), ("layers", [0, 1, 1, 1]),
        ("widths", [8, 8, 8, 8]), ("widths", [8, 8, 8, 8, 0]),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=f"network.{key}: (item . )?must be"):
            NETWORKS.build(Section({"name": "e4e_encoder", **NARROW, key: value}, "network"))
    with pytest.raises(ValueError, match="no pSp or e4e encoder"):
        e4e_sizes({"conv1.weight": (64, 3, 7, 7)})
    shapes = shapes_of(encoder)
    with pytest.raises(ValueError, match="four stages"):
        e4e_sizes({key: shape for key, shape in shapes.items() if "shortcut_layer" not in key})


def test_unit_subsamples_its_shortcut_where_channels_stay() -> None:
    unit = IRSEUnit(6, 6, stride=2).eval()
    torch.nn.init.zeros_(unit.res_layer[4].weight)
    x = torch.randn(2, 6, 7, 8)
    assert torch.equal(unit(x), x[:, :, ::2, ::2])
    assert IRSEUnit(6, 8, stride=2)(x).shape == (2, 8, halved(7, 1), halved(8, 1))


def test_squeeze_excitation_scales_whole_channels() -> None:
    layer, x = SqueezeExcitation(32), torch.rand(2, 32, 5, 4) + 0.5
    gate = layer(x) / x
    torch.testing.assert_close(gate, gate[:, :, :1, :1].expand_as(gate))
    assert gate.min() > 0 and gate.max() < 1


def test_latent_discriminator_judges_each_vector_alone() -> None:
    torch.manual_seed(0)
    critic, codes = LatentDiscriminator(16), torch.randn(3, 5, 16)
    logits = critic(codes)
    assert logits.shape == (3, 5, 1)
    torch.testing.assert_close(critic(codes[1, 2]), logits[1, 2])
    assert critic(codes.flatten(0, 1)).std() > 0
    assert list(critic.state_dict())[::2] == [f"mlp.{i}.weight" for i in (0, 2, 4, 6)]
    assert latent_discriminator_sizes(shapes_of(critic)) == {"style_dim": 16, "layers": 4}
    with pytest.raises(ConfigError, match="style_dim: must be at least 1, not 0"):
        NETWORKS.build(Section({"name": "latent_discriminator", "style_dim": 0}, "network"))
