"""Files that people bring and that are not read are named for what they are, in one sentence with the way out."""

from __future__ import annotations

import io
import json
import pickle
import re
import sys
import types
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from models.domain import Domain
from scripts import convert_checkpoint, inspect_checkpoint
from scripts.checks.weight_file_samples import (
    encoder_file,
    nvlabs_modules,
    persistent_tree,
    prefixed,
    save,
    state_of,
    write_nvlabs,
)
from utils.config import load_config
from utils.integrity import damage
from utils.weights import WeightsError

pytestmark = pytest.mark.filterwarnings(  # PyTorch advises against what people's files were written with
    "ignore:.torch.jit:DeprecationWarning", "ignore:Couldn't retrieve source code:UserWarning"
)
STYLEGAN3 = {
    key: torch.ones(2, 2)
    for key in ("mapping.w_avg", "mapping.fc0.weight", "synthesis.input.freqs", "synthesis.L0_36_8.magnitude_ema")
}


class Network:
    """As TensorFlow's StyleGAN pickles its networks."""

    def __getstate__(self) -> dict[str, Any]:
        return {"version": 4, "static_kwargs": {}, "variables": [("4x4/Const/const", np.zeros((1, 8, 4, 4)))]}


class Generator(nn.Linear):
    """A class of somebody's project."""


class Early(nn.Module):
    """A module with attributes before those of all modules."""

    def __init__(self) -> None:
        object.__setattr__(self, "size", 1024)
        super().__init__()


class Settings:
    """An object beside a network."""

    def __init__(self) -> None:
        self.rate = 0.1


@pytest.fixture(autouse=True)
def classes_of_others() -> Iterator[None]:
    """The classes above under the names that files of others have for them."""
    names: dict[type, str] = {
        Network: "dnnlib.tflib.network", Generator: "my_project.model", Early: "my_project.model",
        Settings: "omegaconf.dictconfig",
    }  # fmt: skip
    packages = {".".join(name.split(".")[:depth]) for name in names.values() for depth in (1, 2, 3)}
    with pytest.MonkeyPatch.context() as patch:
        for package in packages:
            patch.setitem(sys.modules, package, types.ModuleType(package))
        for kind, name in names.items():
            setattr(sys.modules[name], kind.__name__, kind)
            patch.setattr(kind, "__module__", name)
        yield


def tensorflow(path: Path, protocol: int = 2) -> None:
    path.write_bytes(pickle.dumps((Network(), Network(), Network()), protocol))


def older_tensorflow(path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "tfutil", types.ModuleType("tfutil"))
        sys.modules["tfutil"].Network = Network  # type: ignore[attr-defined]
        patch.setattr(Network, "__module__", "tfutil")
        tensorflow(path)


def stylegan3(path: Path, **attributes: Any) -> None:
    """As NVlabs pickles it: sizes are NumPy arrays."""
    with nvlabs_modules():
        state = {key: value for key, value in STYLEGAN3.items() if not key.endswith("magnitude_ema")}
        network = persistent_tree(state, "class SynthesisInput: ...", "Generator", _init_kwargs={}, **attributes)
        path.write_bytes(pickle.dumps({"G_ema": network}))


def packed(path: Path, names: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in names.items():
            archive.writestr(name, content)


def repacked(path: Path, folder: str) -> None:
    stream = io.BytesIO()
    torch.save(state_of("latent_classifier"), stream)
    with zipfile.ZipFile(stream) as archive:
        packed(path, {f"{folder}{name}": archive.read(name) for name in archive.namelist()})


TENSORFLOW = "is a TensorFlow pickle .*: take the network's PyTorch pickle .*, or convert this one there with legacy.py"
OTHER_NETWORK = "holds a StyleGAN3 generator, which is another network .*: take a StyleGAN2 generator"
WHOLE = r"holds a whole pickled model of class 'my_project\.model\.{}', .*torch\.save\(model\.state_dict\(\), FILE\)$"
SCRIPT = r"is a TorchScript program, not weights, .*state_dict\(\)"
# title -> (writer, what must be said, whether a download says so as well, by the first bytes alone)
FILES: dict[str, tuple[Callable[[Path], Any], str, bool]] = {
    "TensorFlow": (tensorflow, TENSORFLOW, True),
    "TensorFlow, protocol 4": (lambda path: tensorflow(path, 4), TENSORFLOW, True),
    "TensorFlow of progressive growing": (older_tensorflow, TENSORFLOW, True),
    "StyleGAN3": (lambda path: stylegan3(path, size=np.array([4, 4])), OTHER_NETWORK, True),
    "StyleGAN-XL": (lambda path: stylegan3(path, embed=nn.Embedding(2, 2)), OTHER_NETWORK, True),
    "StyleGAN3 of plain attributes": (lambda path: write_nvlabs(path, {"G_ema": STYLEGAN3}, ""), OTHER_NETWORK, True),
    "StyleGAN3's state dict": (lambda path: save(path, {"g": prefixed(STYLEGAN3, "module.")}), OTHER_NETWORK, True),
    "StyleGAN3 beside an encoder": (
        lambda path: save(path, {**prefixed(state_of("e4e_encoder"), "encoder."), **prefixed(STYLEGAN3, "decoder.")}),
        OTHER_NETWORK, False,
    ),
    "whole module": (lambda path: save(path, Generator(2, 2)), WHOLE.format("Generator"), True),
    "whole module, legacy": (lambda path: save(path, Generator(2, 2), legacy=True), WHOLE.format("Generator"), True),
    "whole module, protocol 4": (
        lambda path: torch.save(Generator(2, 2), path, pickle_protocol=4), WHOLE.format("Generator"), True
    ),
    "whole module in a dict": (
        lambda path: save(path, {"epoch": 1, "model": Generator(2, 2)}), WHOLE.format("Generator"), True
    ),
    "whole module, pickled": (
        lambda path: path.write_bytes(pickle.dumps(Generator(2, 2))), WHOLE.format("Generator"), True
    ),
    "whole module with attributes of its own": (lambda path: save(path, Early()), WHOLE.format("Early"), False),
    "whole optimiser": (
        lambda path: save(path, torch.optim.SGD(nn.Linear(2, 2).parameters(), 0.1)),
        r"holds an object of class 'torch\.optim\.sgd\.SGD', .*state_dict\(\)", False,
    ),
    "settings of another library": (
        lambda path: save(path, {**encoder_file(), "hyper_parameters": Settings()}),
        r"holds an object of class 'omegaconf\.dictconfig\.Settings', .*state_dict\(\)", False,
    ),
    "paths among settings": (
        lambda path: save(path, {**encoder_file(), "hyper_parameters": {"data": Path("x")}}),
        r"refers to 'pathlib.*Path', .*state_dict\(\)", False,
    ),
    "NumPy arrays": (lambda path: save(path, {"w": np.ones(3)}), "holds NumPy arrays .*: save them as tensors", False),
    "TorchScript": (lambda path: torch.jit.save(torch.jit.script(nn.Linear(2, 2)), path), SCRIPT, True),
    "TorchScript, traced": (
        lambda path: torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)).save(path), SCRIPT, True  # type: ignore[no-untyped-call]
    ),
    "archive of arrays": (lambda path: packed(path, {"a.npy": b"", "b.npy": b""}), "is an archive of NumPy", True),
    "archive of a folder": (lambda path: packed(path, {"a/e4e.pt": b"x"}), "is an archive .*unpack it first", True),
    "packed again": (lambda path: repacked(path, ""), "its entry .* is compressed .*; fetch the original file", False),
    "packed again in a folder": (lambda path: repacked(path, "a/"), "is a PyTorch file .*; fetch the original", True),
    "ONNX": (lambda path: path.write_bytes(b"\x08\x07\x12\x07pytorch\x1a\x051.9.0"), "is an ONNX model", True),
    "Keras": (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n"), "is an HDF5 file", True),
    "array": (lambda path: path.write_bytes(b"\x93NUMPY\1\0"), "is a NumPy array", True),
    "tar": (lambda path: path.write_bytes(bytes(257) + b"ustar\0" + bytes(249)), "is a tar archive; unpack", True),
    "diffusion model": (
        lambda path: save_file({"down_blocks.0.resnets.0.conv1.weight": torch.ones(2)}, path, {"format": "pt"}),
        "holds a diffusion model, which is another network .*: take a StyleGAN2 generator", False,
    ),
    "tensor": (lambda path: save(path, torch.ones(2)), r"holds no tensors under names, .*state_dict\(\)", False),
    "blocks of another network": (
        lambda path: save(path, {f"blocks.{i}.{name}.weight": torch.ones(2, 2) for i in range(30)
                                 for name in ("norm", "attn.qkv", "mlp.0", "mlp.2")}),
        r"holds no network of a known kind \(its first key is 'blocks\.0\.norm\.weight'\)", False,
    ),
}  # fmt: skip


@pytest.mark.parametrize("title", FILES)
def test_it_is_named_for_what_it_is(
    title: str, tiny_domain_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the commands, as weights of a domain, and by a download."""
    write, words, by_first_bytes = FILES[title]
    path = tmp_path / "weights.bin"
    write(path)
    sentences = []
    arguments = [str(path), str(tmp_path / "x.safetensors"), "--network", "stylegan2_generator"]
    assert convert_checkpoint.main(arguments) == 1
    sentences.append(capsys.readouterr().err.removeprefix("convert_checkpoint.py: ").rstrip("\n"))
    if title != "StyleGAN3 beside an encoder":  # of which the encoder is read
        assert inspect_checkpoint.main([str(path)]) == 1
        sentences.append(capsys.readouterr().err.rstrip("\n"))
    config = load_config(tiny_domain_folder / "domain.yaml").plain()
    config["generator"]["weights"] = str(path)
    (tmp_path / "domain.yaml").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(WeightsError) as error:
        Domain.from_file(tmp_path / "domain.yaml").generator  # noqa: B018 — loaded when it is first used
    sentences.append(str(error.value))
    if by_first_bytes:
        sentences.append(f"weights.bin: {damage(path)}")
    for sentence in sentences:
        assert re.search(f"weights.bin: {words}", sentence), sentence
        assert sentence.isprintable() and len(sentence) < 600
    assert not (tmp_path / "x.safetensors").exists()


def test_files_that_are_read_are_taken_for_nothing_else(tmp_path: Path) -> None:
    write_nvlabs(tmp_path / "a", {"G_ema": {"b4.out.weight": torch.ones(1, 4)}}, "", z_dim=8)
    save(tmp_path / "b", encoder_file())
    save(tmp_path / "c", encoder_file(), legacy=True)
    save(tmp_path / "d", state_of("attribute_classifier"))
    assert [damage(tmp_path / name) for name in "abcd"] == [None] * 4
