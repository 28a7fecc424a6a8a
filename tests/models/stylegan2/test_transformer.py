"""W++: the transformer as mapping network, its tokens, and the generator that sees a condition."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from models import NETWORKS
from models.stylegan2.conditional import widened
from models.stylegan2.discriminator import Discriminator
from models.stylegan2.generator import Generator
from models.weight_files import load_network
from scripts import convert_checkpoint
from scripts.check_golden import find_builder
from scripts.checks.golden.case import run_case
from utils.config import ConfigError, Section

GOLDEN = Path(__file__).parents[2] / "golden"
CHANNELS = {4: 8, 8: 8, 16: 8}


def make(mapping_network: str = "transformer", condition_dim: int = 0) -> Generator:
    torch.manual_seed(0)
    sizes = {"size": 16, "style_dim": 16, "mapping_layers": 2, "channels": CHANNELS, "z_dim": 5}
    return Generator(**sizes, mapping_network=mapping_network, condition_dim=condition_dim).eval()  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["mapping", "generator_32", "generator_32_w", "conditional"])
def test_recorded_numbers(name: str) -> None:
    result = run_case(GOLDEN / f"wpp_{name}.json", find_builder(f"wpp_{name}"))
    assert result.passed, "\n".join(result.failures())


def test_published_sizes() -> None:
    constants = json.loads((GOLDEN / "wpp_mapping.json").read_text("utf-8"))["constants"]

    def parameters(network: torch.nn.Module) -> int:
        return sum(one.numel() for one in network.parameters())

    with torch.device("meta"):
        transformer, mlp = Generator(256, mapping_network="transformer"), Generator(256)
        discriminator = Discriminator(256)
    assert parameters(transformer.style) == constants["parameters_mapping"]
    assert parameters(mlp.style) == constants["parameters_mapping_w_space"]
    assert parameters(transformer) == constants["parameters_generator"]
    assert parameters(mlp) == constants["parameters_generator_w_space"]
    assert parameters(discriminator) == constants["parameters_discriminator"]


def test_each_row_has_its_own_z_and_its_place_counts() -> None:
    network = make()
    assert network.z_shape == (6, 5) and make("mlp").z_shape == (5,)
    z = torch.randn(2, 6, 5)
    codes = network.mapping(z)
    assert codes.shape == (2, 6, 16) and network.broadcast(codes) is codes
    assert not torch.allclose(network.mapping(z.flip(1)), codes.flip(1), atol=1e-2)
    torch.testing.assert_close(network.mapping(z[1:]), codes[1:])
    with pytest.raises(ValueError, match=r"z has shape \(2, 5\), expected \(2, 6, 5\)"):
        network.mapping(z[:, 0])


def test_the_mean_is_one_of_each_row() -> None:
    network = make()
    mean = network.mean_latent(3000, torch.Generator().manual_seed(0))
    z = torch.randn(3000, 6, 5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(mean, network.mapping(z).mean(0), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(
        network(z[:2], truncation=0.3, truncation_mean=mean),
        network.synthesis(mean + 0.3 * (network.mapping(z[:2]) - mean)),
    )


def test_attention_maps_are_those_of_the_blocks() -> None:
    network, z = make(), torch.randn(2, 6, 5)
    maps = network.attention_maps(z)
    assert [tuple(one.shape) for one in maps] == [(2, 4, 6, 6)] * 2
    for one in maps:
        torch.testing.assert_close(one.sum(3), torch.ones(2, 4, 6))
    block, x = network.style[2], network.style[:2](network.tokens(z))
    seen = []
    block.atten.register_forward_pre_hook(lambda module, inputs: seen.append(module.maps(inputs[0])))
    block(x)
    torch.testing.assert_close(maps[1], seen[0])
    with pytest.raises(ValueError, match="only a transformer"):
        make("mlp").attention_maps(z)


def test_sizes_are_read_from_shapes() -> None:
    network = make(condition_dim=3)
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    sizes = Generator.sizes_from_shapes(shapes)
    assert sizes | {"mapping_network": "transformer", "condition_dim": 3, "z_dim": 5, "mapping_layers": 2} == sizes
    again = Generator(**sizes)
    again.load_state_dict(network.state_dict())
    z, condition = torch.randn(1, 6, 5), torch.randn(1, 3)
    assert torch.equal(again(z, condition=condition), network(z, condition=condition))


def test_a_width_that_heads_cannot_share_is_refused() -> None:
    section = {"name": "stylegan2_generator", "size": 16, "style_dim": 24, "mapping_network": "transformer"}
    with pytest.raises((ConfigError, ValueError), match="width is 24, expected a multiple of 16"):
        NETWORKS.build(Section(section, "network"))


@pytest.mark.parametrize("mapping_network", ["mlp", "transformer"])
def test_a_widened_generator_draws_the_same_whatever_the_condition(mapping_network: str) -> None:
    network, wide = make(mapping_network), make(mapping_network, condition_dim=3)
    wide.load_state_dict(widened(network.state_dict(), 3))
    latent, condition = torch.randn(2, 6, 16), torch.randn(2, 3)
    expected = network.synthesis(latent)
    torch.testing.assert_close(wide.synthesis(latent, condition=condition), expected, atol=1e-4, rtol=1e-4)
    with torch.no_grad():
        wide.convs[0].conv.modulation.weight[:, -1] = 1
    assert not torch.allclose(wide.synthesis(latent, condition=condition), expected, atol=1e-2)
    with pytest.raises(ValueError, match=r"condition has shape \(2, 0\), expected \(2, 3\)"):
        wide.synthesis(latent)
    with pytest.raises(ValueError, match=r"expected \(2, 0\)"):
        network.synthesis(latent, condition=condition)


@pytest.mark.parametrize("mapping_network", ["mlp", "transformer"])
@pytest.mark.parametrize("omitted", [(), ("token", "noises.", "kernel")])
def test_a_published_training_file(mapping_network: str, omitted: tuple[str, ...], tmp_path: Path) -> None:
    """Both generators of the public code have the names of the tokens; files may lack what can be derived."""
    network, average = make(mapping_network), make(mapping_network)
    with torch.no_grad():
        for parameter in average.parameters():
            parameter.add_(0.1)
    states = [{"token": torch.eye(6), **one.state_dict()} for one in (network, average)]
    states = [{key: value for key, value in one.items() if not any(o in key for o in omitted)} for one in states]
    optimiser = torch.optim.Adam(network.parameters()).state_dict()
    content = {"g": states[0], "d": Discriminator(16, CHANNELS).state_dict(), "g_ema": states[1], "g_optim": optimiser}
    torch.save(content, tmp_path / "230000.pt")
    loaded = load_network(tmp_path / "230000.pt")
    assert loaded.kind == "stylegan2_generator" and loaded.sizes["mapping_network"] == mapping_network
    assert load_network(tmp_path / "230000.pt", "stylegan2_discriminator").sizes["size"] == 16
    codes = torch.randn(1, 6, 16)
    for _ in range(2):
        assert isinstance(loaded.module, Generator)
        torch.testing.assert_close(loaded.module.synthesis(codes, "none"), average.synthesis(codes, "none"))
        z = torch.randn(2, *average.z_shape)
        assert torch.equal(loaded.module.mapping(z), average.mapping(z))
        assert (
            convert_checkpoint.main([str(tmp_path / "230000.pt"), str(tmp_path / "g.safetensors"), "--overwrite"]) == 0
        )
        loaded = load_network(tmp_path / "g.safetensors")
    assert convert_checkpoint.main([str(tmp_path / "g.safetensors"), str(tmp_path / "back.pt")]) == 0
    back = torch.load(tmp_path / "back.pt", weights_only=True)["g_ema"]
    assert back.keys() == states[1].keys() and all(torch.equal(back[key], states[1][key]) for key in back)
