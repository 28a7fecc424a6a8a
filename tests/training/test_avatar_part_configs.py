"""Configs of the avatar domain's generator, encoder and parser: their keys exist, their weights name real terms."""

from __future__ import annotations

import pytest

from datasets import DATASETS
from training.methods import METHODS
from training.methods.e4e import TERMS
from training.settings import SECTIONS, TrainingSettings
from utils.config import Section, check_arguments, load_config
from utils.paths import ROOT


def read(part: str) -> Section:
    return load_config(ROOT / "configs" / "avatars" / f"{part}.yaml")


@pytest.mark.parametrize("part", ["generator", "encoder", "parser"])
def test_keys_are_arguments(part: str) -> None:
    config = read(part)
    assert set(config) <= set(SECTIONS)
    method = config.section("method")
    check_arguments(method, METHODS.find(method), {"domain"})
    for name in ("data", "validation"):
        check_arguments(config.section(name), DATASETS.find(config.section(name)), {"domain"})
    TrainingSettings.from_section(config.section("training"))
    assert not config["data"].get("mirror")  # light and pose are factors of the faces


def test_loss_weights_name_terms_that_are_computed() -> None:
    config = read("encoder")
    computed = {*config["method"]["terms"], "latent_discriminator", "latent_r1"}
    assert computed - {"latent_discriminator", "latent_r1"} <= set(TERMS)
    assert set(config["training"]["loss_weights"]) == computed


def test_all_rows_have_joined_well_before_the_end() -> None:
    config = read("encoder")
    rows = load_config(ROOT / config["domain"])["encoder"]["styles"]
    last = config["method"]["first_stage_steps"] + (rows - 2) * config["method"]["stage_steps"]
    assert last < 0.5 * config["training"]["steps"]
