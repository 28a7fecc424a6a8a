"""StyleFlow, and what stands between it and SDFlow: the flow conditioned on the frozen classifier."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from models.domain import PARTS, Domain
from models.editors.loading import load_editor
from models.editors.styleflow import StyleFlowEditor
from tests.training.editors import (
    assert_configs_fit,
    assert_independent_of_the_batch,
    assert_usable,
    faces_of,
    trained,
    write_config,
)
from tests.training.runs import backward
from training.methods.sdflow import SDFlowMethod
from utils.config import ConfigError
from utils.weights import WeightsError, load_weights, save_weights

FLOW = {"name": "continuous_flow", "tolerance": 1e-3, "hidden": [16, 16]}


@pytest.fixture(scope="module")
def domain(tiny_domain_folder: Path) -> Domain:
    return Domain.from_file(tiny_domain_folder / "domain.yaml")


def batch(domain: Domain) -> dict[str, Tensor]:
    latent, image = faces_of(domain, 4)
    return {"image": image, "latent": latent, "teacher": domain.teacher_probabilities(image).detach()}


def method(domain: Domain, *terms: str) -> SDFlowMethod:
    torch.manual_seed(0)
    return SDFlowMethod(domain, FLOW, None, terms)


def test_the_likelihood_alone_given_the_classifier(domain: Domain) -> None:
    one, data = method(domain, "nll").eval(), batch(domain)
    torch.manual_seed(1)
    terms = one.losses("editor", data)
    torch.manual_seed(1)
    log_prob = one.flow.log_prob(data["latent"], data["teacher"])
    assert set(terms) == {"nll"}
    torch.testing.assert_close(terms["nll"], -log_prob.mean() / data["latent"][0].numel())


def test_the_classifier_stays_frozen_when_the_flow_learns_through_it(domain: Domain) -> None:
    one = method(domain, "nll", "reg", "mi")
    terms = backward(one, one.phases()[0], batch(domain))
    assert set(terms) == {"nll", "reg", "mi"}
    assert all(p.grad is not None and p.grad.isfinite().all() for p in one.flow.parameters())
    assert all(p.grad is None for part in PARTS for p in getattr(domain, part).parameters())
    assert {name.split(".")[0] for name in one.state_dict()} == {"flow"}


def test_a_frozen_classifier_cannot_be_distilled(domain: Domain) -> None:
    with pytest.raises(ConfigError, match="'kd' trains a semantic encoder"):
        method(domain, "nll", "kd")
    with pytest.raises(ConfigError, match="did you mean 'nll'"):
        method(domain, "nl")


def test_a_run_is_an_editor_that_needs_its_classifier(tiny_domain_folder: Path, tmp_path: Path) -> None:
    section = {"name": "sdflow", "flow": FLOW, "semantic_encoder": None, "terms": ["nll"], "learning_rate": 1e-3}
    run = trained(write_config(tiny_domain_folder, tmp_path, section, steps=3), tmp_path / "run")
    editor, domain = assert_usable(run, tmp_path, "StyleFlow")
    assert isinstance(editor, StyleFlowEditor)
    assert_independent_of_the_batch(editor, domain)
    latent, image = faces_of(domain)
    torch.testing.assert_close(editor.read(latent, image), domain.teacher_probabilities(image))
    state, metadata = load_weights(run / "editor.safetensors")
    metadata["fingerprints"]["teacher"] = "another"
    save_weights(run / "editor.safetensors", state, metadata)
    with pytest.raises(WeightsError, match="trained with teacher another"):
        load_editor(run)


def test_configs() -> None:
    assert_configs_fit("styleflow")
