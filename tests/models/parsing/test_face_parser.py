"""The face parser as a network, and as a part of a domain."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from models import protocols
from models.domain import Domain
from models.parsing.face_parser import FaceParser, face_parser_sizes
from utils.config import ConfigError, load_config
from utils.paths import ROOT
from utils.weights import fingerprint


@pytest.mark.parametrize(("height", "width"), [(8, 8), (16, 40)])
def test_any_side_that_can_be_halved_so_often(height: int, width: int) -> None:
    network = FaceParser((8, 12, 16)).eval()
    image = torch.rand(2, 3, height, width, requires_grad=True)
    logits = network(image)
    assert logits.shape == (2, 19, height, width)
    (gradient,) = torch.autograd.grad(logits[:, :, height // 2, width // 2].sum(), image)
    assert gradient.isfinite().all() and gradient[:, :, height // 2, width // 2].any()
    assert face_parser_sizes({k: tuple(v.shape) for k, v in network.state_dict().items()}) == {"widths": [8, 12, 16]}


def test_other_sides_are_refused() -> None:
    with pytest.raises(ValueError, match=r"multiples of 8, not 64 × 20"):
        FaceParser((8, 8, 8))(torch.zeros(1, 3, 64, 20))


def test_a_domain_parses_images(tiny_domain_folder: Path) -> None:
    domain = Domain.from_file(tiny_domain_folder / "domain.yaml")
    image = torch.rand(3, 3, 32, 32) * 2 - 1
    assert domain.has("parser") and not domain.loaded()
    mask = domain.parse(image.requires_grad_())
    assert isinstance(domain.parser, protocols.FaceParser) and set(domain.loaded()) == {"parser"}
    assert mask.shape == (3, 32, 32) and mask.dtype == torch.int64 and not mask.requires_grad
    logits = domain.parser_logits(image)
    assert logits.argmax(1).equal(mask)
    logits.square().mean().backward()
    assert image.grad is not None and image.grad.any()
    assert all(parameter.grad is None for parameter in domain.parser.parameters())
    assert domain.fingerprints(("parser",)) == {"parser": fingerprint(domain.parser)}


def test_a_domain_without_a_parser_says_so(tiny_domain_folder: Path) -> None:
    config = load_config(tiny_domain_folder / "domain.yaml")
    del config["parser"]
    domain = Domain(config)
    assert not domain.has("parser")
    with pytest.raises(ConfigError, match="parser: this section is missing: domain 'tiny' has no parser; name its"):
        domain.parse(torch.zeros(1, 3, 32, 32))


def test_another_network_is_no_parser(tiny_domain_folder: Path) -> None:
    config = load_config(tiny_domain_folder / "domain.yaml")
    config["parser"] = config["judge"]
    with pytest.raises(ConfigError, match="'attribute_classifier' cannot be the domain's parser"):
        Domain(config).untrained("parser")


def test_the_shipped_parser_is_small() -> None:
    domain = Domain.from_file(ROOT / "configs/domains/avatars.yaml")
    assert domain.weights_path("parser").stat().st_size < 2_000_000
