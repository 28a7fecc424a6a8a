"""Networks of the methods that SDFlow is compared with: published numbers, and what must hold at any size."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from models import NETWORKS
from models.adatrans import AdaTrans
from scripts.check_golden import find_builder
from scripts.checks.golden.case import run_case
from utils.config import ConfigError, Section

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.mark.parametrize("name", ["adatrans", "interfacegan", "latent_classifier", "latent_transformer", "realnvp"])
def test_recorded_numbers(name: str) -> None:
    result = run_case(GOLDEN / f"{name}.json", find_builder(name))
    assert result.passed, "\n".join(result.failures())


@torch.no_grad()
def test_no_step_is_longer_than_the_longest() -> None:
    torch.manual_seed(3)
    published, w = AdaTrans(3, 4, 2, layers=2, width=8).eval(), torch.randn(5, 3, 4)
    longer = AdaTrans(3, 4, 2, layers=2, width=8, longest_step=3.0).eval()
    longer.load_state_dict(published.state_dict())
    path, lengths = longer(w, torch.ones(5, 2), 1)
    torch.testing.assert_close(lengths, 3 * published(w, torch.ones(5, 2), 1)[1])
    torch.testing.assert_close((path[1] - path[0]).norm(dim=-1), lengths.expand(5, 3))
    path, lengths = longer(w, torch.ones(5, 2), 2, held=True)
    assert torch.equal(lengths, torch.full((5, 2), 1.5))
    torch.testing.assert_close(path.diff(dim=0).norm(dim=-1), torch.full((2, 5, 3), 1.5))
    with pytest.raises(ConfigError, match="longest_step: must be above 0"):
        NETWORKS.build(Section({"name": "adatrans", "longest_step": 0.0}, "network"))


def test_a_path_goes_on_where_a_shorter_one_ended() -> None:
    torch.manual_seed(0)
    network, w = AdaTrans(3, 4, 2, layers=2, width=8).eval(), torch.randn(5, 3, 4)
    wanted = torch.tensor([[1.0, -1.0]]).expand(5, -1)
    path, lengths = network(w, wanted, steps=4)
    short, _ = network(w, wanted, steps=2)
    assert path.shape == (5, 5, 3, 4) and lengths.shape == (5, 4)
    torch.testing.assert_close(path[:3], short)
    steps = path.diff(dim=0)
    torch.testing.assert_close(steps[..., :1, :].expand_as(steps), steps)  # all style vectors move alike
    torch.testing.assert_close(steps[:, :, 0].norm(dim=-1).t(), lengths)
    alone, _ = network(w[2:3], wanted[2:3], steps=4)
    torch.testing.assert_close(path[:, 2:3], alone)
