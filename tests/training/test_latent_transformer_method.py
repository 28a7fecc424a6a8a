"""Latent Transformer and its classifier of codes: terms, edits, and both runs as a user makes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from criteria.balanced_cross_entropy import balanced_cross_entropy
from models.domain import Domain
from models.editors.latent_transformer import LatentTransformerEditor, attribute_columns
from models.editors.targets import SetTo
from models.latent_transformer import LatentClassifier
from tests.training.editors import (
    assert_configs_fit,
    assert_independent_of_the_batch,
    assert_usable,
    faces_of,
    logged,
    trained,
    write_config,
)
from tests.training.runs import backward
from training.methods.latent_transformer import LatentTransformerMethod
from utils.config import ConfigError
from utils.weights import WeightsError, save_weights


@pytest.fixture(scope="module")
def domain(tiny_domain_folder: Path) -> Domain:
    return Domain.from_file(tiny_domain_folder / "domain.yaml")


def classifier_file(path: Path, fingerprints: dict[str, str] | None = None, **sizes: Any) -> str:
    torch.manual_seed(0)
    network = LatentClassifier(**{"inputs": 64, "hidden": [16, 8], "outputs": 5, **sizes})
    save_weights(path, network.state_dict(), {"network": "latent_classifier", "fingerprints": fingerprints or {}})
    return str(path)


def test_both_classes_of_a_batch_count_alike() -> None:
    logits = torch.tensor([2.0, -1.0, 0.5, 0.3])
    targets = torch.tensor([1.0, 0.0, 0.0, 0.0])
    single = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    torch.testing.assert_close(balanced_cross_entropy(logits, targets), single[0] + single[1:].mean())
    alike = torch.ones(4)
    torch.testing.assert_close(balanced_cross_entropy(logits, alike), F.binary_cross_entropy_with_logits(logits, alike))


class Codes(torch.utils.data.Dataset):
    """Codes without faces."""

    def __init__(self, count: int) -> None:
        self.codes = 10 * torch.randn(count, 8, 8, generator=torch.Generator().manual_seed(4))

    def numbers(self) -> tuple[torch.Tensor, torch.Tensor]:
        return self.codes, torch.zeros(len(self.codes), 5)


def test_terms_are_the_published_ones(domain: Domain, tmp_path: Path) -> None:
    method = LatentTransformerMethod(domain, classifier_file(tmp_path / "c.safetensors"))
    data = Codes(500)
    method.fit(data)
    decisions = (method.classifier(data.codes) > 0).double()
    expected = 1 - torch.corrcoef(decisions.t()).abs()
    torch.testing.assert_close(method.weights.double(), expected, atol=1e-6, rtol=0)
    w = data.codes[:6]
    terms = method.losses("editor", {"latent": w})
    before = method.classifier(w)
    for name in terms:
        total = 0.0
        for column, transformer in enumerate(method.transformers):
            p = before[:, column].sigmoid()
            alpha = torch.where(p > 0.5, -p, 1 - p)
            edited = transformer(w, alpha)
            after = method.classifier(edited)
            if name == "reg":
                total += float((edited - w).square().mean())
            elif name == "attributes":
                total += float(((after - before) * method.weights[column]).square().mean())
            else:
                target = (p + alpha).clamp(0, 1).round()
                counts = torch.where(target == 1, target.sum(), 6 - target.sum())
                single = F.binary_cross_entropy_with_logits(after[:, column], target, reduction="none")
                total += float((6 / counts * single).mean())
        assert float(terms[name]) == pytest.approx(total, rel=1e-5), name


def test_the_classifier_is_frozen_and_each_network_learns(domain: Domain, tmp_path: Path) -> None:
    method = LatentTransformerMethod(domain, classifier_file(tmp_path / "c.safetensors"))
    backward(method, method.phases()[0], {"latent": faces_of(domain)[0]})
    assert all(p.grad is None for p in method.classifier.parameters())
    assert all(p.grad is not None and p.grad.any() for p in method.transformers.parameters())


def test_a_classifier_of_all_the_teachers_outputs_is_read_at_the_attributes(domain: Domain, tmp_path: Path) -> None:
    assert attribute_columns(5, domain) == [0, 1, 2, 3, 4]
    for sizes, words in (({"outputs": 7}, "fits neither"), ({"inputs": 60}, "takes codes of 60 numbers")):
        with pytest.raises(ConfigError, match=words):
            LatentTransformerMethod(domain, classifier_file(tmp_path / "c.safetensors", **sizes))
    with pytest.raises(WeightsError, match="this classifier of codes was trained with encoder other"):
        LatentTransformerMethod(domain, classifier_file(tmp_path / "c.safetensors", {"encoder": "other"}))


def test_two_runs_make_an_editor(tiny_domain_folder: Path, tmp_path: Path) -> None:
    section: dict[str, Any] = {"name": "latent_classifier", "hidden": [16, 8], "learning_rate": 1e-2}
    first = trained(write_config(tiny_domain_folder, tmp_path, section, steps=20), tmp_path / "classifier")
    measures = logged(first, "validation")
    assert len([share for name, share in measures.items() if name.startswith("accuracy_") and 0 <= share <= 1]) == 5
    section = {"name": "latent_transformer", "classifier": str(first / "latent_classifier.safetensors")}
    section["edited_styles"] = 6
    run = trained(write_config(tiny_domain_folder, tmp_path, section, steps=3), tmp_path / "run")
    editor, domain = assert_usable(run, tmp_path, "Latent Transformer")
    assert isinstance(editor, LatentTransformerEditor)
    assert_independent_of_the_batch(editor, domain)
    w, image = faces_of(domain)
    semantics = editor.read(w, image)
    torch.testing.assert_close(semantics, editor.classifier(w).sigmoid())
    edited = editor.edit(w, image, {"Young": SetTo(1.5)})
    moved = editor.transformers[2](w, 1.5 - semantics[:, 2])
    torch.testing.assert_close(edited[:, :6], moved[:, :6])
    assert torch.equal(edited[:, 6:], w[:, 6:])


def test_configs() -> None:
    assert_configs_fit("latent_classifier")
    assert_configs_fit("latent_transformer", {"target", "reg", "attributes"})
