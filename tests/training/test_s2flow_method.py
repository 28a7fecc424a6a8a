"""S²-Flow's training on a domain in miniature: what learns, what the terms are, and the commands as users run them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor
from torch.nn import functional as F

import evaluate
from models.domain import PARTS, Domain
from models.editors.loading import load_editor
from models.editors.s2flow import S2FlowEditor
from tests.training.editors import assert_resumes, logged, trained
from tests.training.runs import backward
from training.methods import METHODS
from training.methods.e4e import FEATURE_LAYERS
from training.methods.s2flow import PUBLISHED, S2FlowMethod
from training.settings import TrainingSettings
from utils.config import ConfigError, check_arguments, load_config
from utils.paths import ROOT

SIDE = 32
FLOW = {"name": "continuous_flow", "tolerance": 1e-2, "hidden": [16, 16]}
ENCODER = {"name": "mask_encoder", "side": SIDE, "stages": 2, "width": 4, "outputs": 6}
TERMS = ("nll", "mask", "pixels", "perceptual", "identity")


@pytest.fixture(scope="module")
def domain(tiny_domain_folder: Path) -> Domain:
    return Domain.from_file(tiny_domain_folder / "domain.yaml")


def make(domain: Domain, **arguments: Any) -> S2FlowMethod:
    torch.manual_seed(0)
    return S2FlowMethod(domain, FLOW, ENCODER, **{"terms": TERMS, **arguments})


def batch(domain: Domain, count: int = 4, side: int = SIDE) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(5)
    latent = domain.latent_avg + torch.randn(count, domain.styles, domain.style_dim, generator=random)
    levels = torch.arange(3, dtype=torch.uint8)[:, None, None].expand(count, 3, side, side)
    return {"latent": latent, "targets": levels + 4 * (torch.rand(levels.shape, generator=random) < 0.5).byte()}


def test_only_flow_and_mask_encoder_learn(domain: Domain) -> None:
    method = make(domain)
    backward(method, method.phases()[0], batch(domain))
    for network in (method.flow, method.mask_encoder):
        assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
        assert any(p.grad.any() for p in network.parameters())
    for part in PARTS:
        for parameter in getattr(domain, part).parameters():
            assert not parameter.requires_grad and parameter.grad is None


@pytest.mark.parametrize("term", ("mask", "pixels", "perceptual", "identity"))
def test_every_term_of_the_edit_reaches_both_networks(domain: Domain, term: str) -> None:
    method = make(domain, terms=(term,))
    assert set(backward(method, method.phases()[0], batch(domain))) == {term}
    for network in (method.flow, method.mask_encoder):
        assert any(p.grad is not None and p.grad.any() for p in network.parameters())


def test_terms_are_what_they_are_said_to_be(domain: Domain) -> None:
    method, data = make(domain, balance=1.0), batch(domain)
    torch.manual_seed(3)
    terms = method.losses("editor", data)
    assert tuple(terms) == TERMS
    torch.manual_seed(3)
    target = method.drawn(data["targets"])
    w, picture = data["latent"], domain.synthesise(data["latent"])
    source = domain.parse(picture)
    conditions = method.mask_encoder(torch.cat([source, target]))
    z, log_det = method.flow.forward_and_log_det(w, conditions[:4])
    edited = domain.synthesise(method.flow.inverse(z, conditions[4:]))
    gaussian = 0.5 * (z.square() + torch.log(torch.tensor(2 * torch.pi))).flatten(1).sum(1)
    pixels = F.cross_entropy(domain.parser_logits(edited), target, reduction="none")
    features = []
    for image in (edited, picture):
        x, kept = image, []
        for name, layer in domain.teacher.extractor.named_children():
            if name in ("avgpool", "fc"):
                break
            x = layer(x)
            if f"extractor.{name}" in FEATURE_LAYERS:
                kept.append(F.normalize(x, dim=1, eps=1e-6))
        features.append(kept)
    embeddings = [domain.identity_embedding(image) for image in (edited, picture)]
    expected = {
        "nll": ((gaussian - log_det.sum(1)) / z[0].numel()).mean(),
        "mask": torch.stack([pixels[target == index].mean() for index in target.unique()]).mean(),
        "pixels": (edited - picture).abs().mean(1)[source == target].mean(),
        "perceptual": sum((one - other).square().sum(1).mean() for one, other in zip(*features, strict=True)),
        "identity": 1 - (embeddings[0] * embeddings[1]).sum(1).mean(),
    }
    for name in TERMS:
        torch.testing.assert_close(terms[name], expected[name], rtol=1e-4, atol=1e-5)


def test_the_likelihood_alone_edits_nothing(domain: Domain, monkeypatch: pytest.MonkeyPatch) -> None:
    method = make(domain, terms=("nll",))
    monkeypatch.setattr(method.flow, "inverse", None)
    assert set(method.losses("editor", batch(domain))) == {"nll"}


def test_harder_targets_join_step_by_step(domain: Domain) -> None:
    method, data = make(domain, level_steps=10), batch(domain, 64)

    def seen(step: int) -> set[int]:
        method.before_step(step)
        return {int(value) % 4 for value in method.drawn(data["targets"])[:, 0, 0]}

    assert [seen(step) for step in (0, 9, 10, 19, 20, 500)] == [{0}, {0}, {0, 1}, {0, 1}, {0, 1, 2}, {0, 1, 2}]
    assert make(domain).levels(3) == 3
    targets = method.drawn(data["targets"])
    assert ((data["targets"] == targets[:, None]).flatten(2).all(2)).any(1).all()  # each a target of its own face


def test_masks_of_another_side_than_pictures(domain: Domain) -> None:
    """As at FFHQ: pictures of 256 are enlarged to the 512 that parser and mask encoder take."""
    torch.manual_seed(0)
    method = S2FlowMethod(domain, FLOW, {**ENCODER, "side": 2 * SIDE})
    terms = backward(method, method.phases()[0], batch(domain, side=2 * SIDE))
    assert all(value.isfinite() for value in terms.values())
    method.eval()
    assert method.preview(batch(domain, side=2 * SIDE)).shape == (3, 8 * (SIDE + 2) - 2, 4 * (SIDE + 2) - 2)


@pytest.fixture(scope="module")
def config(tiny_domain_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("s2flow")
    faces = {"name": "avatar_faces", "count": 12, "split": "train", "side": SIDE}
    values = {
        "domain": str(tiny_domain_folder / "domain.yaml"),
        "data": {"name": "mask_targets", "faces": faces, "cache": str(folder / "latents"), "nearest": 9, "draws": 4},
        "method": {"name": "s2flow", "flow": FLOW, "mask_encoder": ENCODER, "learning_rate": 1e-3, "level_steps": 2},
        "training": {"steps": 6, "batch_size": 4, "preview_every": 6, "checkpoint_every": 6, "preview_images": 2},
        "run": "never-used",
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.fixture(scope="module")
def run(config: Path) -> Path:
    return trained(config, config.parent / "run")


def test_two_halves_are_the_whole_bit_for_bit(config: Path, run: Path, tmp_path: Path) -> None:
    assert_resumes(config, run, tmp_path, stop=3, steps=6)


def test_the_editor_is_what_was_trained_and_measures_are_logged(run: Path) -> None:
    editor, domain, metadata = load_editor(run)
    assert isinstance(editor, S2FlowEditor) and metadata["method"] == "s2flow" and metadata["attributes"] == []
    assert set(metadata["fingerprints"]) == {"generator", "encoder", "parser"}
    w = batch(domain)["latent"]
    condition = editor.read(w, domain.synthesise(w))
    rest = editor.prepare(w, condition)
    torch.testing.assert_close(editor.move(rest, condition, condition), w, rtol=0, atol=1e-3)
    assert {"iou_before", "iou", "identity"} <= logged(run, "validation").keys()
    assert [path.name for path in (run / "previews").iterdir()] == ["step-0000006.png"]


def test_an_evaluation_of_attributes_refuses_it(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate.main(["--checkpoint", str(run), "--device", "cpu", "-o", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "S²-Flow takes requests of other kinds (mask, style) than attributes" in error and error.count("\n") == 1


def test_a_term_that_does_not_exist_is_refused(domain: Domain) -> None:
    with pytest.raises(ConfigError, match=r"method\.terms: s2flow has no term 'masks'.*'mask'"):
        make(domain, terms=("masks",))


def test_data_without_targets_is_refused(domain: Domain) -> None:
    class Plain(torch.utils.data.Dataset):
        holds = ("image", "latent", "teacher")

    with pytest.raises(ConfigError, match="the method needs 'targets'; mask_targets adds it to faces"):
        make(domain).check_data(Plain())


@pytest.mark.parametrize("name", ("avatars", "ffhq"))
def test_configs_name_what_exists(name: str) -> None:
    config = load_config(ROOT / f"configs/s2flow/{name}.yaml")
    method = config.section("method")
    arguments = check_arguments(method, METHODS.find(method), {"domain"})
    settings = TrainingSettings.from_section(config.section("training"))
    assert set(settings.loss_weights) == set(arguments.get("terms", PUBLISHED))
    if name == "ffhq":
        assert settings.steps == 3 * arguments["level_steps"]
        assert settings.loss_weights == {"nll": 0.1, "mask": 1.0, "pixels": 1.0, "perceptual": 1.0}
