"""Files that mean harm, or are torn: each is refused by name, and nothing in it runs."""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import struct
import subprocess
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from models.stylegan2.nvlabs import nvlabs_keys
from models.weight_files import load_network
from scripts.checks.fuzz_weight_files import SAMPLES
from scripts.checks.weight_file_samples import (
    nvlabs_modules,
    persistent_tree,
    save,
    state_of,
    write_nvlabs,
    write_tuned,
)
from utils.paths import ROOT
from utils.weight_files.formats import read_checkpoint
from utils.weights import WeightsError

CANARY = "canary"  # a file that the hostile ones try to make in the current folder
SHELL = f"touch {CANARY}"
PYTHON = f"open('{CANARY}', 'w')"


class Call:
    """Pickles as a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.call


def text(words: str) -> bytes:
    """Operation that pushes text."""
    data = words.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def name(module: str, attribute: str) -> bytes:
    """Operation that looks a name up."""
    return f"c{module}\n{attribute}\n".encode()


def called(module: str, attribute: str, *arguments: bytes) -> bytes:
    """Operations that call a name."""
    return name(module, attribute) + b"(" + b"".join(arguments) + b"tR"


def program(*operations: bytes, protocol: int = 4) -> bytes:
    """A pickle of these operations."""
    return bytes([0x80, protocol]) + b"".join(operations) + b"."


def zipped(pickled: bytes, storages: dict[str, bytes] | None = None, method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip file as `torch.save` writes it, around a pickle of one's own."""
    result = io.BytesIO()
    with zipfile.ZipFile(result, "w", method) as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/byteorder", "little")
        archive.writestr("archive/version", "3\n")
        for key, content in (storages or {}).items():
            archive.writestr(f"archive/data/{key}", content)
    return result.getvalue()


def legacy(pickled: bytes, keys: list[str] | None = None, numbers: bytes = b"") -> bytes:
    """A legacy file around a pickle of one's own."""
    machine = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    parts = [pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, machine)]
    return b"".join([*parts, pickled, pickle.dumps(keys or [], 2), numbers])


def storage(key: str = "0", count: int = 4, kind: str = "FloatStorage") -> bytes:
    """Operations that refer to numbers outside the pickle."""
    return b"(" + text("storage") + name("torch", kind) + text(key) + text("cpu") + number(count) + b"tQ"


def number(value: int) -> bytes:
    """Operation that pushes an integer."""
    data = value.to_bytes(12, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def sizes(*values: int) -> bytes:
    """Operations that push a tuple of integers."""
    return b"(" + b"".join(number(value) for value in values) + b"t"


def tensor(place: bytes, shape: bytes, stride: bytes, offset: int = 0) -> bytes:
    """Operations that make a tensor."""
    hooks = called("collections", "OrderedDict")
    return called("torch._utils", "_rebuild_tensor_v2", place, number(offset), shape, stride, b"\x89", hooks)


def entry(key: str, value: bytes) -> bytes:
    """Operations that make a dict with one entry."""
    return b"}" + text(key) + value + b"s"


def nested_tuples(depth: int) -> bytes:
    """Operations that push a tuple which unfolds to 2^depth leaves."""
    return b"N\x85" + b"2\x86" * depth


def many_numbers(count: int) -> bytes:
    """Operations that push a dict with so many keys."""
    return b"}(" + b"".join(b"J" + struct.pack("<i", index) + b"N" for index in range(count)) + b"u"


def nvlabs_module(**record: bytes) -> bytes:
    """Operations that make a module as NVlabs records it, but for the entries given."""
    entries = {"type": text("class"), "version": b"K\6", "class_name": text("Generator"), "state": b"}", **record}
    items = b"".join(text(key) + value for key, value in entries.items())
    return called("torch_utils.persistence", "_reconstruct_persistent_obj", b"}(" + items + b"u")


def nested_modules(depth: int) -> bytes:
    """Operations that push a module with a module in it, and so on."""
    key, kept = text("m" * 200), nvlabs_module(state=b"}" + text("_modules") + b"}h\0h\1ss")
    return key + b"q\0" + b"Nq\1" + (kept + b"q\1") * depth


def overlapping() -> bytes:
    """A zip file of a flow whose storages all are the same 30 MB, of which each tensor takes a little."""
    count = 7_500_000
    state = state_of("continuous_flow")
    entries = b"".join(
        text(key) + tensor(storage(str(index), count), sizes(*value.shape), sizes(*value.stride()))
        for index, (key, value) in enumerate(state.items())
    )
    data = zipped(program(b"}(" + entries + b"u", protocol=2), {"0": bytes(4 * count)})
    directory = data.index(b"PK\1\2")
    record = data[data.rindex(b"PK\1\2") : data.index(b"PK\5\6")]  # of the storage: its name ends in its key
    more = b"".join(
        record[:28] + struct.pack("<H", len(f"archive/data/{index}")) + record[30:-1] + str(index).encode()
        for index in range(1, 400)
    )
    end = len(data) - 22
    numbers = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 403, 403, end - directory + len(more), directory, 0)
    return data[:end] + more + numbers


def one_tensor(shape: bytes, stride: bytes, offset: int = 0, count: int = 4) -> bytes:
    """A zip file of one tensor of four numbers, described as it pleases."""
    described = tensor(storage(count=count), shape, stride, offset)
    return zipped(program(entry("w", described), protocol=2), {"0": b"\0" * 16})


def poisoned_nvlabs(replace: bytes, by: bytes) -> bytes:
    """An NVlabs pickle in which some bytes are others of the same length."""
    data = _sample("nvlabs")
    assert replace in data and len(replace) == len(by)
    return data.replace(replace, by, 1)


def _sample(format: str) -> bytes:
    path = Path(f"sample-{format}")
    SAMPLES[format](path)
    return path.read_bytes()


def saved(content: Any, old: bool = False) -> bytes:
    """`torch.save` in memory."""
    stream = io.BytesIO()
    torch.save(content, stream, _use_new_zipfile_serialization=not old)
    return stream.getvalue()


def tuned_with(**attributes: Any) -> bytes:
    """A file of torch.save with a module as NVlabs records it, which has these attributes."""
    with nvlabs_modules():
        return saved(persistent_tree({"weight": torch.ones(2)}, PYTHON, "Generator", **attributes))


def many_keys(count: int, key: Callable[[int], str]) -> bytes:
    """A zip file of a state dict with so many keys, of which all name one tensor."""
    one = tensor(storage(), sizes(2), sizes(1)) + b"q\0"
    entries = b"".join(text(key(index)) + b"h\0" for index in range(count))
    return zipped(program(one, b"}(", entries, b"u", protocol=2), {"0": bytes(16)})


def generator_of_levels(levels: int) -> dict[str, torch.Tensor]:
    """A generator's state with one channel and so many resolutions that its noise maps would fill the memory."""
    state = {
        key: value[:1, :1].clone() if value.ndim > 1 else value[:1].clone()
        for key, value in state_of("stylegan2_generator").items()
        if not key.startswith(("convs.", "to_rgbs.", "noises."))
    }
    state["input.input"] = torch.ones(1, 1, 4, 4)
    for level in range(levels):
        for index in (2 * level, 2 * level + 1):
            state[f"convs.{index}.conv.weight"] = torch.ones(1, 1, 1, 3, 3)
            state[f"convs.{index}.conv.modulation.weight"] = torch.ones(1, 1)
            state[f"convs.{index}.conv.modulation.bias"] = torch.ones(1)
            state[f"convs.{index}.noise.weight"] = torch.ones(1)
            state[f"convs.{index}.activate.bias"] = torch.ones(1)
        state[f"to_rgbs.{level}.bias"] = torch.ones(1, 3, 1, 1)
        state[f"to_rgbs.{level}.conv.weight"] = torch.ones(1, 3, 1, 1, 1)
        state[f"to_rgbs.{level}.conv.modulation.weight"] = torch.ones(1, 1)
        state[f"to_rgbs.{level}.conv.modulation.bias"] = torch.ones(1)
    state["conv1.conv.weight"] = torch.ones(1, 1, 1, 3, 3)
    state["conv1.conv.modulation.weight"] = torch.ones(1, 1)
    state["to_rgb1.conv.weight"] = torch.ones(1, 3, 1, 1, 1)
    state["to_rgb1.conv.modulation.weight"] = torch.ones(1, 1)
    state["to_rgb1.bias"] = torch.ones(1, 3, 1, 1)
    return state


def wide_generator() -> dict[str, torch.Tensor]:
    """A generator's state whose first tensor claims channels for which the other weights would fill the memory."""
    return {**state_of("stylegan2_generator"), "input.input": torch.ones(1, 200_000, 4, 4)}


def aliased() -> dict[str, torch.Tensor]:
    """A classifier whose heads all share one large matrix, so that the network would be far larger than the file."""
    state = state_of("attribute_classifier")
    matrix = torch.ones(1, 1).expand(4000, 4000)
    return {key: matrix if key.startswith("attr_heads") and value.ndim == 2 else value for key, value in state.items()}


def safetensors_file(header: bytes, body: bytes = b"", length: int | None = None) -> bytes:
    """A safetensors file with a header of one's own."""
    return struct.pack("<Q", len(header) if length is None else length) + header + body


EXECUTION: dict[str, Callable[[], bytes]] = {
    "os.system": lambda: pickle.dumps(Call(os.system, SHELL)),
    "posix by name": lambda: program(called("posix", "system", text(SHELL))),
    "eval": lambda: pickle.dumps(Call(eval, PYTHON)),
    "exec": lambda: program(called("builtins", "exec", text(PYTHON))),
    "python 2's eval": lambda: program(called("__builtin__", "eval", text(PYTHON)), protocol=2),
    "getattr chain": lambda: program(
        called("builtins", "getattr", called("builtins", "__import__", text("os")), text("system")),
        b"(" + text(SHELL) + b"tR",
    ),
    "dotted name": lambda: program(text("collections"), text("OrderedDict.fromkeys.__globals__"), b"\x93"),
    "module of an allowed class": lambda: program(called("torch._utils", "os.system", text(SHELL))),
    "subprocess": lambda: pickle.dumps(Call(subprocess.call, ["touch", CANARY])),
    "pickle.loads": lambda: program(called("pickle", "loads", b"C" + bytes([3]) + b"abc")),
    "torch.load": lambda: program(called("torch.serialization", "load", text("x"))),
    "torch.hub": lambda: program(called("torch.hub", "load", text("a/b"), text("c"))),
    "code object": lambda: program(called("types", "CodeType", text("x"))),
    "os.system in a zip": lambda: saved({"w": torch.ones(2), "x": Call(os.system, SHELL)}),
    "os.system in a legacy file": lambda: saved({"w": torch.ones(2), "x": Call(os.system, SHELL)}, old=True),
    "eval in a persistent id": lambda: zipped(program(called("builtins", "eval", text(PYTHON)), b"Q", protocol=2)),
    "eval in the machine's record": lambda: (
        pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + program(called("os", "system", text(SHELL)))
    ),
    "pickle in a tensor's storage": lambda: program(
        called("torch.storage", "_load_from_bytes", b"B" + _with_length(pickle.dumps(Call(os.system, SHELL))))
    ),
    "legacy file in a tensor's storage": lambda: program(
        called("torch.storage", "_load_from_bytes", b"B" + _with_length(saved(Call(os.system, SHELL), old=True)))
    ),
    "zip file in a tensor's storage": lambda: program(
        called("torch.storage", "_load_from_bytes", b"B" + _with_length(saved(Call(os.system, SHELL))))
    ),
    "storage in a storage": lambda: program(
        called(
            "torch.storage",
            "_load_from_bytes",
            b"B" + _with_length(legacy(program(called("torch.storage", "_load_from_bytes", b"C\0"), protocol=2))),
        )
    ),
    "another class in NVlabs' place": lambda: poisoned_nvlabs(b"persistent_obj", b"persistent_abc"),
    "module of the file's own": lambda: saved(torch.nn.Linear(2, 2)),
    "os.system in a tuned generator": lambda: tuned_with(act=Call(os.system, SHELL)),
    "os.system in its arguments": lambda: tuned_with(_init_kwargs={"z": Call(os.system, SHELL)}),
    "module of the file's own in a tuned generator": lambda: tuned_with(embed=torch.nn.Embedding(2, 2)),
    "record of a tuned generator as a function": lambda: zipped(program(nvlabs_module(type=text("func")), protocol=2)),
    "numpy objects": lambda: pickle.dumps(np.array([Call(os.system, SHELL)], dtype=object)),
    "numpy type of objects": lambda: program(called("numpy", "dtype", text("O8"), b"\x89", b"\x88")),
    "state for a dict's class": lambda: program(name("collections", "OrderedDict"), b"}" + text("a") + b"Nsb"),
    "instance by name": lambda: program(b"(", text(SHELL), b"ios\nsystem\n"),
    "object operation": lambda: program(b"(", name("collections", "OrderedDict"), b"o"),
    "extension code": lambda: program(b"\x82\x01)R"),
    "TorchScript": lambda: zipped(program(b"}", protocol=2)).replace(b"archive/byteorder", b"archive/code/a.py"),
}  # fmt: skip


def _with_length(data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + data


RESOURCES: dict[str, Callable[[], bytes]] = {
    "memo index": lambda: program(b"Nr\xff\xff\xff\xff."),
    "hash of nested tuples": lambda: program(b"}" + nested_tuples(60) + b"Ns"),
    "set of nested tuples": lambda: program(b"\x8f(" + nested_tuples(60) + b"\x90"),
    "lists that unfold without end": lambda: program(b"]q\0" + b"(h\0h\0e" * 3),
    "NumPy type of nested tuples": lambda: program(called("numpy", "dtype", nested_tuples(60))),
    "class name of nested tuples": lambda: program(nvlabs_module(class_name=nested_tuples(60))),
    "version of nested tuples": lambda: program(nvlabs_module(version=nested_tuples(60))),
    "one list copied again and again": lambda: program(
        b"](" + b"K\1" * 300_000 + b"e\x85q\0" + name("torch", "Size") + b"q\1" + b"h\1h\0R0" * 100_000
    ),
    "one text encoded again and again": lambda: program(
        text("a" * 30_000_000) + text("latin1") + b"\x86q\0" + name("_codecs", "encode") + b"q\1" + b"h\1h\0R" * 50
    ),
    "one state set again and again": lambda: program(
        many_numbers(200_000) + b"q\0" + name("argparse", "Namespace") + b"q\1" + b"h\1)\x81h\0b" * 100_000
    ),
    "a dict of many entries": lambda: program(many_numbers(450_000)),
    "a key without end": lambda: saved({"a" * 30_000_000: {f"{n}.weight": torch.ones(1) for n in range(100)}}),
    "modules within modules": lambda: program(nested_modules(20_000)),
    "keys of many words": lambda: many_keys(20_000, lambda index: "a." * min(index, 130) + f"{index}.mlp.0.weight"),
    "more keys than any file has": lambda: many_keys(150_000, str),
    "many networks": lambda: saved({str(n): {"mlp.0.weight": torch.ones(8, 8)} for n in range(3000)}),
    "entries that overlap": overlapping,
    "many operations": lambda: program(b"N0" * 2_000_000),
    "many marks": lambda: program(b"(" * 3_000_000),
    "nested lists": lambda: program(b"]" * 300_000 + b"a" * 299_999),
    "bytes without end": lambda: program(b"\x8e" + struct.pack("<Q", 2**60)),
    "text without end": lambda: program(b"\x8d" + struct.pack("<Q", 2**62)),
    "number without end": lambda: program(b"\x8b" + struct.pack("<i", 2**31 - 1)),
    "negative length": lambda: program(b"\x8b" + struct.pack("<i", -5)),
    "much text": lambda: program(text("a" * 70_000_000)),
    "bytearray": lambda: program(called("builtins", "bytearray", number(10**12)), protocol=2),
    "tensor by its class": lambda: zipped(program(called("torch", "FloatTensor", number(10**6), number(10**6)))),
    "storage called": lambda: zipped(program(called("torch", "FloatStorage", number(10**12)))),
    "expanded tensor": lambda: one_tensor(sizes(10**6, 10**6), sizes(0, 0)),
    "expanded beyond numbers": lambda: one_tensor(sizes(2**80, 2**80), sizes(0, 0)),
    "beyond its storage": lambda: one_tensor(sizes(4, 4), sizes(4, 1)),
    "offset beyond its storage": lambda: one_tensor(sizes(2), sizes(1), offset=3),
    "negative offset": lambda: one_tensor(sizes(2), sizes(1), offset=-2),
    "negative stride": lambda: one_tensor(sizes(2), sizes(-1), offset=3),
    "many dimensions": lambda: one_tensor(sizes(*[1] * 5000), sizes(*[1] * 5000)),
    "storage larger than its entry": lambda: one_tensor(sizes(4), sizes(1), count=10**12),
    "storage in a legacy file": lambda: legacy(
        program(entry("w", tensor(storage(count=10**15), sizes(2), sizes(1))), protocol=2),
        ["0"],
        struct.pack("<q", 10**15),
    ),
    "compressed entries": lambda: zipped(
        program(b"}", protocol=2), {"0": b"\0" * 10**8}, method=zipfile.ZIP_DEFLATED
    ),
    "directory of millions": lambda: zipped(program(b"}", protocol=2))[:-22] + struct.pack(
        "<4s4H2IH", b"PK\x05\x06", 0, 0, 65535, 65535, 10, 0, 0
    ),
    "noise maps of 2^25 pixels": lambda: saved(generator_of_levels(23)),
    "resolutions without end": lambda: saved(generator_of_levels(200)),
    "channels without weights": lambda: saved(wide_generator()),
    "weights that share numbers": lambda: saved(aliased()),
    "heads without end": lambda: saved(
        {**state_of("attribute_classifier"), **{f"attr_heads.{n}.0.bias": torch.ones(1) for n in range(6000)}}
    ),
    "safetensors header": lambda: safetensors_file(b"{", length=2**62),
    "safetensors shape": lambda: safetensors_file(
        json.dumps({"w": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 4]}}).encode(), b"\0" * 4
    ),
    "safetensors offsets": lambda: safetensors_file(
        json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [10, 14]}}).encode(), b"\0" * 4
    ),
    "safetensors of 8 bits": lambda: safetensors.torch.save(
        {key: value.to(torch.float8_e4m3fn) for key, value in state_of("stylegan2_generator").items()}
    ),
    "safetensors nested": lambda: safetensors_file(b'{"a":' * 100_000),
    "metadata nested": lambda: safetensors_file(json.dumps({"__metadata__": {"sdflow": "[" * 100_000}}).encode()),
    "metadata no object": lambda: safetensors_file(json.dumps({"__metadata__": {"sdflow": "[1]"}}).encode()),
}  # fmt: skip
DAMAGE: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "a web page": lambda: b"\n<!DOCTYPE html><html>Google Drive - Quota exceeded</html>",
    "torn zip": lambda: _sample("zip")[:-100],
    "half a zip": lambda: _sample("zip")[: len(_sample("zip")) // 2],
    "torn legacy file": lambda: _sample("legacy")[:-3],
    "torn NVlabs pickle": lambda: _sample("nvlabs")[:-3000],
    "torn safetensors": lambda: _sample("safetensors")[:-3],
    "one number changed in a zip": lambda: _flipped(_sample("zip")),
    "not a number": lambda: saved({**state_of("continuous_flow"), "chain.0.bias": torch.full((8,), float("nan"))}),
    "integers for weights": lambda: saved({k: v.long() for k, v in state_of("continuous_flow").items()}),
    "a missing key": lambda: saved({k: v for k, v in state_of("continuous_flow").items() if k != "chain.2.bias"}),
    "no tensors": lambda: saved({"opts": {}}),
    "a list": lambda: saved([1, 2]),
    "an unknown network": lambda: saved({"some.weight": torch.ones(2)}),
    "a plain pickle": lambda: pickle.dumps({"a": 1}),
    "a picture": lambda: b"\x89PNG\r\n\x1a\n" + bytes(100),
}


def _flipped(data: bytes) -> bytes:
    changed = bytearray(data)
    changed[data.rindex(b"PK\x03\x04") - 300] ^= 1  # among the numbers, which come before the last entries
    return bytes(changed)


HOSTILE = {**EXECUTION, **RESOURCES, **DAMAGE}
RUNNER = """
import json, sys
from pathlib import Path
from scripts.checks.fuzz_weight_files import Watch, limit_memory, trial, warm_up
warm_up(Path('.'))
watch = Watch()
limit_memory(2**30 + max(path.stat().st_size for path in Path('hostile').iterdir()))
for path in sorted(Path('hostile').iterdir()):
    outcome = trial(path, watch)
    print(json.dumps([path.name, outcome.verdict, outcome.text]), flush=True)
"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, str]]:
    """What became of each hostile file, in a process of its own with 1 GB to spare and a canary in its folder."""
    folder = tmp_path_factory.mktemp("hostile_files")
    (folder / "hostile").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for title, content in HOSTILE.items():
            (folder / "hostile" / title.replace(" ", "_").replace("/", "-")).write_bytes(content())
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", RUNNER], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert not (folder / CANARY).exists()
    return {file: (verdict, words) for file, verdict, words in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("title", HOSTILE)
def test_it_is_refused_by_name(outcomes: dict[str, tuple[str, str]], title: str) -> None:
    verdict, words = outcomes[title.replace(" ", "_").replace("/", "-")]
    assert verdict == "refused", words
    assert words.isprintable() and len(words) < 700


def test_the_canary_would_sing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hostile pickles do what they say when Python's own unpickler reads them."""
    monkeypatch.chdir(tmp_path)
    for title in ("os.system", "eval", "getattr chain"):
        pickle.loads(EXECUTION[title]())
        assert (tmp_path / CANARY).exists()
        (tmp_path / CANARY).unlink()


def test_pytorchs_own_reader_gives_a_file_what_memory_it_asks_for(tmp_path: Path) -> None:
    """Why `weights_only` is not enough; see `utils/weight_files/restricted_pickle.py`."""
    asked = 5 * 10**7
    (tmp_path / "x.pt").write_bytes(zipped(program(called("builtins", "bytearray", number(asked)), protocol=2)))
    assert len(torch.load(tmp_path / "x.pt", weights_only=True)) == asked
    with pytest.raises(WeightsError, match=r"refers to 'builtins\.bytearray'"):
        read_checkpoint(tmp_path / "x.pt")


def test_the_source_code_in_an_nvlabs_pickle_stays_where_it_is(tmp_path: Path) -> None:
    canary = tmp_path / CANARY
    state = nvlabs_keys(state_of("stylegan2_generator"))
    write_nvlabs(tmp_path / "network.pkl", {"G_ema": state}, f"open({str(canary)!r}, 'w')")
    assert load_network(tmp_path / "network.pkl").kind == "stylegan2_generator"
    assert not canary.exists()


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_the_source_code_beside_a_tuned_generator_stays_where_it_is(legacy: bool, tmp_path: Path) -> None:
    canary = tmp_path / CANARY
    state = nvlabs_keys(state_of("stylegan2_generator"))
    write_tuned(tmp_path / "tuned.pt", state, f"open({str(canary)!r}, 'w')", legacy=legacy)
    assert load_network(tmp_path / "tuned.pt").kind == "stylegan2_generator"
    assert not canary.exists()


@pytest.mark.parametrize(
    ("title", "words"),
    [
        ("os.system", r"refers to '(posix|nt)\.system'"),
        ("a web page", "is a web page, not weights"),
        ("torn zip", "is torn"),
        ("one number changed in a zip", "do not match their checksum; fetch the file again"),
        ("compressed entries", "compressed or encrypted"),
        ("TorchScript", "TorchScript program, not weights"),
        ("module of the file's own", "whole pickled model of class 'torch.nn.modules.linear.Linear'.*state_dict"),
        ("os.system in a tuned generator", r"refers to '(posix|nt)\.system'"),
        ("os.system in its arguments", r"refers to '(posix|nt)\.system'"),
        ("module of the file's own in a tuned generator", "whole pickled model of class 'torch.nn.modules.sparse.Emb"),
        ("keys of many words", "keys do not add up"),
        ("more keys than any file has", "more than 100,000 tensors"),
        ("not a number", "'chain.0.bias' holds values that are not finite"),
        ("a missing key", "does not fit ContinuousFlow: missing keys: chain.2.bias"),
        ("an unknown network", "no network of a known kind .its first key is 'some.weight'."),
        ("torn safetensors", "not a whole safetensors file"),
        ("many operations", "more operations"),
        ("weights that share numbers", "does not fit|would take"),
        ("empty", "is empty"),
        ("one list copied again and again", "more operations"),
        ("one text encoded again and again", "more text"),
        ("one state set again and again", "more operations"),
        ("a key without end", "a key of 30,000,000 characters"),
        ("modules within modules", "nested more deeply"),
        ("many networks", "more than 20 networks"),
        ("entries that overlap", "its entries overlap"),
        ("safetensors of 8 bits", "is of type torch.float8_e4m3fn"),
    ],
)
def test_the_reason_is_said(outcomes: dict[str, tuple[str, str]], title: str, words: str) -> None:
    assert re.search(words, outcomes[title.replace(" ", "_")][1]), outcomes[title.replace(" ", "_")]


def test_control_characters_of_a_file_do_not_reach_the_terminal(tmp_path: Path) -> None:
    key = "\x1b[31mred\n"
    for content in ({key: torch.ones(2)}, {**state_of("continuous_flow"), key: torch.ones(2)}):
        with pytest.raises(WeightsError, match="red") as error:
            load_network(save(tmp_path / "x.pt", content))
        assert str(error.value).isprintable()


def test_what_pytorch_reads_is_read_alike(tmp_path: Path) -> None:
    """Bit for bit, for types, strides, views and shared storages; also where tensors lie unaligned (legacy files)."""
    row = torch.arange(24.0)
    content: dict[str, Any] = OrderedDict(
        matrix=row.reshape(4, 6),
        transposed=row.reshape(4, 6).t(),
        slice=row[5:9],
        strided=row[::3],
        expanded=torch.ones(2).expand(3, 2),
        scalar=torch.tensor(2.5),
        empty=torch.ones(0, 3),
        half=row.half(),
        brain=row.bfloat16(),
        double=row.double(),
        byte=torch.tensor([1, 255], dtype=torch.uint8),
        truth=torch.tensor([True, False]),
        whole=torch.tensor([1, -(2**40)]),
        parameter=torch.nn.Parameter(row),
    )
    settings = {"numbers": [1, 2.5, None, True], "shape": torch.Size([1, 2]), "numpy": np.float64(1.5), "set": {"a"}}
    for old in (False, True):
        path = save(tmp_path / "file", {"state": content, **settings}, old)
        checkpoint = read_checkpoint(path)
        expected = torch.load(path, weights_only=False)["state"]
        for key, stored in checkpoint.content["state"].items():
            value = stored.tensor()
            assert value.dtype == expected[key].dtype and torch.equal(value, expected[key]), key
        assert checkpoint.content["numbers"] == [1, 2.5, None, True] and checkpoint.content["numpy"] == 1.5
        assert checkpoint.content["shape"] == (1, 2) and checkpoint.content["set"] == {"a"}


def test_damaged_at_random(tmp_path: Path) -> None:
    """The short form of scripts/checks/fuzz_weight_files.py."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    words, written = ["--mutations", "150", "--seed", "3"], tmp_path / "figures.json"
    done = subprocess.run(
        [sys.executable, "scripts/checks/fuzz_weight_files.py", *words, "--json", str(written)],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    for format in SAMPLES:
        counts = re.search(rf"^{format}: (\d+) refused, (\d+) loaded$", done.stdout, re.MULTILINE)
        assert counts and int(counts[1]) + int(counts[2]) == 150 and int(counts[2]), done.stdout
    figures = json.loads(written.read_text(encoding="utf-8"))
    assert figures["tried"] == figures["survived"] == 150 * len(SAMPLES) and not figures["failures"]
    assert figures["command"] == f"python scripts/checks/fuzz_weight_files.py {' '.join(words)}"
    assert all(sum(counts.values()) == 150 for counts in figures["formats"].values())
