"""e4e's training: stages, terms, latent critic, resume, and an export that a domain reads."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from criteria.delta import delta_loss
from models.domain import Domain
from scripts.checks.weight_file_samples import prefixed, save
from tests.training.runs import assert_resumes_exactly, backward, batch_of, with_gradients
from training.methods.e4e import TERMS, E4eMethod, stage_at
from utils.config import ConfigError, Section
from utils.weights import fingerprint, save_weights

CRITIC = {"name": "latent_discriminator", "layers": 2}


@pytest.fixture(scope="module")
def domain(tiny_domain_folder: Path) -> Domain:
    return Domain.from_file(tiny_domain_folder / "domain.yaml")


def make(domain: Domain, terms: tuple[str, ...] = TERMS, **arguments: object) -> E4eMethod:
    torch.manual_seed(0)
    critic = CRITIC if "adversarial" in terms else None
    settings = {"stage_steps": 0, "latent_average_samples": 64, "synthetic_batch": 2, **arguments}
    return E4eMethod(domain, terms, latent_discriminator=critic, **settings)  # type: ignore[arg-type]


def test_rows_join_one_after_another() -> None:
    steps = (0, 599, 600, 749, 750, 899, 900, 10**6)
    assert [stage_at(step, 600, 150, 10) for step in steps] == [0, 0, 1, 1, 2, 2, 3, 9]
    assert stage_at(600 + 8 * 150, 600, 150, 10) == 9 and stage_at(600 + 8 * 150 - 1, 600, 150, 10) == 8
    assert stage_at(0, 600, 0, 10) == 9  # no progression


def test_rows_that_have_not_joined_repeat_the_first(domain: Domain) -> None:
    method = make(domain, first_stage_steps=2, stage_steps=1, average_decay=0.9)
    for step, stage in ((0, 0), (2, 1), (4, 3)):
        method.before_step(step)
        for encoder in (method.encoder, method.average):
            latent = encoder.eval()(batch_of(2)["image"])
            assert torch.equal(latent[:, stage + 1 :], latent[:, :1].expand_as(latent[:, stage + 1 :]))
            assert all((latent[:, row] != latent[:, 0]).any() for row in range(1, stage + 1))


def test_mean_latent_is_that_of_mapped_codes_and_never_changes(domain: Domain) -> None:
    method = make(domain, latent_average_samples=4000)
    torch.manual_seed(123)
    other = E4eMethod(domain, ("image",), latent_average_samples=4000)
    assert torch.equal(method.latent_avg, other.latent_avg)
    assert method.latent_avg.shape == (domain.styles, domain.style_dim)
    mapped = domain.generator.mapping(torch.randn(4000, domain.style_dim))
    error = (method.latent_avg - mapped.mean(0)).abs()
    assert (error < 5 * mapped.std(0) * (2 / 4000) ** 0.5).all()


def test_terms_are_what_they_say(domain: Domain) -> None:
    method = make(domain).eval()  # evaluation mode: the synthetic faces do not change the others' codes
    method.before_step(0)
    batch = batch_of(3)
    image = batch["image"]
    terms = method.losses("encoder", batch)
    assert set(terms) == set(TERMS)
    latent = method.encoder(image) + method.latent_avg
    inversion = domain.generator.synthesis(latent, noise="constant")
    assert inversion.shape == image.shape
    cosine = (domain.identity_embedding(inversion) * domain.identity_embedding(image)).sum(1)
    probabilities = domain.teacher_probabilities(inversion) - domain.teacher_probabilities(image)
    expected = {
        "image": (inversion - image).square().mean(),
        "identity": (1 - cosine).mean(),
        "delta": delta_loss(latent),
        "adversarial": F.softplus(-method.latent_discriminator(latent)).mean(),
        "classifier": probabilities.square().mean(),
    }
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value, msg=lambda text, name=name: f"{name}: {text}")
    assert terms["perceptual"] > 0 and terms["latent"] > 0
    same, none = method._teacher_distances(image, image)
    assert same < 1e-10 and none < 1e-10


def test_the_latent_term_compares_codes_with_those_of_their_pictures(domain: Domain) -> None:
    method = make(domain, ("latent",)).eval()
    method.before_step(0)
    torch.manual_seed(4)
    term = method.losses("encoder", batch_of(2))["latent"]
    torch.manual_seed(4)
    latent, picture = method._synthetic_pairs()
    assert not latent.requires_grad and picture.abs().max() <= 1
    torch.testing.assert_close(picture, domain.synthesise(latent))
    torch.testing.assert_close(term, (method.encoder(picture) + method.latent_avg - latent).square().mean())


def test_the_drawn_latent_term_compares_codes_with_those_of_the_face_s_numbers(domain: Domain) -> None:
    method, batch = make(domain, ("drawn_latent",)).eval(), batch_of(2)
    method.before_step(0)
    torch.manual_seed(4)
    term = method.losses("encoder", batch)["drawn_latent"]
    torch.manual_seed(4)
    z = torch.cat([batch["normals"], torch.randn(2, domain.style_dim - 5)], 1)
    mapped = domain.generator.mapping(z)[:, None]
    torch.testing.assert_close(term, (method.encoder(batch["image"]) + method.latent_avg - mapped).square().mean())
    with pytest.raises(ConfigError, match="set data.normals: true"):
        method.losses("encoder", {"image": batch["image"]})


def test_only_the_phase_s_network_gets_gradients(domain: Domain) -> None:
    method = make(domain, average_decay=0.9)
    method.before_step(0)
    encoder, critic = method.phases()
    backward(method, encoder, batch_of(3))
    assert with_gradients(method) == {"encoder"}
    terms = backward(method, critic, batch_of(3))
    assert set(terms) == {"latent_discriminator", "latent_r1"}
    assert with_gradients(method) == {"latent_discriminator"}
    for part in ("generator", "teacher", "identity"):
        assert all(parameter.grad is None for parameter in getattr(domain, part).parameters())


def test_the_critic_sees_the_rows_that_have_joined(domain: Domain) -> None:
    method = make(domain, first_stage_steps=1, stage_steps=1)
    method.before_step(1)
    method.losses("encoder", batch_of(3))
    (codes,) = method._codes
    assert codes.shape == (3, 2, domain.style_dim) and not codes.requires_grad
    method.losses("latent_discriminator", batch_of(3))
    assert not method._codes


def test_settings_that_do_not_fit_are_errors(domain: Domain) -> None:
    with pytest.raises(ConfigError, match="no term 'percptual'; did you mean 'perceptual'"):
        E4eMethod(domain, ("image", "percptual"))
    with pytest.raises(ConfigError, match="need each other"):
        E4eMethod(domain, ("image", "adversarial"))
    with pytest.raises(ConfigError, match="need each other"):
        E4eMethod(domain, ("image",), latent_discriminator=CRITIC)
    with pytest.raises(ValueError, match="no phase 'r1'"):
        make(domain).losses("r1", batch_of(2))


def test_training_lowers_the_image_error(domain: Domain) -> None:
    method = make(domain, ("image",), learning_rate=5e-3)
    (phase,) = method.phases()
    errors = []
    for step in range(12):
        method.before_step(step)
        errors.append(float(backward(method, phase, batch_of(4))["image"]))
        phase.optimiser.step()
    assert errors[-1] < 0.9 * errors[0]


def test_the_average_starts_as_a_plain_mean(domain: Domain) -> None:
    method = make(domain, average_decay=0.99)
    before = method.average.latlayer1.weight.clone()
    with torch.no_grad():
        method.encoder.latlayer1.weight.add_(1)
    method.after_step(1)
    torch.testing.assert_close(method.average.latlayer1.weight, before + 1 - 1 / 11)
    method.after_step(10**6)
    torch.testing.assert_close(method.average.latlayer1.weight, before + 1 - 0.99 / 11)


def test_an_export_becomes_the_domain_s_encoder(domain: Domain, tiny_domain_folder: Path, tmp_path: Path) -> None:
    method = make(domain, average_decay=0.9).eval()
    state, metadata = method.exports()["encoder"]
    assert metadata["fingerprints"] == {"generator": fingerprint(domain.generator)}
    assert metadata["part"] == "encoder" and "weights" not in metadata["network"]
    save_weights(tmp_path / "encoder.safetensors", state, metadata)
    config = domain.config.plain()
    config["encoder"]["weights"] = str(tmp_path / "encoder.safetensors")
    image = batch_of(3)["image"]
    reader = Domain(Section(config))
    torch.testing.assert_close(reader.synthesise(reader.encode(image)), method.invert(image))


def test_validation_measures_the_inversion(domain: Domain) -> None:
    method = make(domain).eval()
    image = batch_of(5)["image"]
    measures = method.validate({"image": image})
    assert measures["image"] == pytest.approx(float((method.invert(image) - image).detach().square().mean()))
    shares = [measures[f"kept/{name}"] for name in domain.attributes]
    assert measures["decisions_kept"] == pytest.approx(sum(shares) / 5)
    perfect = make(domain).eval()
    perfect.invert = lambda image: image  # type: ignore[method-assign]
    measures = perfect.validate({"image": image})
    assert measures["decisions_kept"] == 1 and measures["identity_cosine"] == pytest.approx(1)
    assert method.preview({"image": image}).shape == (3, 2 * 32 + 2, 5 * 34 - 2)


def test_resumes_exactly(domain: Domain, tmp_path: Path) -> None:
    def build() -> E4eMethod:
        return E4eMethod(
            domain,
            TERMS,
            latent_discriminator=CRITIC,
            first_stage_steps=2,
            stage_steps=1,
            average_decay=0.9,
            latent_average_samples=64,
            synthetic_batch=2,
        )

    assert_resumes_exactly(build, tmp_path, stop=3, steps=6)


def test_it_starts_from_an_earlier_encoder(domain: Domain, tmp_path: Path) -> None:
    trained = make(domain)
    with torch.no_grad():
        for parameter in trained.encoder.parameters():
            parameter.add_(0.1)
    state = {**trained.encoder.state_dict(), "latent_avg": torch.zeros(8, 8)}
    save_weights(tmp_path / "encoder.safetensors", state, {})
    published = {"state_dict": prefixed(trained.encoder.state_dict(), "encoder."), "latent_avg": torch.zeros(8, 8)}
    save(tmp_path / "encoder.pt", published)
    image = batch_of(2)["image"]
    for name in ("encoder.safetensors", "encoder.pt"):
        started = make(domain, initial=str(tmp_path / name))
        assert torch.equal(started.encoder.eval()(image), trained.encoder.eval()(image))
        assert torch.equal(started.latent_avg, make(domain).latent_avg)
