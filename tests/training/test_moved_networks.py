"""A run goes on where its networks were moved after it began."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import train
from utils.config import ConfigError


def test_a_run_whose_networks_were_moved(tiny_domain_folder: Path, tmp_path: Path) -> None:
    domain = yaml.safe_load((tiny_domain_folder / "domain.yaml").read_text())
    for part in ("generator", "encoder", "teacher", "judge", "identity"):
        domain[part]["weights"] = f"/gone/{part}.safetensors"
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"domain": domain}))

    def weights(*overrides: str) -> str:
        options = train.parse_arguments(["--resume", str(tmp_path), *overrides])
        return train.read_config(options)["domain"]["encoder"]["weights"]

    here = tiny_domain_folder / "encoder.safetensors"
    assert weights() == "/gone/encoder.safetensors"
    assert weights(f"domain={tiny_domain_folder / 'domain.yaml'}") == str(here)
    assert weights(f"domain.encoder.weights={here}") == str(here)
    (tmp_path / "encoder.safetensors").touch()
    assert weights() == str(tmp_path / "encoder.safetensors")  # beside the run's config
    with pytest.raises(ConfigError, match=r"gone\.yaml: no such config file"):
        weights("domain=gone.yaml")
