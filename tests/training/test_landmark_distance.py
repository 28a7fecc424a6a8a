"""The identity swap's landmark term, with a file in the public format."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from models.domain import Domain
from scripts.checks.golden.case import GoldenCase
from scripts.checks.weight_file_samples import save
from training.landmark_distance import LandmarkDistance
from training.methods.id_swap import IDSwapMethod
from utils.config import ConfigError
from utils.paths import ROOT
from utils.weights import WeightsError

CASE = GoldenCase.load(ROOT / "tests/golden/id_swap_landmarks.json")
SMALL = {"layers": [1, 1, 1, 1], "widths": [4, 4, 8, 8, 8], "identity_dim": 4, "attribute_dim": 8,
         "identity_width": 2, "attribute_widths": [8, 8]}  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return save(tmp_path / "mobilefacenet_model_best.pth.tar", {"state_dict": CASE.state(), "epoch": 3})


def method(**arguments: object) -> IDSwapMethod:
    domain = Domain.from_file(ROOT / "configs/domains/avatars.yaml")
    mapper = {"name": "latent_mapper", "hidden": [8]}
    return IDSwapMethod(
        domain, {"name": "swap_encoder", **SMALL}, mapper, features=("encoder",), **arguments  # type: ignore[arg-type]
    )  # fmt: skip


def test_the_first_picture_is_moved_and_nothing_else(file: Path) -> None:
    distance = LandmarkDistance.of_file(file)
    image, target = (torch.rand(2, 3, 64, 64).requires_grad_() for _ in range(2))
    assert float(distance(image, image.detach())) == 0
    distance(image, target).backward()
    assert image.grad is not None and image.grad.abs().sum() > 0 and target.grad is None
    assert not any(one.requires_grad for one in distance.network.parameters())


def test_the_file_is_read_only_where_the_term_is_named(file: Path, tmp_path: Path) -> None:
    missing = str(tmp_path / "none.pth.tar")
    without = method(landmarks=missing)
    assert "landmark" not in without.terms and without.landmarks is None
    with pytest.raises(WeightsError, match="none.pth.tar.*python scripts/download.py id_swap"):
        method(landmarks=missing, terms=("pixel", "landmark"))
    named = method(landmarks=str(file), terms=("pixel", "landmark"))
    losses = named.losses("editor", {"image": torch.rand(4, 3, 64, 64) * 2 - 1})
    assert list(losses) == ["pixel", "landmark"] and float(losses["landmark"]) > 0
    losses["landmark"].backward()
    assert all(one.grad is not None for one in named.mapper.parameters())
    assert not any(key.startswith("landmarks") for key in named.state_dict())
    with pytest.raises(ConfigError, match="has no term 'landmarks', 'landmark' is meant|has no term 'landmarks'"):
        method(terms=("landmarks",))
