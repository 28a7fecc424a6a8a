"""A domain's settings of cost: what saves memory changes no gradient, what saves time is not seen."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from models.domain import Domain
from utils.config import ConfigError, load_config
from utils.paths import ROOT


def domain_with(folder: Path, **settings: object) -> Domain:
    config = load_config(folder / "domain.yaml")
    config.update(settings)
    return Domain(config)


def gradient_and_stored(domain: Domain) -> tuple[Tensor, int]:
    """Gradient of a picture's square to its codes, and how many numbers were kept for the backward pass."""
    torch.manual_seed(0)
    latent = (0.5 * torch.randn(5, domain.styles, domain.style_dim)).requires_grad_()
    stored = 0

    def count(tensor: Tensor) -> Tensor:
        nonlocal stored
        stored += tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        loss = domain.synthesise(latent).square().mean()
    loss.backward()
    assert latent.grad is not None
    return latent.grad, stored


@pytest.mark.parametrize("settings", [{"recompute_from": 16}, {"synthesis_batch": 2}])
def test_recomputing_keeps_gradients_and_stores_less(tiny_domain_folder: Path, settings: dict[str, int]) -> None:
    expected, all_stored = gradient_and_stored(domain_with(tiny_domain_folder))
    found, stored = gradient_and_stored(domain_with(tiny_domain_folder, **settings))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-7)
    assert stored < all_stored / 2


def test_bfloat16_is_not_seen() -> None:
    config = load_config(ROOT / "configs/domains/avatars.yaml")
    exact = Domain(config)
    config["precision"] = "bfloat16"
    coarse = Domain(config)
    torch.manual_seed(0)
    with torch.no_grad():
        latent = exact.generator.broadcast(exact.generator.mapping(torch.randn(8, exact.generator.z_dim)))
        picture, cheap = exact.synthesise(latent), coarse.synthesise(latent)
        codes, cheap_codes = exact.encode(picture), coarse.encode(picture)
    assert cheap.dtype == cheap_codes.dtype == torch.float32 and not cheap.equal(picture)
    psnr = 10 * torch.log10(4 / (cheap - picture).square().mean())
    assert psnr > 40
    assert (cheap_codes - codes).norm() < 0.02 * codes.norm()


@pytest.mark.parametrize("key", ["recompute_from", "synthesis_batch"])
def test_sizes_begin_at_one(tiny_domain_folder: Path, key: str) -> None:
    with pytest.raises(ConfigError, match=f"{key}.*at least 1, not 0"):
        domain_with(tiny_domain_folder, **{key: 0})


def test_unknown_precision(tiny_domain_folder: Path) -> None:
    with pytest.raises(ConfigError, match="precision.*bfloat16"):
        domain_with(tiny_domain_folder, precision="half")
