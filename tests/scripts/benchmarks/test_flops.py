"""Counted operations of the formulas against PyTorch's own counter."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from models.stylegan2.generator import Generator as OwnGenerator
from scripts.benchmarks import flops
from scripts.benchmarks.stand_ins import StandIns
from scripts.published.encoders import E4eEncoder, SemanticEncoder
from scripts.published.flow import Flow
from scripts.published.generator import Generator

CHANNELS = {4: 12, 8: 10, 16: 6, 32: 4}


def counted(function: object, *inputs: object) -> int:
    with FlopCounterMode(display=False) as counter:
        function(*inputs)  # type: ignore[operator]
    return counter.get_total_flops()


def test_flop_of_a_synthesis() -> None:
    own = OwnGenerator(32, style_dim=9, mapping_layers=1, channels=CHANNELS)
    network = Generator.with_weights(own.state_dict())
    latent = torch.randn(1, own.latent_count, 9, requires_grad=True)
    work, filters = flops.synthesis(CHANNELS, 9), flops.fir(CHANNELS)
    assert counted(network.synthesis, latent) == work + filters
    assert flops.synthesis(CHANNELS, 9, batch=3) == 3 * work
    # with gradients to weights, as published, every product is done twice more in backward, every filter once more
    assert counted(lambda: network.synthesis(latent).sum().backward()) == 3 * work + 2 * filters


def test_flop_of_a_velocity() -> None:
    flow = Flow(6, 3, [8, 10])
    context, x = torch.randn(2, 4), torch.randn(2, 5, 6)
    assert counted(flow.chain[1].odefunc.diffeq, context, x) == flops.velocity([6, 8, 10, 6], 3, batch=2, rows=5)


@pytest.mark.parametrize("kind", ["e4e", "semantic encoder"])
def test_flop_of_a_network(kind: str) -> None:
    sizes = StandIns.small().domain["encoder"]
    with torch.device("meta"):
        if kind == "e4e":
            network = E4eEncoder(**{key: value for key, value in sizes.items() if key != "name"}).eval()
        else:
            network = SemanticEncoder(3, "r18", [8]).eval()
        image = torch.empty(2, 3, 64, 64)
    assert counted(network, image) == flops.network(network, 2, 3, 64, 64)
