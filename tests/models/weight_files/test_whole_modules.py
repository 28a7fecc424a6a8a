"""The identity swap's public files are whole pickled modules, of classes that are not here: read as data."""

from __future__ import annotations

import logging
import pickle
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from models.weight_files import load_network
from models.weight_files.description import describe
from scripts import convert_checkpoint
from scripts.checks.weight_file_samples import SWAP_CLASSES, network, save, save_whole, state_of
from utils.integrity import damage
from utils.paths import ROOT
from utils.weights import WeightsError, load_weights

pytestmark = pytest.mark.filterwarnings("ignore:Couldn't retrieve source code:UserWarning")
FILES = {"swap_encoder_19_225000_52.pt": "swap_encoder", "mlp_19_225000_52.pt": "latent_mapper"}


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("name", FILES)
def test_it_is_recognised_and_read(name: str, legacy: bool, tmp_path: Path) -> None:
    kind = FILES[name]
    path = save_whole(tmp_path / name, network(kind), legacy)
    loaded = load_network(path)
    state, expected = loaded.module.state_dict(), state_of(kind)
    assert loaded.kind == kind and not loaded.module.training
    assert list(state) == list(expected) and all(torch.equal(state[key], expected[key]) for key in expected)
    rows = describe(path)
    assert [text for label, text in rows if label == "network"] and damage(path) is None
    assert not [row for row in rows if row[0] in ("missing", "surplus", "shapes")]


def test_a_process_without_the_classes_reads_it_and_imports_nothing_of_their_names(tmp_path: Path) -> None:
    path = save_whole(tmp_path / "swap_encoder.pt", network("swap_encoder"))
    code = (
        "import sys, models.weight_files as files; print(files.load_network(sys.argv[1]).kind); "
        "assert not [name for name in sys.modules if name.split('.')[0] == 'Models']"
    )
    run = subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0 and run.stdout.strip() == "swap_encoder", run.stderr


@pytest.mark.parametrize("name", FILES)
def test_it_converts_to_a_file_of_this_project(name: str, tmp_path: Path) -> None:
    kind = FILES[name]
    path, target = save_whole(tmp_path / name, network(kind)), tmp_path / "own.safetensors"
    assert convert_checkpoint.main([str(path), str(target)]) == 0
    state, expected = load_weights(target)[0], state_of(kind)
    assert state.keys() == expected.keys() and all(torch.equal(state[key], expected[key]) for key in expected)
    again = load_network(target)
    assert again.kind == kind and again.sizes == load_network(path).sizes


def test_recognition_network_and_swap_encoder_are_told_apart(tmp_path: Path) -> None:
    both = (("ir_se_identity", "swap_encoder"), ("swap_encoder", "ir_se_identity"))
    for kind, other in both:
        path = save(tmp_path / kind, state_of(kind))
        assert load_network(path).kind == kind
        with pytest.raises(WeightsError, match="holds an? .*, not an? "):
            load_network(path, other)


STATE = b")\x81]X\x0b\0\0\0_parametersab."  # a list in the place of the attributes


class Elsewhere(nn.Module):
    """A module that holds more than numbers."""

    def __init__(self, extra: object) -> None:
        super().__init__()
        self.model = nn.Sequential(nn.Linear(4, 4), nn.LeakyReLU(0.2), nn.Linear(4, 4))
        self.extra = extra


class _Call:
    """Pickled as a call."""

    def __reduce__(self) -> object:
        return pickle.loads, (b"",)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (_Call(), r"refers to '_?pickle\.loads'"),
        (sorted, r"refers to '(__builtin__|builtins)\.sorted'"),
        (Path("x"), r"refers to 'pathlib.*Path'"),
        (logging.Formatter(), r"holds an object of class 'logging\.\w+', which is no"),
    ],
)
def test_what_lies_in_it_beside_numbers_is_refused(extra: object, words: str, legacy: bool, tmp_path: Path) -> None:
    path = save_whole(tmp_path / "mlp.pt", Elsewhere(extra), legacy, {"Elsewhere": SWAP_CLASSES["LatentMapper"]})
    with pytest.raises(WeightsError, match=words):
        load_network(path)


def test_a_mapper_of_any_other_class_is_read_by_its_keys(tmp_path: Path) -> None:
    path = save_whole(tmp_path / "mapper.pt", network("latent_mapper"), names={"LatentMapper": "somewhere.else_.Net"})
    assert load_network(path).kind == "latent_mapper"


def test_a_module_whose_state_is_no_dict_is_refused(tmp_path: Path) -> None:
    path, other = save_whole(tmp_path / "a.pt", network("latent_mapper")), tmp_path / "b.pt"
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(other, "w") as changed:
        for entry in archive.infolist():
            data = archive.read(entry)
            if entry.filename.endswith("data.pkl"):
                data = re.sub(rb"\)\x81q.\}q.\(.*", STATE, data, count=1, flags=re.DOTALL)
            changed.writestr(entry.filename, data)
    with pytest.raises(WeightsError, match="class 'Models.LatentMapper.LatentMapper', which is no network"):
        load_network(other)
