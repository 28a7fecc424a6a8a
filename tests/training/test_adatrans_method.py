"""AdaTrans and its density: terms, the place on a path that an edit asks for, and both runs as a user makes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from models.adatrans import AdaTrans
from models.domain import PARTS, Domain
from models.editors.adatrans import AdaTransEditor
from models.editors.targets import SetTo
from models.flows.realnvp import RealNVP
from tests.training.editors import (
    assert_configs_fit,
    assert_independent_of_the_batch,
    assert_resumes,
    assert_usable,
    faces_of,
    logged,
    trained,
    write_config,
)
from tests.training.runs import backward
from training.method import Batch
from training.methods import METHODS
from training.methods.adatrans import AdaTransMethod
from utils.config import ConfigError, Section
from utils.weights import WeightsError, save_weights

NETWORK = {"name": "adatrans", "layers": 2, "width": 16}
TERMS = {"class", "reg", "nll", "identity", "perceptual"}


@pytest.fixture(scope="module")
def domain(tiny_domain_folder: Path) -> Domain:
    return Domain.from_file(tiny_domain_folder / "domain.yaml")


def density_file(path: Path, style_dim: int = 8, fingerprints: dict[str, str] | None = None) -> str:
    torch.manual_seed(0)
    network = RealNVP(style_dim, couplings=2, width=4)
    save_weights(path, network.state_dict(), {"network": "realnvp", "fingerprints": fingerprints or {}})
    return str(path)


def batch(domain: Domain) -> Batch:
    latent, image = faces_of(domain, 4)
    return {"image": image, "latent": latent, "teacher": domain.teacher_probabilities(image).detach()}


@pytest.mark.parametrize(("step", "drawn", "held"), [(0, 4, 0), (8, 2, 2), (8, 4, 1)])
def test_terms_are_the_published_ones(domain: Domain, tmp_path: Path, step: int, drawn: int, held: int) -> None:
    torch.manual_seed(0)
    density_path = density_file(tmp_path / "d.safetensors")
    method = AdaTransMethod(domain, NETWORK, density_path, steps=3, pictures=drawn, held_steps=held).eval()
    data, chosen = batch(domain), step % 5
    method.before_step(step)
    terms = method.losses("editor", data)
    wanted = data["teacher"].clone()
    wanted[:, chosen] = 1 - (wanted[:, chosen] > 0.5).float()
    sides = torch.where(wanted[:, chosen] > 0.5, 1.0, -1.0)[:, None]
    path, lengths = method.transformers[chosen](data["latent"], sides, 3, step // 5 < held)
    assert torch.equal(lengths, torch.full((4, 3), 0.5)) == (step // 5 < held)
    picture, inversion = domain.synthesise(path[-1, :drawn]), domain.synthesise(data["latent"][:drawn])
    cosine = (domain.identity_embedding(picture) * domain.identity_embedding(inversion)).sum(1)
    density = RealNVP(8, couplings=2, width=4).eval()
    density.load_state_dict(method._density[0].state_dict())
    z, log_det = density.forward_and_log_det(path[1:])
    normal = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)
    expected = {
        "class": F.binary_cross_entropy(domain.teacher_probabilities(picture), wanted[:drawn]),
        "reg": (path[-1] - data["latent"]).square().mean(),
        "nll": -(normal + log_det).mean() / 8,
        "identity": 1 - cosine.mean(),
    }
    assert set(terms) == TERMS
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value, rtol=1e-4, atol=1e-5)


def test_one_attributes_path_learns_at_a_time(domain: Domain, tmp_path: Path) -> None:
    method = AdaTransMethod(domain, NETWORK, density_file(tmp_path / "d.safetensors"))
    method.before_step(8)
    backward(method, method.phases()[0], batch(domain))
    for number, network in enumerate(method.transformers):
        gradients = [parameter.grad for parameter in network.parameters()]
        if number == 3:
            assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
        else:
            assert gradients == [None] * len(gradients)
    frozen = [method._density[0], *(getattr(domain, part) for part in PARTS)]
    assert all(p.grad is None for network in frozen for p in network.parameters())
    assert {name.split(".")[0] for name in method.state_dict()} == {"transformers"}


def test_what_does_not_fit_is_refused(domain: Domain, tmp_path: Path) -> None:
    path = tmp_path / "d.safetensors"
    section = {"name": "adatrans", "transformer": NETWORK, "density": density_file(path)}
    for key, value, message in (
        ("steps", 11, "at least 1 and at most 10, not 11"), ("pictures", 0, "at least 1, not 0"),
        ("held_steps", -1, "at least 0, not -1"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=f"method.{key}: must be {message}"):
            METHODS.build(Section({**section, key: value}, "method"), domain=domain)
    with pytest.raises(ConfigError, match="no such key"):
        AdaTransMethod(domain, {**NETWORK, "conditions": 5}, density_file(path))
    with pytest.raises(ConfigError, match="is of style vectors of 6"):
        AdaTransMethod(domain, NETWORK, density_file(path, style_dim=6))
    with pytest.raises(WeightsError, match="this density of codes was trained with generator other"):
        AdaTransMethod(domain, NETWORK, density_file(path, fingerprints={"generator": "other"}))


def test_what_could_not_be_made_again_is_refused_before_it_is_trained(domain: Domain, tmp_path: Path) -> None:
    method = AdaTransMethod(domain, NETWORK, density_file(tmp_path / "d.safetensors"))
    random = torch.get_rng_state()
    method.check_result()
    assert torch.equal(random, torch.get_rng_state())
    method.sections = {}
    with pytest.raises(ConfigError, match="does not describe the network 'transformer'"):
        method.check_result()


def test_an_edit_is_the_sum_of_the_places_on_its_paths(domain: Domain) -> None:
    torch.manual_seed(0)
    networks = [AdaTrans(domain.styles, domain.style_dim, layers=2, width=16).eval() for _ in domain.attributes]
    editor = AdaTransEditor(networks, domain, domain.attributes, steps=4)
    w, _ = faces_of(domain, 2)
    semantics = torch.tensor([[0.1, 0.9, 0.2, 0.6, 0.4], [0.8, 0.3, 0.7, 0.2, 0.9]])
    wanted = semantics.clone()
    wanted[0, 3] -= 0.625  # two steps and a half towards absent
    wanted[1, 3] += 9.0  # further than any path
    wanted[1, 0] += 0.25  # one step
    with torch.no_grad():
        moved = editor.move(w, semantics, wanted)
        first, _ = networks[3](w[:1], torch.tensor([[-1.0]]), steps=3)
        second, _ = networks[3](w[1:], torch.tensor([[1.0]]), steps=10)
        third, _ = networks[0](w[1:], torch.tensor([[1.0]]), steps=1)
    torch.testing.assert_close(moved[0], (first[2, 0] + first[3, 0]) / 2)
    torch.testing.assert_close(moved[1], second[10, 0] + third[1, 0] - w[1])
    assert torch.equal(editor.move(w, semantics, semantics), w)


def test_two_runs_make_an_editor(tiny_domain_folder: Path, tmp_path: Path) -> None:
    section: dict[str, Any] = {"name": "realnvp", "couplings": 2, "width": 4, "learning_rate": 1e-2}
    first = trained(write_config(tiny_domain_folder, tmp_path, section, steps=30), tmp_path / "density")
    lines = [line for line in (first / "log.jsonl").read_text().splitlines() if '"train"' in line]
    assert logged(first, "train")["nll"] < float(lines[0].split('"nll": ')[1].split(",")[0].rstrip("}"))
    density = str(first / "realnvp.safetensors")
    section = {"name": "adatrans", "transformer": NETWORK, "density": density, "steps": 2, "pictures": 2}
    config = write_config(tiny_domain_folder, tmp_path, section, steps=7)
    run = trained(config, tmp_path / "run")
    assert_resumes(config, run, tmp_path, stop=2, steps=7)  # its losses are the first to ask for teacher and identity
    editor, domain = assert_usable(run, tmp_path, "AdaTrans")
    assert isinstance(editor, AdaTransEditor) and editor.steps == 2
    passes = [int(one.state_dict()["func.input_layer.1.num_batches_tracked"]) for one in editor.transformers]
    assert passes == [4, 4, 2, 2, 2]  # seven training steps in turn, paths of two
    assert_independent_of_the_batch(editor, domain)
    w, image = faces_of(domain)
    assert (editor.edit(w, image, {"Young": SetTo(1.5)}) - w).abs().max() > 1e-3


def test_configs() -> None:
    assert_configs_fit("realnvp")
    assert_configs_fit("adatrans", TERMS)
