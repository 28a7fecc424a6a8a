"""Codes that other projects saved are edited like saved ones, and what is none is refused without running anything."""

from __future__ import annotations

import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import edit
from models.domain import Domain
from models.editing.foreign_latents import read_codes
from models.editing.saved_latents import load_latent
from utils.weights import WeightsError, load_weights, save_weights

L, D = 8, 8


@pytest.fixture(scope="module")
def domain(tiny_domain_folder: Path) -> Domain:
    return Domain.from_file(tiny_domain_folder / "domain.yaml")


@pytest.fixture
def codes() -> torch.Tensor:
    return torch.randn(3, L, D, generator=torch.Generator().manual_seed(1))


def picture(path: Path) -> np.ndarray:
    with Image.open(path) as opened:
        return np.asarray(opened)


def test_codes_are_edited_as_through_saved_latents(tmp_path: Path, tiny_domain_folder: Path) -> None:
    """Before: "not a picture of a known format"."""
    common = ["--checkpoint", str(tiny_domain_folder / "editor.safetensors"), "--set", "Smiling=1", "--quiet"]
    own, out = tmp_path / "own", tmp_path / "out"
    for number in range(2):
        noise = np.random.default_rng(number).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / f"face-{number}.png")
    photos = [str(tmp_path / f"face-{number}.png") for number in range(2)]
    assert edit.main([*photos, "-o", str(own), "--save-latents", *common]) == 0
    saved = [load_weights(path)[0]["latent"] for path in sorted((own / "latents").iterdir())]
    torch.save(torch.stack(saved), tmp_path / "latents.pt")
    np.savez(tmp_path / "projected_w.npz", w=saved[1][None].numpy())
    inputs = [str(tmp_path / "latents.pt"), str(tmp_path / "projected_w.npz")]
    for status in ("edited", "kept"):
        assert edit.main([*inputs, "-o", str(out), "--save-latents", *common]) == 0
        report = json.loads((out / "report.json").read_text())
        assert report["counts"] == {status: 3} and [face.get("row") for face in report["faces"]] == [1, 2, None]
    for name, number in (("latents-1", 0), ("latents-2", 1), ("projected_w", 1)):
        inversion = picture(own / f"faces/face-{number}--inversion.png")
        assert np.array_equal(picture(out / f"faces/{name}--inversion.png"), inversion)
    assert edit.main([str(out / "latents"), "-o", str(tmp_path / "again"), *common]) == 0


@pytest.mark.parametrize("form", ["e4e", "pSp", "NVIDIA", "PTI", "W", "one", "list", "named", "rosinality"])
def test_forms(form: str, tmp_path: Path, domain: Domain, codes: torch.Tensor) -> None:
    path, expected = tmp_path / "codes.pt", codes
    if form == "e4e":
        torch.save(codes, path)
    elif form == "pSp":
        path = tmp_path / "codes.npy"
        np.save(path, codes.double().numpy())
    elif form == "NVIDIA":
        path, expected = tmp_path / "projected_w.npz", codes[:1]
        np.savez(path, w=expected.numpy())
    elif form == "PTI":
        expected = codes[:1]
        torch.save(torch.nn.Parameter(expected.clone()), path)
    elif form == "W":
        torch.save(codes[:, 0].clone(), path)
        expected = codes[:, :1].expand(-1, L, -1)
    elif form == "one":
        expected = codes[:1]
        torch.save(codes[0].clone(), path)
    elif form == "list":
        torch.save([code.clone() for code in codes], path)
    elif form == "named":
        torch.save({"latents": codes, "noise": torch.zeros(4)}, path)
    else:
        torch.save({f"{i}.png": {"img": torch.zeros(1), "latent": code.clone()} for i, code in enumerate(codes)}, path)
    assert read_codes(path, domain).equal(expected)


class Run:
    """What executes a program if it is unpickled."""

    def __reduce__(self) -> tuple:
        return exec, ("raise SystemExit('executed')",)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".pt"])
def test_objects_are_not_executed(suffix: str, tmp_path: Path, domain: Domain) -> None:
    path = tmp_path / f"codes{suffix}"
    if suffix == ".npy":
        np.save(path, np.array([Run()], dtype=object), allow_pickle=True)
    elif suffix == ".npz":
        np.savez(path, w=np.array([Run()], dtype=object))
    else:
        path.write_bytes(pickle.dumps(Run()))
    with pytest.raises(WeightsError, match="Python objects|builtins.exec"):
        read_codes(path, domain)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (torch.zeros(2, L, D + 1), r"shape \(2, 8, 9\); codes of this domain are \(N, 8, 8\)"),
        (torch.zeros(2, L - 1, D), "shape"),
        (torch.zeros(0, L, D), "shape"),
        (torch.full((1, L, D), float("nan")), "not finite"),
        (torch.full((1, L, D), 1e300, dtype=torch.float64), "not finite, or too large for 32 bits"),
        ({"state_dict": {"a": torch.zeros(3), "b": torch.zeros(3)}}, "holds no latent codes"),
        ([torch.zeros(L, D), torch.zeros(1, D)], "different shapes"),
        ("words", "holds no latent codes"),
    ],
)
def test_what_is_no_code(values: object, message: str, tmp_path: Path, domain: Domain) -> None:
    torch.save(values, tmp_path / "codes.pt")
    with pytest.raises(WeightsError, match=message):
        read_codes(tmp_path / "codes.pt", domain)


@pytest.mark.parametrize("name", ["codes.npy", "codes.npz", "codes.pt"])
def test_damaged_files(name: str, tmp_path: Path, domain: Domain, codes: torch.Tensor) -> None:
    path = tmp_path / name
    with pytest.raises(WeightsError, match="no such"):
        read_codes(path, domain)
    if name.endswith(".pt"):
        torch.save(codes, path)
    else:
        (np.save if name.endswith(".npy") else np.savez)(path, codes.numpy())  # type: ignore[operator]
    whole = path.read_bytes()
    for length in (0, 5, 50, len(whole) // 2, len(whole) - 3):
        path.write_bytes(whole[:length])
        with pytest.raises(WeightsError, match=name):
            read_codes(path, domain)
    np.save(tmp_path / "far.npy", np.full((L, D), 1e300))
    with pytest.raises(WeightsError, match="holds values that are not finite, or too large for 32 bits"):
        read_codes(tmp_path / "far.npy", domain)
    np.save(tmp_path / "numbers.npy", np.arange(64).reshape(8, 8))
    with pytest.raises(WeightsError, match="values of type int64"):
        read_codes(tmp_path / "numbers.npy", domain)


@pytest.mark.parametrize(
    "content",
    [
        b"\x93NUMPY\x01\x00\x46\x00" + b"{'descr': '<f4', 'fortran_order': False, 'shape': (8, 8, }".ljust(69) + b"\n",
        b"\x93NUMPY\x01\x00\x46\x00" + b"{'descr': '<f4', 'shape': ((((((((".ljust(69) + b"\n",
    ],
    ids=["no end", "brackets"],
)
def test_a_damaged_header_is_no_traceback(tmp_path: Path, domain: Domain, content: bytes) -> None:
    (tmp_path / "codes.npy").write_bytes(content + bytes(256))
    with pytest.raises(WeightsError, match="codes.npy: is damaged or no NumPy file"):
        read_codes(tmp_path / "codes.npy", domain)


def test_an_archive_without_arrays_and_one_of_too_many_codes(tmp_path: Path, domain: Domain) -> None:
    with zipfile.ZipFile(tmp_path / "text.npz", "w") as archive:
        archive.writestr("w.txt", "no array")
    with pytest.raises(WeightsError, match="text.npz: holds values of type"):
        read_codes(tmp_path / "text.npz", domain)
    np.savez(tmp_path / "names.npz", a=np.zeros((1, D)), b=np.zeros(3))  # whole, and said to be damaged before
    with pytest.raises(WeightsError, match="names.npz: holds 2 arrays, of which none is named w: save the codes alone"):
        read_codes(tmp_path / "names.npz", domain)
    np.savez_compressed(tmp_path / "many.npz", w=np.zeros((100_001, D), np.float16))
    with pytest.raises(WeightsError, match="many.npz: holds 100,001 codes; at most 100,000 are edited at once"):
        read_codes(tmp_path / "many.npz", domain)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fingerprints": 5}, "its fingerprints are no record"),
        ({"fingerprints": ["x"]}, "its fingerprints are no record"),
        ({"reconstruction_distance": None}, "its reconstruction distance is no number"),
        ({"reconstruction_distance": "far"}, "its reconstruction distance is no number"),
        ({"reconstruction_distance": float("nan")}, "its reconstruction distance is no number"),
        ({"embedding": torch.zeros(1, 16)}, "its embedding is no row of numbers"),
        ({"latent": torch.zeros(L, D + 1)}, r"its latent is \(8, 9\), the domain's are \(8, 8\)"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_saved_latents_with_odd_entries(tmp_path: Path, domain: Domain, change: dict[str, Any], said: str) -> None:
    state = {"latent": torch.zeros(L, D), "condition": torch.zeros(5), "embedding": torch.zeros(16)}
    metadata = {"domain": "tiny", "fingerprints": {"generator": "x"}, "editor": "y", "reconstruction_distance": 0.1}
    state |= {key: value for key, value in change.items() if isinstance(value, torch.Tensor)}
    metadata |= {key: value for key, value in change.items() if key not in state}
    save_weights(tmp_path / "face.safetensors", state, {**metadata, "kind": "latents"})
    with pytest.raises(WeightsError, match=f"face.safetensors: damaged latents: {said}"):
        load_latent(tmp_path / "face.safetensors", domain, "x")


@pytest.mark.parametrize("entry", ["condition", "embedding"])
def test_a_saved_latent_with_an_entry_of_a_wrong_length_costs_that_face_alone(
    entry: str, tmp_path: Path, tiny_domain_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--checkpoint", str(tiny_domain_folder / "editor.safetensors"), "--set", "Smiling=1", "--quiet"]
    for number in range(3):
        noise = np.random.default_rng(number).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / f"face-{number}.png")
    assert edit.main([str(tmp_path / "*.png"), "-o", str(tmp_path / "own"), "--save-latents", *common]) == 0
    path = tmp_path / "own/latents/face-1--latents.safetensors"
    state, metadata = load_weights(path)
    length = len(state[entry])
    save_weights(path, state | {entry: torch.zeros(length + 2)}, metadata)
    capsys.readouterr()
    assert edit.main([str(path.parent), "-o", str(tmp_path / "out"), *common]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and f"damaged latents: its {entry} is ({length + 2},), not ({length},)" in said
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["counts"] == {"edited": 2, "failed": 1}
