"""The command that compares a generator's pictures with real ones, on a domain in miniature."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from models.domain import Domain
from models.evaluation.distributions import neighbourhoods
from scripts import measure_generator
from utils.images import to_pillow
from utils.statistics import frechet_distance, total_variance
from utils.weights import save_weights

COUNT = 24


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faces")
    random = np.random.default_rng(0)
    for number in range(COUNT):
        Image.fromarray(random.integers(0, 256, (32, 32, 3), np.uint8)).save(folder / f"{number:03}.png")
    return folder


def measured(domain: Path, faces: Path, output: Path, *options: str) -> dict[str, Any]:
    words = ["--domain", str(domain / "domain.yaml"), "--faces", str(faces), "--count", str(COUNT), "--device", "cpu"]
    assert measure_generator.main([*words, "--quiet", "-o", str(output), *options]) == 0
    found: dict[str, Any] = json.loads(output.read_text(encoding="utf-8"))
    return found


def test_the_numbers_are_those_of_all_features(tiny_domain_folder: Path, faces: Path, tmp_path: Path) -> None:
    found = measured(tiny_domain_folder, faces, tmp_path / "m.json", "--noise", "none", "--batch-size", "7")
    domain = Domain.from_file(tiny_domain_folder / "domain.yaml")
    random, generator = torch.Generator().manual_seed(0), domain.generator
    z = torch.cat([torch.randn(size, *generator.z_shape, generator=random) for size in (7, 7, 7, 3)])
    with torch.no_grad():
        picture = generator.synthesis(generator.broadcast(generator.mapping(z)), noise="none").clamp(-1, 1)
        images = [np.asarray(Image.open(path), np.float32) / 127.5 - 1 for path in sorted(faces.iterdir())]
        real = domain.judge.features(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)).numpy()
        fake = domain.judge.features(picture).numpy()
    assert found["frechet_distance"] == pytest.approx(frechet_distance(fake, real), rel=1e-3)
    assert found["frechet_share_of_variance"] == pytest.approx(found["frechet_distance"] / total_variance(real))
    for name, value in vars(neighbourhoods(real, fake, 3)).items():
        assert found[name] == pytest.approx(value, abs=1.01 / COUNT)


def test_pictures_compared_with_themselves(tiny_domain_folder: Path, tmp_path: Path) -> None:
    """The generator's own pictures as real faces: near 0 and 1 but for the levels of a file."""
    domain = Domain.from_file(tiny_domain_folder / "domain.yaml")
    state = domain.generator.state_dict()
    for key in state:  # pictures that differ
        state[key] = state[key] * (20 if "to_rgb" in key and key.endswith("conv.weight") else 1)
    save_weights(tmp_path / "generator.safetensors", state, {})
    generator: Any = domain.from_weights("generator", tmp_path / "generator.safetensors")[0]
    own = tmp_path / "faces"
    own.mkdir()
    z = torch.randn(COUNT, *generator.z_shape, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        for number, code in enumerate(generator.broadcast(generator.mapping(z))):
            to_pillow(generator.synthesis(code[None], noise="none")[0]).save(own / f"{number:03}.png")
    options = ("--generator", str(tmp_path / "generator.safetensors"), "--noise", "none")
    same = measured(tiny_domain_folder, own, tmp_path / "same.json", *options, "--seed", "3")
    other = measured(tiny_domain_folder, own, tmp_path / "other.json", *options, "--seed", "4")
    assert same["frechet_share_of_variance"] < 0.01 < other["frechet_share_of_variance"]
    assert same["coverage"] == same["precision"] == same["recall"] == 1


def test_what_is_missing_is_named(
    tiny_domain_folder: Path, faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--domain", str(tiny_domain_folder / "domain.yaml"), "--faces", str(faces), "--quiet", "--device", "cpu"]
    assert measure_generator.main([*words, "--count", "25"]) == 2
    assert "24 pictures, --count is 25" in capsys.readouterr().err
    photographs = ["--features", "photographs", "--weights", str(tmp_path), "--count", "10"]
    assert measure_generator.main([*words, *photographs]) == 2
    assert "6726825d.pth: no such weight file; python scripts/download.py fid" in capsys.readouterr().err
