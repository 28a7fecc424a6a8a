"""A bent latent space: invertible, volume preserving, bent as much as it says, and the domain's own business."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

from datasets.latent_cache import LatentCache
from models import NETWORKS
from models.domain import Domain
from models.latent_space import BentLatentSpace
from tests.conftest import STYLE_DIM, STYLES
from utils.config import ConfigError, Section


def test_inverse_and_volume() -> None:
    space = BentLatentSpace(8, scale=2.5, curvature=0.9).double()
    w = torch.randn(5, 3, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(space.leave(space.enter(w)), w, rtol=0, atol=1e-5)  # the rotations are float32
    jacobian = torch.autograd.functional.jacobian(space.enter, w[0, 0])
    assert float(torch.linalg.det(jacobian).abs()) == pytest.approx(2.5**-8, rel=1e-5)
    torch.autograd.gradcheck(space.leave, w[:1].requires_grad_())


def test_lines_bend_with_the_curvature() -> None:
    """How far the middle of a segment lies from the middle of its ends; a rotation leaves it there."""
    start, end = torch.randn(2, 200, 16, generator=torch.Generator().manual_seed(1))
    bends = []
    for curvature in (0.0, 0.25, 0.5, 1.0):
        space = BentLatentSpace(16, curvature=curvature)
        middle = space.enter((start + end) / 2) - (space.enter(start) + space.enter(end)) / 2
        bends.append(float(middle.norm(dim=1).mean()))
    assert bends[0] < 1e-5 and bends == sorted(bends) and bends[3] > 0.5


def test_seed_decides() -> None:
    w = torch.randn(2, 8)
    same, other = BentLatentSpace(8, seed=3).enter(w), BentLatentSpace(8, seed=4).enter(w)
    assert torch.equal(BentLatentSpace(8, seed=3).enter(w), same) and not torch.allclose(same, other)


@pytest.mark.parametrize("wrong", [{"style_dim": 7}, {"style_dim": 8, "scale": 0.0}])
def test_impossible_spaces(wrong: dict) -> None:
    with pytest.raises(ConfigError, match="must be (a multiple of 2|above 0)"):
        NETWORKS.build(Section({"name": "bent_latent_space", **wrong}, "network"))


def test_a_domain_draws_the_same_pictures_through_it(tiny_domain_folder: Path, tmp_path: Path) -> None:
    config = yaml.safe_load((tiny_domain_folder / "domain.yaml").read_text())
    config["latent_space"] = {"name": "bent_latent_space", "scale": 0.5}
    (tmp_path / "bent.yaml").write_text(yaml.safe_dump(config))
    straight, bent = Domain.from_file(tiny_domain_folder / "domain.yaml"), Domain.from_file(tmp_path / "bent.yaml")
    image = torch.rand(3, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        codes = straight.encode(image), bent.encode(image)
        assert codes[1].shape == (3, STYLES, STYLE_DIM) and not torch.allclose(*codes, atol=0.1)
        torch.testing.assert_close(bent.synthesise(codes[1]), straight.synthesise(codes[0]), rtol=0, atol=1e-4)
    latent = codes[1].requires_grad_()
    bent.synthesise(latent).sum().backward()
    assert bool(latent.grad.abs().sum() > 0) and not list(bent.latent_space.parameters())
    faces = {"name": "avatar_faces", "count": 2, "side": 32}
    caches = [LatentCache(domain, faces, str(tmp_path / "cache")) for domain in (straight, bent)]
    assert caches[0].folder != caches[1].folder
