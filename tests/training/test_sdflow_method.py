"""SDFlow's training on a domain in miniature: what learns, what the terms are, and train.py as a user runs it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from torch import Tensor

import train
from models.domain import PARTS, Domain
from models.editors.loading import load_editor
from tests.training.editors import assert_resumes, trained
from tests.training.runs import backward
from training.methods.sdflow import SDFlowMethod
from training.targets import replace_one_attribute
from utils.config import ConfigError
from utils.paths import ROOT

FLOW = {"name": "continuous_flow", "tolerance": 1e-2, "hidden": [16, 16]}
ENCODER = {"name": "semantic_encoder", "backbone": "r18", "width": 8, "head": [8, 8]}
TERMS = ("nll", "kd", "mi", "reg")


@pytest.fixture(scope="module")
def domain(tiny_domain_folder: Path) -> Domain:
    return Domain.from_file(tiny_domain_folder / "domain.yaml")


def make(domain: Domain) -> SDFlowMethod:
    torch.manual_seed(0)
    return SDFlowMethod(domain, FLOW, ENCODER)


def batch(domain: Domain, count: int = 4) -> dict[str, Tensor]:
    image = torch.rand(count, 3, domain.image_side, domain.image_side) * 2 - 1
    with torch.no_grad():
        return {"image": image, "latent": domain.encode(image), "teacher": domain.teacher_probabilities(image)}


def test_only_semantic_encoder_and_flow_learn(domain: Domain) -> None:
    method = make(domain)
    backward(method, method.phases()[0], batch(domain))
    for network in (method.flow, method.semantic_encoder):
        assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    for part in PARTS:
        for parameter in getattr(domain, part).parameters():
            assert not parameter.requires_grad and parameter.grad is None


def test_the_semantic_encoder_may_begin_with_the_teachers_eyes(domain: Domain) -> None:
    encoder = {**ENCODER, "width": 4}
    method = SDFlowMethod(domain, FLOW, encoder, semantic_encoder_start="teacher")
    image = batch(domain)["image"]
    own, teacher = method.semantic_encoder.eval(), domain.teacher
    torch.testing.assert_close(own.backbone.features(image), teacher.features(image))
    assert all(p.requires_grad for p in own.parameters()) and not any(p.requires_grad for p in teacher.parameters())
    assert own.backbone.conv1.weight.data_ptr() != teacher.extractor.conv1.weight.data_ptr()
    with pytest.raises(ConfigError, match="another layout"):
        SDFlowMethod(domain, FLOW, ENCODER, semantic_encoder_start="teacher")


def test_terms_are_the_papers(domain: Domain) -> None:
    method, data = make(domain).eval(), batch(domain)
    torch.manual_seed(3)
    terms = method.losses("editor", data)
    assert tuple(terms) == TERMS
    torch.manual_seed(3)
    semantics = method.semantic_encoder(data["image"])
    z, log_det = method.flow.forward_and_log_det(data["latent"], semantics)
    wanted = replace_one_attribute(semantics)
    edited = method.flow.inverse(z, wanted)
    recovered = method.semantic_encoder(domain.generator.synthesis(edited).clamp(-1, 1))
    gaussian = 0.5 * (z.square() + torch.log(torch.tensor(2 * torch.pi))).flatten(1).sum(1)
    expected = {
        "nll": ((gaussian - log_det.sum(1)) / z[0].numel()).mean(),
        "kd": (semantics - data["teacher"]).square().mean(),
        "mi": (recovered - wanted).square().mean(),
        "reg": (edited - data["latent"]).square().mean(),
    }
    for name in TERMS:
        torch.testing.assert_close(terms[name], expected[name])


@pytest.fixture
def config(tiny_domain_folder: Path, tmp_path: Path) -> Path:
    """A config of the real shape, with everything it writes below `tmp_path`."""
    faces = {"name": "avatar_faces", "count": 12, "split": "train", "side": 32}
    values = {
        "domain": str(tiny_domain_folder / "domain.yaml"),
        "data": {"name": "latent_cache", "faces": faces, "cache": str(tmp_path / "latents")},
        "method": {"name": "sdflow", "flow": FLOW, "semantic_encoder": ENCODER, "learning_rate": 1e-3},
        "training": {"steps": 6, "batch_size": 4, "preview_every": 6, "checkpoint_every": 6, "preview_images": 2},
        "run": "never-used",
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def test_two_halves_are_the_whole_bit_for_bit(config: Path, tmp_path: Path) -> None:
    whole = trained(config, tmp_path / "whole")
    assert_resumes(config, whole, tmp_path, stop=3, steps=6)
    editor, _, metadata = load_editor(whole)  # the run folder is what the other commands take
    assert editor.attributes == ("Eyeglasses", "Male", "Young", "Smiling", "Wavy_Hair")
    assert metadata["config"]["training"]["steps"] == 6


def test_a_run_leaves_what_one_wants_to_see(config: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert train.main(["--config", str(config), "--run", str(run), "--quiet", "--device", "cpu"]) == 0
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert all(set(TERMS) <= set(line) for line in lines if line["group"] == "train")
    assert [path.name for path in sorted((run / "previews").iterdir())] == ["step-0000006.png"]
    assert list((run / "tensorboard").iterdir()) and (run / "editor.safetensors").is_file()
    assert train.main(["--config", str(config), "--run", str(run), "--quiet"]) == 2  # never over an older run


def test_a_dry_run_draws_no_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    caches = [f"{part}.{key}={tmp_path}" for part in ("data", "validation") for key in ("cache", "faces.cache")]
    words = ["--config", str(ROOT / "configs/sdflow/avatars.yaml"), "--run", str(tmp_path / "run"), "--device", "cpu"]
    assert train.main([*words, *caches, "--dry-run"]) == 0
    assert "faces that the training draws first 16,064\n" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_a_dry_run_computes_and_writes_nothing(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.main(["--config", str(config), "--run", str(tmp_path / "run"), "--dry-run"]) == 0
    text = capsys.readouterr().out
    for words in ("# resolved config", "flow  ", "semantic_encoder  ", "domain.generator  ", "items 12", "latent  "):
        assert words in text
    assert not (tmp_path / "run").exists() and not (tmp_path / "latents").exists()


def test_keys_of_the_domain_are_changed_in_the_file_that_the_config_names(config: Path) -> None:
    changed = ("domain.recompute_from=16", "domain.teacher.width=2", "training.steps=3")
    resolved = train.read_config(train.parse_arguments(["--config", str(config), *changed]))
    domain = resolved["domain"]
    assert domain["name"] == "tiny" and domain["recompute_from"] == 16 and resolved["training"]["steps"] == 3
    assert domain["teacher"]["width"] == 2 and domain["teacher"]["backbone"] == "r18"
    assert resolved.section("domain").where("recompute_from").startswith("command line")


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C cannot be sent to one process there")
def test_ctrl_c_saves_and_says_how_to_go_on(config: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = [sys.executable, str(ROOT / "train.py"), "--quiet", "--device", "cpu"]
    process = subprocess.Popen(
        [*command, "--config", str(config), "--run", str(run), "training.steps=100000"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    log = run / "log.jsonl"
    deadline = time.monotonic() + 120
    while not (log.is_file() and log.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "SIGINT after step" in text and "python train.py --resume" in text
    steps = int(text.split("after step ")[1].split()[0])
    assert list((run / "checkpoints").glob(f"*{steps}.safetensors"))
    assert train.main(["--resume", str(run), "--quiet", "--device", "cpu", f"training.steps={steps + 1}"]) == 0


def test_a_flow_that_breaks_down_is_named_with_its_step(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    arguments = ["--config", str(config), "--run", str(run), "--quiet", "--device", "cpu"]
    assert train.main([*arguments, "method.learning_rate=1e20"]) == 1
    assert "step 2, phase 'editor'" in capsys.readouterr().err
    assert list((run / "checkpoints").glob("failed-0000001.safetensors"))
    assert not (run / "editor.safetensors").exists()
