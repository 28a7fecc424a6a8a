"""StyleGAN2's training: lazy regularisers, style mixing, the generator's average, resume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from criteria.adversarial import generator_loss
from models.domain import Domain
from models.stylegan2.nvlabs import nvlabs_keys
from scripts.check_golden import find_builder
from scripts.checks.golden.case import run_case
from scripts.checks.weight_file_samples import save, write_nvlabs
from tests.training.runs import SIDE, assert_resumes_exactly, backward, batch_of, with_gradients
from training.methods.stylegan2 import StyleGAN2Method, average_decay, lazy_adam
from training.pairs import begin_with_numbers, shares_of_numbers
from utils.config import ConfigError, Section
from utils.weights import WeightsError, save_weights

GOLDEN = Path(__file__).parents[1] / "golden"
READER = {"name": "reader", "width": 8}
DISCRIMINATOR = {"name": "stylegan2_discriminator", "size": SIDE, "channels": {4: 8, 8: 8, 16: 8, 32: 8}}


@pytest.fixture(scope="module")
def domain(tiny_domain_folder: Path) -> Domain:
    return Domain.from_file(tiny_domain_folder / "domain.yaml")


def make(domain: Domain, **arguments: object) -> StyleGAN2Method:
    torch.manual_seed(0)
    return StyleGAN2Method(domain, DISCRIMINATOR, preview_side=2, **arguments)  # type: ignore[arg-type]


def phase_of(method: StyleGAN2Method, name: str):  # type: ignore[no-untyped-def]
    return next(phase for phase in method.phases() if phase.name == name)


def test_the_average_halves_old_weights_in_its_half_life() -> None:
    assert average_decay(32, 10**6, 6400, 0.05) ** (6400 / 32) == pytest.approx(0.5)
    assert average_decay(32, 640, 6400, 0.05) == pytest.approx(0.5)  # early: 5 % of 640 images are one batch
    assert average_decay(32, 32, 6400, 0.05) < 1e-5
    assert average_decay(32, 0, 6400, 0.05) == 0


def test_lazy_correction_keeps_the_memory_of_an_interval() -> None:
    (group,) = lazy_adam([nn.Parameter(torch.zeros(1))], 2e-3, (0.5, 0.99), 16).param_groups
    assert group["lr"] == pytest.approx(2e-3 * 16 / 17)
    assert group["betas"][0] ** 17 == pytest.approx(0.5**16)
    assert group["betas"][1] ** 17 == pytest.approx(0.99**16)
    (group,) = lazy_adam([nn.Parameter(torch.zeros(1))], 2e-3, (0.0, 0.99), 0).param_groups
    assert (group["lr"], group["betas"]) == (2e-3, (0.0, 0.99))


def test_regularisers_of_weight_or_interval_zero_have_no_phase(domain: Domain) -> None:
    everything = make(domain, path_length_weight=2.0).phases()
    assert [(p.name, p.every) for p in everything] == [
        ("discriminator", 1), ("r1", 16), ("generator", 1), ("path_length", 4),
    ]  # fmt: skip
    assert everything[0].optimiser is everything[1].optimiser
    assert everything[2].optimiser is everything[3].optimiser
    for off in ({"r1_gamma": 0.0}, {"r1_every": 0}):
        phases = make(domain, **off).phases()
        assert [p.name for p in phases] == ["discriminator", "generator"]
        assert phases[0].optimiser.param_groups[0]["lr"] == 2e-3


@pytest.mark.parametrize("name", ["discriminator", "r1", "generator", "path_length"])
def test_only_the_phase_s_network_gets_gradients(domain: Domain, name: str) -> None:
    method = make(domain, path_length_weight=2.0)
    backward(method, phase_of(method, name), batch_of(4))
    assert with_gradients(method) == {"generator" if name in ("generator", "path_length") else "discriminator"}
    assert all(parameter.grad is None for parameter in domain.teacher.parameters())


def test_r1_is_weighted_and_scaled_with_its_interval(domain: Domain) -> None:
    image = batch_of(4)["image"].requires_grad_()
    method = make(domain, r1_gamma=0.3, r1_every=5)
    (gradient,) = torch.autograd.grad(method.discriminator(image).sum(), image)
    expected = 0.3 / 2 * 5 * gradient.square().sum() / 4
    torch.testing.assert_close(method.losses("r1", batch_of(4))["r1"], expected)


def test_the_generator_is_judged_with_random_noise_on_new_codes(domain: Domain) -> None:
    method = make(domain)
    torch.manual_seed(3)
    term = method.losses("generator", batch_of(4))["generator"]
    torch.manual_seed(3)
    fake = method.generator.synthesis(method.sample_latent(4), noise="random")
    torch.testing.assert_close(term, generator_loss(method.discriminator(fake)))
    assert not torch.equal(method.losses("generator", batch_of(4))["generator"], term)


def test_without_noise_the_strengths_learn_nothing(domain: Domain) -> None:
    for noise, learns in (("random", True), ("none", False)):
        method = make(domain, noise=noise)
        backward(method, phase_of(method, "generator"), batch_of(4))
        gradients = [layer.noise.weight.grad for layer in (method.generator.conv1, *method.generator.convs)]
        assert all((gradient is not None and bool(gradient.any())) == learns for gradient in gradients)


def test_path_length_learns_its_mean(domain: Domain) -> None:
    method = make(domain, path_length_weight=2.0, path_length_every=4, path_length_decay=0.75)
    first = method.losses("path_length", batch_of(4))["path_length"]
    mean = method.path_length_mean.clone()
    assert first > 0 and mean > 0
    method.path_length_mean.fill_(0)
    torch.manual_seed(5)
    method.losses("path_length", batch_of(4))
    after_one = method.path_length_mean.clone()
    torch.manual_seed(5)
    method.losses("path_length", batch_of(4))  # the same length again: 1/4, then 7/16 of it
    torch.testing.assert_close(method.path_length_mean, after_one * 7 / 4)


def test_mixed_codes_change_over_once(domain: Domain) -> None:
    torch.manual_seed(0)
    plain = make(domain, style_mixing=0.0).sample_latent(16)
    assert torch.equal(plain, plain[:, :1].expand_as(plain))
    mixed = make(domain, style_mixing=1.0).sample_latent(64)
    changes = (mixed[:, 1:] != mixed[:, :-1]).any(2)
    assert (changes.sum(1) == 1).all()
    assert changes.any(0).all()  # every place occurs
    share = (make(domain, style_mixing=0.5).sample_latent(512).diff(dim=1) != 0).any(2).any(1).float().mean()
    assert 0.4 < share < 0.6


def test_the_average_follows_the_generator(domain: Domain) -> None:
    method = make(domain, average_images=8, average_ramp=1.0)
    before = method.average.conv1.conv.weight.clone()
    method.losses("generator", batch_of(4))
    with torch.no_grad():
        method.generator.conv1.conv.weight.add_(1)
    method.after_step(1)  # 4 images of 4 seen: half-life 4
    torch.testing.assert_close(method.average.conv1.conv.weight, before + 0.5)
    method.losses("generator", batch_of(4))
    method.after_step(2)  # 8 seen: half-life 8
    torch.testing.assert_close(method.average.conv1.conv.weight, before + 1 - 0.5 * 0.5**0.5)
    assert method.images_seen == 8


def test_preview_shows_the_average_with_fixed_codes_and_noise(domain: Domain) -> None:
    method = make(domain)
    first = method.preview(batch_of(4))
    with torch.no_grad():
        for parameter in method.generator.parameters():
            parameter.add_(1)
    assert torch.equal(first, method.preview(batch_of(2)))
    assert first.shape == (3, 2 * SIDE + 2, 2 * SIDE + 2)


def test_pairs_draw_the_picture_of_a_face_s_numbers_to_the_face(domain: Domain) -> None:
    layers = ("extractor.relu",)
    method, batch = make(domain, noise="none", drawn_normals=5, feature_layers=layers), batch_of(4)
    torch.manual_seed(6)
    terms = method.losses("generator", batch)
    torch.manual_seed(6)
    z = torch.cat([batch["normals"], torch.randn(4, method.generator.style_dim - 5)], 1)
    picture = method.generator(z, noise="none")
    torch.testing.assert_close(terms["drawn_image"], (picture - batch["image"]).abs().mean())
    first = domain.teacher.extractor
    directions = []
    for image in (picture, batch["image"]):
        feature = first.relu(first.bn1(first.conv1(image)))
        directions.append(feature / feature.norm(dim=1, keepdim=True).clamp_min(1e-6))
    distance = (directions[0] - directions[1]).square().sum(1).mean()
    torch.testing.assert_close(terms["drawn_perceptual"], distance, rtol=1e-4, atol=1e-6)
    assert set(terms) == {"generator", "drawn_image", "drawn_perceptual"}
    assert "drawn_image" in method.validate(batch)


def test_pairs_may_teach_alone(domain: Domain) -> None:
    torch.manual_seed(0)
    method = StyleGAN2Method(domain, None, drawn_normals=5, preview_side=2)
    assert [phase.name for phase in method.phases()] == ["generator"]
    assert set(method.losses("generator", batch_of(4))) == {"drawn_image"}
    assert set(method.validate(batch_of(4))) == {"drawn_image"} and set(method.exports()) == {"generator"}
    z = torch.randn(3, method.generator.style_dim)
    z = z / z.square().mean(1, keepdim=True).sqrt()
    other = torch.cat([z[:, :5], -z[:, 5:]], 1)  # of the same length, which alone tells of the other numbers
    torch.testing.assert_close(method.generator.mapping(z), method.generator.mapping(other))
    with pytest.raises(ConfigError, match="there is no other loss"):
        StyleGAN2Method(domain, None)


def test_numbers_that_a_mapping_left_out_begin_anew(domain: Domain) -> None:
    torch.manual_seed(0)
    generator: Any = domain.untrained("generator")
    begin_with_numbers(generator, 5)
    once = generator.style[1].weight.clone()
    begin_with_numbers(generator, 5)
    torch.testing.assert_close(generator.style[1].weight, once)  # a run may go on from an earlier one's result
    with torch.no_grad():
        generator.style[1].weight[:, 2] *= 1e-2
    assert shares_of_numbers(generator, 5)[2] < 1e-3
    begin_with_numbers(generator, 5, least_share=0.02)
    assert shares_of_numbers(generator, 5).min() > 0.015
    others = [0, 1, 3, 4]
    torch.testing.assert_close(generator.style[1].weight[:, others], once[:, others])


def test_a_reader_compares_what_it_reads_off_picture_and_face(domain: Domain) -> None:
    method, batch = make(domain, noise="none", drawn_normals=5, reader=READER), batch_of(4)
    phase = phase_of(method, "reader")
    backward(method, phase, batch)
    assert with_gradients(method) == {"reader"}
    running = method.reader.trunk[1].running_mean.clone()
    torch.manual_seed(6)
    terms = method.losses("generator", batch)
    torch.manual_seed(6)
    z = torch.cat([batch["normals"], torch.randn(4, method.generator.style_dim - 5)], 1)
    method.reader.eval()
    readings = method.reader(method.generator(z, noise="none")), method.reader(batch["image"])
    torch.testing.assert_close(terms["drawn_readings"], (readings[0] - readings[1]).square().mean())
    assert torch.equal(method.reader.trunk[1].running_mean, running)  # generated faces are not what it learned
    method.zero_grad()
    backward(method, phase_of(method, "generator"), batch)
    assert with_gradients(method) == {"generator"}
    with pytest.raises(ConfigError, match="set data.normals: true"):
        method.losses("reader", {"image": batch["image"]})
    for phase in ("reader", "generator"):
        with pytest.raises(ConfigError, match="drawn_normals: is 5, but the data give 4 numbers"):
            method.losses(phase, {"image": batch["image"], "normals": batch["normals"][:, :4]})
    with pytest.raises(ConfigError, match="needs method.drawn_normals"):
        make(domain, reader=READER)


def test_a_reader_learns_the_numbers_of_a_face(domain: Domain) -> None:
    method, batch = make(domain, drawn_normals=5, reader=READER, reader_rate=1e-2), batch_of(4)
    phase = phase_of(method, "reader")
    errors = []
    for _ in range(20):
        phase.optimiser.zero_grad()
        backward(method, phase, batch)
        phase.optimiser.step()
        errors.append(float(method.losses("reader", batch)["reader"].detach()))
    assert errors[-1] < 0.2 * errors[0]


def test_the_mapping_may_learn_at_a_rate_of_its_own(domain: Domain) -> None:
    method = make(domain, mapping_rate=50.0)
    others, mapping = phase_of(method, "generator").optimiser.param_groups
    assert mapping["lr"] == 50 * others["lr"]
    assert {id(p) for p in mapping["params"]} == {id(p) for p in method.generator.style.parameters()}
    assert len(mapping["params"]) + len(others["params"]) == len(list(method.generator.parameters()))


def test_validation_takes_any_number_of_faces(domain: Domain) -> None:
    method = make(domain)
    for count in (1, 3, 6):
        assert set(method.validate(batch_of(count))) == {"held_out_score", "average_score"}


def test_exports_continue_a_training(domain: Domain, tmp_path: Path) -> None:
    method = make(domain, drawn_normals=5, reader=READER)
    method.losses("generator", batch_of(4))
    method.after_step(1)
    for name, (state, metadata) in method.exports().items():
        save_weights(tmp_path / f"{name}.safetensors", state, metadata)
    torch.manual_seed(9)
    generator, discriminator, reader = (
        str(tmp_path / f"{name}.safetensors") for name in ("generator", "discriminator", "reader")
    )
    continued = StyleGAN2Method(
        domain, DISCRIMINATOR, preview_side=2, drawn_normals=5, reader=READER,
        initial=generator, initial_discriminator=discriminator, initial_reader=reader,
    )  # fmt: skip
    assert torch.equal(continued.preview({}), method.preview({}))
    image = batch_of(4)["image"]
    assert torch.equal(continued.discriminator(image), method.discriminator(image))
    assert torch.equal(continued.reader.eval()(image), method.reader.eval()(image))
    assert continued.images_seen == 4


def test_it_starts_from_public_files(domain: Domain, tmp_path: Path) -> None:
    method = make(domain)
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.add_(0.1)
    training = {"g_ema": method.generator.state_dict(), "d": method.discriminator.state_dict()}
    of_rosinality, of_nvlabs = str(save(tmp_path / "training.pt", training)), tmp_path / "network.pkl"
    write_nvlabs(of_nvlabs, {"G_ema": nvlabs_keys(method.generator.state_dict())}, "", z_dim=8)
    for generator in (of_rosinality, str(of_nvlabs)):
        started = make(domain, initial=generator, initial_discriminator=of_rosinality)
        assert torch.equal(started.preview({}), method.preview({})) and started.images_seen == 0
        image = batch_of(4)["image"]
        assert torch.equal(started.discriminator(image), method.discriminator(image))
    with pytest.raises(WeightsError, match=r"network\.pkl: holds a StyleGAN2 generator, not a StyleGAN2 discriminator"):
        make(domain, initial_discriminator=str(of_nvlabs))


def test_resumes_exactly(domain: Domain, tmp_path: Path) -> None:
    def build() -> StyleGAN2Method:
        return StyleGAN2Method(
            domain, DISCRIMINATOR, preview_side=2, r1_every=2, path_length_weight=2.0,
            drawn_normals=5, reader=READER, mapping_rate=2.0,
        )  # fmt: skip

    assert_resumes_exactly(build, tmp_path, stop=3, steps=6)


@pytest.fixture(scope="module")
def of_tokens(domain: Domain) -> Domain:
    """The domain with a transformer as mapping network."""
    generator = {**domain.config["generator"], "style_dim": 16, "mapping_network": "transformer"}
    return Domain(Section({**domain.config, "generator": generator}))


def test_the_published_training_of_w_plus_plus() -> None:
    result = run_case(GOLDEN / "wpp_training.json", find_builder("wpp_training"))
    assert result.passed, "\n".join(result.failures())


def test_a_transformer_has_a_z_for_each_row(of_tokens: Domain, tmp_path: Path) -> None:
    method = make(of_tokens, style_mixing=0.0, path_length_weight=2.0)
    codes = method.sample_latent(64)
    assert codes.shape == (64, of_tokens.untrained("generator").latent_count, 16)
    assert not torch.equal(codes[:, 0], codes[:, 1])
    for name, value in (("style_mixing", 0.5), ("drawn_normals", 5)):
        with pytest.raises(ConfigError, match=f"method.{name}: must be 0 where each row of a code has its own z"):
            make(of_tokens, **{"style_mixing": 0.0, name: value})
    exported = method.exports()["generator"]
    assert "token" in exported[0] and exported[1]["network"]["mapping_network"] == "transformer"


def test_a_training_of_tokens_resumes_exactly(of_tokens: Domain, tmp_path: Path) -> None:
    def build() -> StyleGAN2Method:
        return StyleGAN2Method(
            of_tokens, DISCRIMINATOR, preview_side=2, style_mixing=0.0, r1_every=2, path_length_weight=2.0
        )

    assert_resumes_exactly(build, tmp_path, stop=3, steps=6)


@pytest.mark.parametrize("phase", ["r1", "path_length"])
def test_a_regulariser_counts_for_all_weights_of_its_network(domain: Domain, phase: str) -> None:
    method = make(domain, path_length_weight=2.0)
    parameters = phase_of(method, phase).parameters
    backward(method, phase_of(method, phase), batch_of(4))
    assert all(parameter.grad is not None for parameter in parameters)
    assert not all(parameter.grad.any() for parameter in parameters)


def test_unknown_phase(domain: Domain) -> None:
    with pytest.raises(ValueError, match="no phase 'editor'"):
        make(domain).losses("editor", batch_of(4))
