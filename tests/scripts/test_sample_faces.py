"""The data creator: what is drawn, where it is stored, and that a killed call goes on bit for bit."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

from datasets.encoded_faces import EncodedFaces
from datasets.face_samples import drawn_z, truncated_codes
from datasets.latent_shards import ShardError
from models.domain import Domain
from scripts import sample_faces
from utils.config import Section
from utils.paths import ROOT
from utils.weights import save_weights

AVATARS = ROOT / "configs/domains/avatars.yaml"
FEW = ("--mean-of", "5000", "--shard-size", "4", "--batch-size", "3", "--device", "cpu", "--quiet")


def draw(folder: Path, count: int = 10, *options: str) -> int:
    return sample_faces.main(["-o", str(folder), "--count", str(count), *FEW, *options])


@pytest.fixture(scope="module")
def domain() -> Domain:
    return Domain.from_file(AVATARS)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    assert draw(folder / "set", 10, "--seed", "3", "--pairs", str(folder / "pairs")) == 0
    return folder


def test_they_are_a_data_set_of_pictures_and_their_codes(samples: Path, domain: Domain) -> None:
    data = EncodedFaces(domain, str(samples / "set"))
    assert len(data) == 10 and data.holds == ("image", "latent", "index") and set(data[0]) == set(data.holds)
    assert torch.equal(data[3]["latent"], data[3]["latent"][:1].expand(domain.styles, -1))
    with torch.no_grad():
        picture = domain.synthesise(data[7]["latent"][None])[0]
    assert (picture - data[7]["image"]).abs().max() <= 1 / 255 + 1e-5  # half a level of 255 in [−1, 1]
    assert len(EncodedFaces(domain, str(samples / "set"), first=6)) == 4


def test_codes_are_truncated_as_the_manifest_says(samples: Path, domain: Domain) -> None:
    manifest = json.loads((samples / "set/manifest.json").read_text("utf-8"))
    assert manifest["sampled"] == {"seed": 3, "psi": 0.5, "mean_of": 5000, "batch_size": 3}
    data = EncodedFaces(domain, str(samples / "set"))
    mean = load_file(samples / "set/mean.safetensors")["mean"]
    z = drawn_z(3, range(5, 6), domain.generator.z_shape)
    code = truncated_codes(domain.generator, z, mean, 0.5)[0]
    torch.testing.assert_close(data[5]["latent"], code, rtol=1e-5, atol=1e-5)
    with torch.no_grad():
        expected = mean + 0.5 * (domain.generator.mapping(z)[0] - mean)
    torch.testing.assert_close(data[5]["latent"][0], expected, rtol=1e-5, atol=1e-5)
    assert not torch.equal(drawn_z(4, range(1), (8,)), drawn_z(3, range(1), (8,)))
    assert torch.equal(drawn_z(3, range(4, 6), (8,))[1:], drawn_z(3, range(5, 6), (8,)))


def test_the_pairs_stand_where_the_published_ones_do(samples: Path, domain: Domain) -> None:
    folder, data = samples / "pairs", EncodedFaces(domain, str(samples / "set"))
    for kind, ending in (("id_small_image", "png"), ("attr_small_image", "png"), ("small_w", "npy")):
        names = sorted(path.relative_to(folder / kind).as_posix() for path in (folder / kind).rglob("*.*"))
        assert names == [f"0/{number}.{ending}" for number in range(10)]
    for number in range(10):
        own, other = (np.asarray(Image.open(folder / f"{kind}_small_image/0/{number}.png")) for kind in ("id", "attr"))
        for picture, face in ((own, number), (other, 9 - number)):
            expected = data[face]["image"].add(1).mul(127.5).round().byte().permute(1, 2, 0).numpy()
            assert np.array_equal(picture, expected)
        code = np.load(folder / f"small_w/0/{number}.npy")
        assert code.dtype == np.float32 and np.array_equal(code, data[number]["latent"][0].numpy())


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}


def test_a_killed_call_goes_on_bit_for_bit(tmp_path: Path) -> None:
    count = 400
    words = [sys.executable, "scripts/sample_faces.py", "-o", str(tmp_path / "killed"), "--count", str(count), *FEW]
    process = subprocess.Popen(words, cwd=ROOT)
    try:
        first, deadline = tmp_path / "killed/shard-000000000.safetensors", time.monotonic() + 120
        while not first.is_file() and time.monotonic() < deadline:
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()
    before = len(list((tmp_path / "killed").glob("shard-*.safetensors")))
    assert 0 < before < count // 4
    assert draw(tmp_path / "killed", count) == 0
    assert draw(tmp_path / "whole", count) == 0
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_the_teacher_is_asked_where_it_is_wanted(tmp_path: Path, domain: Domain) -> None:
    assert draw(tmp_path / "set", 5, "--teacher") == 0
    data = EncodedFaces(domain, str(tmp_path / "set"))
    expected = domain.teacher_probabilities(data[2]["image"][None])[0]
    assert "teacher" in data.holds
    torch.testing.assert_close(data[2]["teacher"], expected.detach(), rtol=1e-4, atol=1e-5)
    latents, teacher = data.numbers()
    assert len(latents) == 5 and torch.equal(teacher[2], data[2]["teacher"])


def test_another_set_is_not_overwritten(samples: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(samples / "set")
    for options in (("--seed", "4"), ("--seed", "3", "--psi", "0.7")):
        assert draw(samples / "set", 10, *options) == 2
        assert "another set is here (sampled differ); take another folder" in capsys.readouterr().err
    assert draw(samples / "set", 12, "--seed", "3") == 2
    assert contents(samples / "set") == before


def test_faces_of_another_generator_are_refused(samples: Path, tiny_domain_folder: Path) -> None:
    tiny = Domain.from_file(tiny_domain_folder / "domain.yaml")
    manifest = json.loads((samples / "set/manifest.json").read_text("utf-8"))
    if tiny.image_side != manifest["image_side"]:
        with pytest.raises(ShardError, match="faces of 64 pixels"):
            EncodedFaces(tiny, str(samples / "set"))
    manifest["networks"]["generator"] = "0" * 16
    other = samples / "other"
    other.mkdir()
    (other / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(ShardError, match="drawn with another generator .* draw others with --domain"):
        EncodedFaces(Domain.from_file(AVATARS), str(other))


def test_codes_with_a_z_for_each_row(
    tiny_domain_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = Domain.from_file(tiny_domain_folder / "domain.yaml").config.plain()
    config["generator"] |= {
        "style_dim": 16,
        "mapping_network": "transformer",
        "weights": str(tmp_path / "g.safetensors"),
    }
    torch.manual_seed(0)
    save_weights(tmp_path / "g.safetensors", Domain(Section(config)).untrained("generator").state_dict(), {})
    (tmp_path / "domain.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    words = ("--domain", str(tmp_path / "domain.yaml"))
    assert draw(tmp_path / "set", 5, *words) == 0
    domain = Domain.from_file(tmp_path / "domain.yaml")
    assert load_file(tmp_path / "set/mean.safetensors")["mean"].shape == (8, 16)
    codes = torch.stack([item["latent"] for item in EncodedFaces(domain, str(tmp_path / "set"))])  # type: ignore[attr-defined]
    assert codes.shape == (5, 8, 16) and not torch.allclose(codes[:, 0], codes[:, 1])
    assert draw(tmp_path / "more", 5, *words, "--pairs", str(tmp_path / "pairs")) == 2
    assert "this generator's codes have several" in capsys.readouterr().err and not (tmp_path / "pairs").exists()
