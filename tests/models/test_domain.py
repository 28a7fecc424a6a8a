"""A domain: its settings, its parts, and what saves memory or time without changing results."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from models import protocols
from models.domain import PARTS, Domain, Part
from utils.config import ConfigError, load_config
from utils.options import PRECISIONS
from utils.paths import ROOT
from utils.weights import WeightsError, load_weights, save_weights


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
        latent = exact.generator.broadcast(exact.generator.mapping(torch.randn(8, *exact.generator.z_shape)))
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


def test_every_precision_of_the_commands(tiny_domain_folder: Path) -> None:
    assert [domain_with(tiny_domain_folder, precision=name).precision for name in PRECISIONS] == list(PRECISIONS)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"atributes": []}, "domain.yaml: atributes: 'domain' has no such key; did you mean 'attributes'"),
        ({"generater": {}}, "domain.yaml: generater: 'domain' has no such key; did you mean 'generator'"),
        ({"image_side": "large"}, "domain.yaml: image_side: must be int, not 'large'"),
        ({"image_side": 0}, "domain.yaml: image_side: must be at least 1, not 0"),
        ({"classifier_outputs": "imagenet"}, "domain.yaml: classifier_outputs: must be one of 'celeba' |"),
        ({"attributes": ["Bald"], "classifier_outputs": ["Male"]}, "attributes: the classifier has no output 'Bald'"),
    ],
)
def test_impossible_settings_are_named(tiny_domain_folder: Path, settings: dict[str, object], message: str) -> None:
    path = tiny_domain_folder / "domain.yaml"
    config = load_config(path)
    config.sources |= dict.fromkeys(settings, "domain.yaml")
    config.update(settings)
    with pytest.raises(ConfigError) as caught:
        Domain(config)
    assert message in str(caught.value)


def test_networks_that_do_not_fit_the_domain(tiny_domain_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="image_side: is 128, but the encoder is made for images of another side"):
        _ = domain_with(tiny_domain_folder, image_side=128).encoder
    section = {**load_config(tiny_domain_folder / "domain.yaml")["generator"], "size": 16}
    section |= {"channels": {4: 8, 8: 8, 16: 8}, "weights": str(tmp_path / "generator.safetensors")}
    domain = domain_with(tiny_domain_folder, generator=section)
    save_weights(tmp_path / "generator.safetensors", domain.untrained("generator").state_dict(), {"network": "x"})
    assert domain.styles == 6
    with pytest.raises(ConfigError, match=r"encoder: codes of generator and encoder differ in size: \(8, 8\) here"):
        _ = domain.encoder


@pytest.mark.parametrize("key", ["name", "attributes", "image_side"])
def test_keys_that_every_domain_needs(tiny_domain_folder: Path, key: str) -> None:
    config = load_config(tiny_domain_folder / "domain.yaml")
    del config[key]
    with pytest.raises(ConfigError, match=f"'domain' needs the key '{key}'"):
        Domain(config)


def test_classifier_outputs_of_celeba(tiny_domain_folder: Path) -> None:
    domain = domain_with(tiny_domain_folder, classifier_outputs="celeba")
    assert len(domain.classifier_outputs) == 40 and domain.attributes[0] in domain.classifier_outputs
    assert domain_with(tiny_domain_folder).classifier_outputs == domain.attributes


def test_networks_offer_what_their_protocols_say(tiny_domain_folder: Path) -> None:
    domain = domain_with(tiny_domain_folder, latent_space={"name": "bent_latent_space"})
    assert isinstance(domain.generator, protocols.Generator)
    assert isinstance(domain.encoder, protocols.Encoder)
    assert isinstance(domain.teacher, protocols.Classifier) and isinstance(domain.judge, protocols.Classifier)
    assert isinstance(domain.identity, protocols.RecognitionNetwork)
    assert isinstance(domain.latent_space, protocols.LatentSpace)


def test_parts_are_loaded_when_used_and_can_be_freed(tiny_domain_folder: Path) -> None:
    domain = domain_with(tiny_domain_folder)
    assert not domain.loaded()
    encoder, mean = domain.encoder, domain.latent_avg
    assert domain.encoder is encoder and set(domain.loaded()) == {"encoder"}
    domain.forget("encoder", "judge")
    assert not domain.loaded() and domain.encoder is not encoder and domain.latent_avg.equal(mean)


def without_mean(folder: Path, path: Path, needed: bool | None, mean: bool = False) -> Domain:
    """A domain whose encoder's file has no mean code: of e4e's format, or this project's where `needed` is None."""
    section = load_config(folder / "domain.yaml").section("encoder")
    section["widths"] = [16, 20, 24, 28, 32]  # sizes that can be read off the tensors
    torch.manual_seed(0)
    state = domain_with(folder, encoder=section).untrained("encoder").state_dict()
    if needed is None:
        save_weights(path, state, {"part": "encoder"})
    else:
        options = {"encoder_type": "Encoder4Editing", "start_from_latent_avg": needed}
        content = {"state_dict": {f"encoder.{key}": value for key, value in state.items()}, "opts": options}
        torch.save({**content, **({"latent_avg": torch.full((8, 8), 7.0)} if mean else {})}, path)
    return domain_with(folder, encoder={**section, "weights": str(path)})


def test_an_encoder_that_needs_no_mean_code(tiny_domain_folder: Path, tmp_path: Path) -> None:
    """Before, its file was refused: "has no 'latent_avg'"."""
    without = without_mean(tiny_domain_folder, tmp_path / "without.pt", needed=False)
    zeroed = without_mean(tiny_domain_folder, tmp_path / "with.pt", needed=False, mean=True)
    image = torch.rand(2, 3, 32, 32) * 2 - 1
    assert without.encode(image).equal(without.encoder(image)) and without.encode(image).equal(zeroed.encode(image))


@pytest.mark.parametrize("needed", [True, None])
def test_a_missing_mean_code_is_that_of_the_generator(
    needed: bool | None, tiny_domain_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    domain = without_mean(tiny_domain_folder, tmp_path / "encoder.pt", needed)
    image, state = torch.rand(2, 3, 32, 32) * 2 - 1, torch.get_rng_state()
    latent = domain.encode(image)
    domain.encode(image)
    assert torch.get_rng_state().equal(state)
    mean = domain.generator.mapping(torch.randn(20_000, 8)).mean(0)
    spread = domain.generator.mapping(torch.randn(2000, 8)).std(0).mean()
    assert (latent - domain.encoder(image) - mean).abs().max() < 0.05 * spread
    (said,) = caplog.messages
    assert "encoder.pt: has no 'latent_avg' (mean latent code); it was estimated" in said


def test_a_missing_mean_code_that_the_generators_file_has(tiny_domain_folder: Path, tmp_path: Path) -> None:
    domain = without_mean(tiny_domain_folder, tmp_path / "encoder.pt", True)
    generator = load_config(tiny_domain_folder / "domain.yaml").section("generator")
    state, _ = load_weights(generator["weights"])
    torch.save({"g_ema": state, "latent_avg": torch.full((8,), 3.0)}, tmp_path / "generator.pt")
    given = domain_with(
        tiny_domain_folder,
        encoder=domain.config["encoder"],
        generator={"name": generator["name"], "weights": str(tmp_path / "generator.pt")},
    )
    assert given.latent_avg.tolist() == [3.0] * 8


@pytest.mark.parametrize(
    ("mean", "message"),
    [
        (torch.zeros(18, 512), r"'latent_avg' \(mean latent code\) has the shape \(18, 512\); \(8, 8\) or \(8,\) fit"),
        (torch.zeros(4, 8, 8), r"has the shape \(4, 8, 8\)"),
    ],
)
def test_a_mean_code_that_does_not_fit(
    mean: torch.Tensor, message: str, tiny_domain_folder: Path, tmp_path: Path
) -> None:
    """Before, each photograph failed: "The size of tensor a must match the size of tensor b"."""
    path = tmp_path / "encoder.pt"
    domain = without_mean(tiny_domain_folder, path, needed=True)
    content = torch.load(path)
    torch.save({**content, "latent_avg": mean}, path)
    with pytest.raises(WeightsError, match=f"encoder.pt: .*{message}"):
        domain.encode(torch.zeros(1, 3, 32, 32))
    torch.save({**content, "latent_avg": mean, "opts": {**content["opts"], "start_from_latent_avg": False}}, path)
    domain.forget("encoder")
    assert not domain.latent_avg.any()  # it is not added


def test_another_part_is_one_entry(tiny_domain_folder: Path) -> None:
    class WithSecondJudge(Domain):
        second_judge = Part[protocols.Classifier]()

    config = load_config(tiny_domain_folder / "domain.yaml")
    config["second_judge"] = config["judge"]
    domain = WithSecondJudge(config)
    image = torch.zeros(1, 3, domain.image_side, domain.image_side)
    assert WithSecondJudge.parts == (*PARTS, "second_judge") and Domain.parts == PARTS
    assert domain.second_judge(image).equal(domain.judge(image)) and "second_judge" in domain.loaded()
