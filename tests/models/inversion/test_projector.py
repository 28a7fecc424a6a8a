"""The projector: the published numbers, pictures that do not depend on each other, and its spaces."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from models.inversion.noise_maps import neighbour_correlation, renormalise
from models.inversion.projector import Centre, Projection, Settings, Space, project, random_maps, reduced
from models.stylegan2.generator import Generator
from scripts.check_golden import find_builder
from scripts.checks.golden.case import run_case
from utils.weights import freeze

GOLDEN = Path(__file__).parents[2] / "golden"
SETTINGS = Settings(steps=12)


def make(mapping_network: str = "mlp") -> tuple[Generator, Centre]:
    torch.manual_seed(0)
    sizes = {"size": 16, "style_dim": 16, "mapping_layers": 2, "channels": {4: 8, 8: 8, 16: 8}}
    network = Generator(**sizes, mapping_network=mapping_network)  # type: ignore[arg-type]
    with torch.no_grad():
        for layer in (network.conv1, *network.convs):
            layer.noise.weight.fill_(0.1)
    freeze(network)
    return network, Centre.of(network, [torch.randn(50, *network.z_shape) for _ in range(4)])


def distance(first: Tensor, second: Tensor) -> Tensor:
    return (first - second).abs().mean((1, 2, 3))


def found(
    mapping_network: str, space: Space, target: Tensor, numbers: range, settings: Settings = SETTINGS
) -> Projection:
    network, centre = make(mapping_network)
    random = [torch.Generator().manual_seed(number) for number in numbers]
    projection = Projection(network, target, distance, centre, random_maps(network, random), space, settings)
    project(projection, random)
    return projection


def test_recorded_numbers() -> None:
    result = run_case(GOLDEN / "wpp_projector.json", find_builder("wpp_projector"))
    assert result.passed, "\n".join(result.failures())


@pytest.mark.parametrize(("mapping_network", "space"), [("mlp", "w"), ("mlp", "w+"), ("transformer", "w++")])
def test_a_picture_does_not_depend_on_the_others(mapping_network: str, space: Space) -> None:
    target = torch.rand(3, 3, 16, 16) * 2 - 1
    together = found(mapping_network, space, target, range(3))
    alone = found(mapping_network, space, target[1:2], range(1, 2))
    torch.testing.assert_close(alone.latent, together.latent[1:2], atol=1e-4, rtol=1e-4)
    for one, many in zip(alone.maps, together.maps, strict=True):
        torch.testing.assert_close(one, many[1:2], atol=1e-3, rtol=1e-3)
    assert not torch.allclose(together.latent[0], together.latent[1], atol=1e-2)
    rows = together.latent.diff(dim=1).abs().amax((0, 2))
    assert bool((rows == 0).all()) == (space == "w")


def test_coupled_pictures_do() -> None:
    target = torch.rand(2, 3, 16, 16) * 2 - 1
    settings = Settings(steps=12, coupled=True)
    together = found("mlp", "w+", target, range(2), settings)
    alone = found("mlp", "w+", target[1:], range(1, 2), settings)
    assert not torch.allclose(alone.maps[-1], together.maps[-1][1:], atol=1e-2)


def test_it_comes_nearer_to_a_picture_that_can_be_reached() -> None:
    network, centre = make()
    target = network.synthesis(network.broadcast(network.mapping(torch.randn(2, 16))), "none").clamp(-1, 1)
    random = [torch.Generator().manual_seed(number) for number in range(2)]
    settings = Settings(steps=100, noise_weight=10.0)
    projection = Projection(network, target, distance, centre, random_maps(network, random), "w+", settings)
    values = project(projection, random)
    assert len(values) == projection.steps == 100
    assert (values[-1]["distance"] < 0.5 * values[0]["distance"]).all()
    assert all(not parameter.requires_grad and parameter.grad is None for parameter in network.parameters())


def test_statistics_do_not_depend_on_the_portions() -> None:
    network, _ = make("transformer")
    z = torch.randn(60, *network.z_shape)
    once, often = Centre.of(network, [z]), Centre.of(network, z.split(7))
    torch.testing.assert_close(once.mean, often.mean)
    torch.testing.assert_close(once.spread, often.spread)
    assert once.mean.shape == (6, 16) and once.spread.shape == (6,)
    codes = network.mapping(z)
    torch.testing.assert_close(once.spread, codes.var(0, unbiased=False).sum(1).sqrt(), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("mapping_network", "space"), [("mlp", "w++"), ("transformer", "w"), ("transformer", "w+")])
def test_a_space_that_the_generator_lacks_is_refused(mapping_network: str, space: Space) -> None:
    with pytest.raises(ValueError, match="this generator has"):
        found(mapping_network, space, torch.zeros(1, 3, 16, 16), range(1))


def test_each_picture_s_maps_are_renormalised() -> None:
    maps = [torch.randn(3, 1, 16, 16) * torch.tensor([1.0, 2.0, 3.0])[:, None, None, None] + 1]
    expected = sum(neighbour_correlation([maps[0][index : index + 1]]) for index in range(3))
    torch.testing.assert_close(neighbour_correlation(maps), torch.as_tensor(expected))
    torch.testing.assert_close(neighbour_correlation([maps[0][:1]], coupled=True), neighbour_correlation([maps[0][:1]]))
    renormalise(maps)
    torch.testing.assert_close(maps[0].mean((1, 2, 3)), torch.zeros(3), atol=1e-6, rtol=0)
    torch.testing.assert_close(maps[0].std((1, 2, 3)), torch.ones(3))


def test_large_pictures_are_averaged() -> None:
    image = torch.randn(1, 3, 16, 16)
    torch.testing.assert_close(reduced(image, 8), torch.nn.functional.avg_pool2d(image, 2))
    assert reduced(image, 16) is image
