"""The identity swap's training on a domain in miniature: what learns, what the terms are, and train.py as a command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor
from torch.nn.functional import softplus

from criteria.patches import draw_crops, patches
from criteria.perceptual import perceptual_distance
from models.domain import PARTS, Domain
from models.editors.id_swap import IDSwapEditor
from models.editors.loading import load_editor
from tests.identities import ENCODER, MAPPER
from tests.training.editors import assert_resumes, trained
from tests.training.runs import backward
from training.methods import METHODS
from training.methods.id_swap import TERMS, IDSwapMethod
from training.picture_distance import PictureDistance
from training.settings import TrainingSettings
from utils.config import ConfigError, check_arguments, load_config
from utils.images import at_side
from utils.paths import ROOT

SMALL = tuple(term for term in TERMS if term != "mixed")  # MS-SSIM takes no pictures of 32 pixels


@pytest.fixture(scope="module")
def domain(tiny_domain_folder: Path) -> Domain:
    return Domain.from_file(tiny_domain_folder / "domain.yaml")


def make(domain: Domain, **arguments: Any) -> IDSwapMethod:
    torch.manual_seed(0)
    usual = {"terms": SMALL, "features": ("teacher",), "kernel": 3, "crop_side": 16}
    return IDSwapMethod(domain, dict(ENCODER), dict(MAPPER), **{**usual, **arguments})


def batch(count: int = 6) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(5)
    return {"image": torch.rand(count, 3, 32, 32, generator=random) * 2 - 1}


def test_only_encoder_and_mapper_learn(domain: Domain) -> None:
    method = make(domain, features=("teacher", "encoder"))
    backward(method, method.phases()[0], batch())
    for network in (method.encoder, method.mapper):
        assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
        assert any(p.grad.any() for p in network.parameters())
    for part in PARTS:
        for parameter in getattr(domain, part).parameters():
            assert not parameter.requires_grad and parameter.grad is None


def test_what_the_terms_are(domain: Domain) -> None:
    method = make(domain)
    image = batch()["image"]
    a, b = image.chunk(2)
    identity, own = method.encoder(at_side(a, 64))
    _, other = method.encoder(at_side(b, 64))
    rebuilt, hybrid = (
        domain.synthesise(method.mapper.code(identity, attribute, domain.styles)) for attribute in (own, other)
    )
    method.encoder.load_state_dict(make(domain).encoder.state_dict())  # running statistics as before
    torch.manual_seed(3)
    found = method.losses("editor", {"image": image})
    torch.manual_seed(3)
    crops = draw_crops(32, 8)
    distance = PictureDistance(domain, ("teacher",), Path("none"))
    of = domain.identity_embedding
    expected = {
        "pixel": ((rebuilt - a) / 2).square().mean(),
        "perceptual": distance(rebuilt, a),
        "identity_1": 1 - (of(rebuilt) * of(a)).sum(1).mean(),
        "attribute": distance(patches(hybrid, crops, 16), patches(b, crops, 16)),
    }
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5)
    taught = make(domain, terms=("teacher",)).losses("editor", {"image": image})["teacher"]
    said, wanted = domain.teacher_probabilities(hybrid), domain.teacher_probabilities(b)
    torch.testing.assert_close(taught, -(wanted * said.log() + (1 - wanted) * (1 - said).log()).mean())
    plain = make(domain, kernel=0, terms=("identity_2",)).losses("editor", {"image": image})["identity_2"]
    torch.testing.assert_close(plain, 1 - (of(hybrid) * of(a)).sum(1).mean(), rtol=1e-4, atol=1e-5)
    assert 0 < float(found["identity_2"]) < float(plain)  # h enters as 2h − 1, of which −1 is the larger part


_LOOKS_AT = {"pixel": "rebuilt", "identity_2": "hybrid", "attribute": "hybrid", "teacher": "hybrid"}


@pytest.mark.parametrize(("term", "reaches"), _LOOKS_AT.items(), ids=_LOOKS_AT)
def test_which_picture_a_term_looks_at(domain: Domain, term: str, reaches: str) -> None:
    method = make(domain)
    a, b = batch()["image"].chunk(2)
    pictures = {name: (0.5 * a + 0.1).requires_grad_() for name in ("rebuilt", "hybrid")}
    getattr(method, f"_{term}")(pictures["rebuilt"], pictures["hybrid"], a, b).backward()
    assert [name for name, picture in pictures.items() if picture.grad is not None and picture.grad.any()] == [reaches]


def test_roles_change_in_odd_epochs_as_published(domain: Domain) -> None:
    image = batch(4)["image"]
    for pairs, swapped in (("random", False), ("published", True)):
        method = make(domain, pairs=pairs)
        method.check_data([{"image": image[0]}] * 8)  # two batches of four an epoch
        for step in range(6):
            method.before_step(step)
            first = method.halves(image)[0]
            odd = swapped and step // 2 % 2 == 1
            assert torch.equal(first, image[2:] if odd else image[:2])


def test_statistics_can_be_frozen_as_published(domain: Domain) -> None:
    method = make(domain, freeze_statistics_after=2)
    modes = []
    for step in range(4):
        method.before_step(step)
        modes.append(method.encoder.training)
    assert modes == [True, True, False, False]
    method = make(domain)
    method.before_step(0)
    method.preview(batch())  # an editor at work is in evaluation mode
    method.validate(batch())
    assert method.encoder.training


def test_a_mapper_may_give_a_row_for_each_style(domain: Domain) -> None:
    torch.manual_seed(0)
    method = IDSwapMethod(
        domain, dict(ENCODER), {**MAPPER, "rows": domain.styles}, terms=("pixel",), features=("teacher",)
    )
    code = method.mapper.code(torch.ones(2, 6), torch.ones(2, 12), domain.styles)
    assert code.shape == (2, domain.styles, domain.style_dim) and not torch.equal(code[:, 0], code[:, 1])
    with pytest.raises(ConfigError, match=r"method.mapper.rows: must be 1 or"):
        IDSwapMethod(domain, dict(ENCODER), {**MAPPER, "rows": 3}, terms=("pixel",), features=("teacher",))


def test_the_person_is_found_again_in_the_hybrid_after_some_steps(domain: Domain) -> None:
    method = make(domain, terms=("pixel", "consistency"), consistency_after=2)
    method.before_step(1)
    assert method.losses("editor", batch())["consistency"] == 0
    method.before_step(2)
    before = {name: value.clone() for name, value in method.encoder.named_buffers() if "running" in name}
    a, b = batch()["image"].chunk(2)
    hybrid = method._hybrids(a, b)
    identity, _ = method.encoder.eval()(at_side(a, 64))
    found, _ = method.encoder(at_side(hybrid, 64))
    torch.testing.assert_close(method._consistency(hybrid, identity), 1 - (found * identity).sum(1).mean())
    assert all(torch.equal(dict(method.encoder.named_buffers())[name], value) for name, value in before.items())
    method.before_step(2)
    term = method.losses("editor", batch())["consistency"]
    term.backward()
    assert term > 0 and method.encoder.training
    assert any(parameter.grad is not None and parameter.grad.any() for parameter in method.mapper.parameters())


CRITIC = {"name": "latent_discriminator", "layers": 2}


def test_a_latent_discriminator_judges_the_codes(domain: Domain) -> None:
    method = make(domain, terms=("pixel", "adversarial"), latent_discriminator=CRITIC)
    editor, critic = method.phases()
    terms = method.losses("editor", batch())
    [codes] = method._codes
    assert codes.shape == (6, 1, domain.style_dim)  # three rebuilt, three exchanged; the rows of a code are alike
    torch.testing.assert_close(terms["adversarial"], softplus(-method.latent_discriminator(codes)).mean())
    terms["adversarial"].backward()
    assert all(parameter.grad is not None for parameter in editor.parameters)
    method.zero_grad()
    of_critic = method.losses(critic.name, batch())
    assert set(of_critic) == {"latent_discriminator", "latent_r1"} and not method._codes
    sum(of_critic.values()).backward()  # type: ignore[union-attr]
    learning = {id(parameter) for parameter in critic.parameters}
    assert {id(one) for one in method.parameters() if one.grad is not None} == learning
    for arguments in ({"terms": ("pixel", "adversarial")}, {"latent_discriminator": CRITIC}):
        with pytest.raises(ConfigError, match="need each other"):
            make(domain, **arguments)


def test_the_trunk_may_start_from_the_domains_encoder(domain: Domain) -> None:
    trunk = domain.encoder
    widths = {"layers": list(trunk.layers), "widths": list(trunk.widths)}  # type: ignore[attr-defined]
    teacher: dict[str, Any] = {"terms": ("pixel",), "features": ("teacher",)}
    torch.manual_seed(0)
    method = IDSwapMethod(domain, {**ENCODER, **widths}, dict(MAPPER), trunk="encoder", **teacher)
    image = batch()["image"]
    for ours, its in zip(method.encoder.eval().stages(image), trunk.stages(image), strict=True):  # type: ignore
        torch.testing.assert_close(ours, its)
    with pytest.raises(ConfigError, match=r"method.encoder.widths: must be \[\d+, .*, not \[24, "):
        IDSwapMethod(domain, {**ENCODER, **widths, "widths": [24] * 5}, dict(MAPPER), trunk="encoder", **teacher)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"terms": ("pixels",)}, "no term 'pixels'"),
        ({"terms": ()}, "none is named"),
        ({"features": ("vgg",)}, "must be some of lpips, teacher, encoder, not vgg"),
        ({"features": ()}, "must be some of"),
        ({"kernel": 4}, "must be odd"),
    ],
)
def test_wrong_settings_are_named(domain: Domain, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make(domain, **arguments)


@pytest.mark.parametrize("count", [2, 5])
def test_pairs_need_an_even_number(domain: Domain, count: int) -> None:
    with pytest.raises(ConfigError, match="an even number of faces, at least 4"):
        make(domain).losses("editor", batch(count))


def test_equal_pictures_are_at_no_distance(domain: Domain) -> None:
    image = batch()["image"]
    distance = PictureDistance(domain, ("teacher", "encoder"), Path("none"))
    assert float(distance(image, image)) == pytest.approx(0, abs=1e-5)
    features = [image, image]
    assert float(perceptual_distance(features, features)) == 0


def write(tiny_domain_folder: Path, folder: Path) -> Path:
    method = {
        "name": "id_swap", "encoder": ENCODER, "mapper": MAPPER, "terms": list(SMALL), "features": ["teacher"],
        "kernel": 3, "crops": 2, "crop_side": 16,
    }  # fmt: skip
    values = {
        "domain": str(tiny_domain_folder / "domain.yaml"),
        "data": {"name": "avatar_faces", "count": 16, "split": "train", "side": 32},
        "method": method,
        "training": {"steps": 4, "batch_size": 4, "preview_images": 3, "preview_every": 2, "checkpoint_every": 2},
        "run": "never-used",
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def test_a_training_and_its_editor(tiny_domain_folder: Path, tmp_path: Path) -> None:
    config = write(tiny_domain_folder, tmp_path)
    run = trained(config, tmp_path / "run")
    editor, _, metadata = load_editor(run)
    assert isinstance(editor, IDSwapEditor) and metadata["method"] == "id_swap"
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    measured = next(line for line in lines if "identity_a" in line)
    assert all(-1 <= measured[name] <= 1 for name in ("identity_a", "identity_b", "identity_rebuilt", "attributes_b"))
    assert_resumes(config, run, tmp_path, stop=2, steps=4)


@pytest.mark.parametrize("path", sorted((ROOT / "configs/id_swap").glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_configs_fit(path: Path) -> None:
    config = load_config(path)
    check_arguments(config.section("method"), METHODS.find(config.section("method")), given=("domain",))
    TrainingSettings.from_section(config.section("training"))
