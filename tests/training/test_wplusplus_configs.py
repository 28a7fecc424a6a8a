"""Configs of W++: those of drawn faces differ in the mapping alone, and that of FFHQ has the published numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

import train
from models.domain import Domain
from training.methods.stylegan2 import average_decay
from utils.config import load_config
from utils.paths import ROOT

FOLDER = ROOT / "configs/wplusplus"
GIVEN = json.loads((ROOT / "tests/golden/wpp_training.json").read_text(encoding="utf-8"))["constants"]


def test_the_two_generators_of_drawn_faces_differ_in_the_mapping_alone() -> None:
    first, second = (load_config(FOLDER / f"avatars_{name}.yaml").plain() for name in ("w", "wpp"))
    assert second["method"].pop("style_mixing") == 0 and first["method"].pop("style_mixing") == 0.9
    domains = [Domain.from_file(config.pop("domain")) for config in (first, second)]
    assert first.pop("run") != second.pop("run") and first == second
    sections = [domain.config.section("generator").plain() for domain in domains]
    assert sections[1].pop("mapping_network") == "transformer"
    assert sections[0].pop("weights") != sections[1].pop("weights") and sections[0] == sections[1]
    states = [domain.untrained("generator").state_dict() for domain in domains]
    for state in states:
        assert 4e-6 * sum(value.numel() for value in state.values()) < 5  # MB, what is to ship
    shared = [{key: value.shape for key, value in state.items() if key.startswith("conv")} for state in states]
    assert shared[0] == shared[1]


def test_the_published_numbers() -> None:
    config = load_config(FOLDER / "ffhq_256.yaml")
    method, batch = config["method"], config["training"]["batch_size"]
    lazy = method["path_length_every"] / (method["path_length_every"] + 1)
    assert method["learning_rate"] * lazy == pytest.approx(GIVEN["g_lr"])
    assert method["betas"][1] ** lazy == pytest.approx(GIVEN["g_beta2"])
    decay = average_decay(batch, batch, method["average_images"], method["average_ramp"])
    assert decay == pytest.approx(GIVEN["ema_decay"])
    given = ("r1_gamma", "r1_every", "path_weight", "path_every")
    named = ("r1_gamma", "r1_every", "path_length_weight", "path_length_every")
    assert [method[name] for name in named] == [GIVEN[name] for name in given]
    with torch.device("meta"):
        network = Domain.from_file(config["domain"]).untrained("generator")
    recorded = json.loads((ROOT / "tests/golden/wpp_mapping.json").read_text(encoding="utf-8"))["constants"]
    assert sum(one.numel() for one in network.parameters()) == recorded["parameters_generator"]


@pytest.mark.parametrize("name", ["avatars_w", "avatars_wpp", "ffhq_256"])
def test_a_dry_run_says_what_would_be_trained(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--config", str(FOLDER / f"{name}.yaml"), "--run", str(tmp_path / "run"), "--device", "cpu", "--dry-run"]
    if name == "ffhq_256":
        Image.new("RGB", (256, 256)).save(tmp_path / "00000.png")
        words += [f"data.folder={tmp_path}", "method.discriminator.channel_multiplier=1"]
    assert train.main(words) == 0, capsys.readouterr().err
    assert not (tmp_path / "run").exists()
