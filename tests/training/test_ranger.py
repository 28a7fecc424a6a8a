"""Ranger, and pSp's training with it on codes that have a z for each row; the published numbers of both."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from models.domain import Domain
from models.weight_files import load_network
from scripts.check_golden import find_builder
from scripts.checks.golden.case import run_case
from scripts.checks.weight_file_samples import prefixed
from tests.training.runs import assert_resumes_exactly, batch_of
from training.methods.e4e import E4eMethod
from training.ranger import Ranger, centralised, rectified
from utils.config import ConfigError, Section
from utils.weights import save_weights

GOLDEN = Path(__file__).parents[1] / "golden"
WIDTH = 16
TERMS = ("image", "perceptual", "identity", "norm", "latent", "adversarial")
CRITIC = {"name": "latent_discriminator", "layers": 2}


@pytest.fixture(scope="module")
def domain(tiny_domain_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Domain:
    """The tiny domain with a transformer as mapping network and pSp's free heads."""
    config = Domain.from_file(tiny_domain_folder / "domain.yaml").config.plain()
    folder = tmp_path_factory.mktemp("w_plus_plus")
    config["generator"] |= {"style_dim": WIDTH, "mapping_network": "transformer"}
    config["encoder"] |= {"name": "psp_encoder", "style_dim": WIDTH, "widths": [16, 16, 32, 48, 64]}
    torch.manual_seed(0)
    for part in ("generator", "encoder"):
        config[part]["weights"] = str(folder / f"{part}.safetensors")
        save_weights(folder / f"{part}.safetensors", Domain(Section(config)).untrained(part).state_dict(), {})
    return Domain(Section(config))


def psp(domain: Domain) -> E4eMethod:
    torch.manual_seed(0)
    settings = {"first_stage_steps": 0, "stage_steps": 0, "latent_average_samples": 500, "synthetic_batch": 2}
    return E4eMethod(domain, TERMS, latent_discriminator=CRITIC, optimiser="ranger", **settings)  # type: ignore[arg-type]


def test_recorded_numbers() -> None:
    result = run_case(GOLDEN / "wpp_psp.json", find_builder("wpp_psp"))
    assert result.passed, "\n".join(result.failures())


def test_it_finds_the_lowest_point() -> None:
    torch.manual_seed(0)
    vector, x, y = nn.Parameter(torch.zeros(4)), torch.randn(64, 4), torch.randn(64)
    optimiser = Ranger([vector], lr=0.05)
    for _ in range(300):
        optimiser.zero_grad()
        (x @ vector - y).square().mean().backward()
        optimiser.step()
    torch.testing.assert_close(vector.detach(), torch.linalg.lstsq(x, y[:, None]).solution[:, 0], atol=1e-2, rtol=0)


def test_its_parts() -> None:
    gradient = torch.randn(3, 4, 2)
    torch.testing.assert_close(centralised(gradient).mean((1, 2)), torch.zeros(3), atol=1e-6, rtol=0)
    assert torch.equal(centralised(gradient[0, 0]), gradient[0, 0])
    assert [rectified(0.999, step) is None for step in range(1, 8)] == [True] * 5 + [False] * 2
    factors = [rectified(0.999, step) or 0.0 for step in (10, 1000, 100_000)]
    assert factors == sorted(factors) and factors[-1] == pytest.approx(1, abs=0.01)


def test_a_row_has_its_own_mean(domain: Domain) -> None:
    method = psp(domain)
    assert method.latent_avg.shape == (domain.styles, WIDTH)
    assert not torch.allclose(method.latent_avg[0], method.latent_avg[1])
    method.before_step(0)
    terms = method.eval().losses("encoder", batch_of(3))
    assert set(terms) == set(TERMS)
    with torch.no_grad():
        offset = method.encoder(batch_of(3)["image"])
    torch.testing.assert_close(terms["norm"].detach(), offset.flatten(1).norm(dim=1).mean())
    state, metadata = method.exports()["encoder"]
    assert metadata["network"]["name"] == "psp_encoder" and torch.equal(state["latent_avg"], method.latent_avg)


def test_free_heads_have_no_stages(domain: Domain) -> None:
    with pytest.raises(ConfigError, match="must be 0 with this encoder"):
        E4eMethod(domain, ("image",), latent_average_samples=10)


def test_the_critic_sees_rows_of_mapped_codes(domain: Domain) -> None:
    method = psp(domain)
    seen: list[torch.Size] = []
    method.latent_discriminator.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].shape))
    method.before_step(0)
    method.losses("encoder", batch_of(3))
    method.losses("latent_discriminator", batch_of(3))
    assert seen == [(3, domain.styles, WIDTH), (3 * domain.styles, WIDTH), (3, domain.styles, WIDTH)]


def test_its_training_resumes_exactly(domain: Domain, tmp_path: Path) -> None:
    assert_resumes_exactly(lambda: psp(domain), tmp_path, stop=5, steps=8)  # Ranger looks back in step 6


def test_a_published_file_holds_both_networks(domain: Domain, tmp_path: Path) -> None:
    method = psp(domain)
    state = prefixed(method.encoder.state_dict(), "encoder.") | prefixed(domain.generator.state_dict(), "decoder.")
    options = {"encoder_type": "GradualStyleEncoder", "start_from_latent_avg": True, "dataset_type": "ffhq_encode"}
    content = {"state_dict": state, "opts": options, "latent_avg": method.latent_avg[None]}
    torch.save(content, tmp_path / "best_model_w++.pt")
    config = domain.config.plain()
    for part in ("generator", "encoder"):
        config[part]["weights"] = str(tmp_path / "best_model_w++.pt")
    published = Domain(Section(config))
    image = batch_of(2)["image"]
    with torch.no_grad():
        expected = method.encoder.eval()(image) + method.latent_avg
    torch.testing.assert_close(published.encode(image), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(published.synthesise(expected), domain.synthesise(expected))
    assert load_network(tmp_path / "best_model_w++.pt").kind == "psp_encoder"
