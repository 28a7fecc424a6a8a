"""Files of repositories on the hub: fetched once, pinned to a commit, safetensors alone, and one sentence otherwise."""

from __future__ import annotations

import builtins
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.hub import Hub, hub_for_tests
from utils import hub as hub_module
from utils.hub import available, located
from utils.paths import ROOT, displayed
from utils.weights import WeightsError, save_weights


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    with hub_for_tests(monkeypatch, tmp_path / "cache") as server:
        yield server


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("weights") / "a.safetensors"
    save_weights(path, {"w": torch.ones(3)}, {})
    return path.read_bytes()


def next_process() -> None:
    hub_module._listing.cache_clear()


def refusal(address: str) -> str:
    with pytest.raises(WeightsError) as error:
        located(address)
    text = str(error.value)
    assert text.startswith(address.partition("@")[0]) and "\n" not in text and "Traceback" not in text
    return text


def test_a_file_is_announced_fetched_once_and_pinned(
    hub: Hub, weights: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commit = hub.repository().commit({"README.md": b"", "editor.safetensors": weights, "more/b.safetensors": b"x"})
    path = located("hf:alice/faces")
    pinned = f"hf:alice/faces/editor.safetensors@{commit}"
    assert path.read_bytes() == weights and displayed(path) == pinned
    assert f"{pinned}: fetching 0.0 MB to {tmp_path / 'cache'}" in capsys.readouterr().err
    fetched = [request for request in hub.requests if request.startswith("GET /alice")]
    assert fetched == ["GET /alice/faces/resolve/main/editor.safetensors"]

    hub.requests.clear()
    assert located(pinned) == path and not hub.requests  # a commit never changes
    next_process()
    assert located("hf:alice/faces/editor.safetensors@main") == path
    assert not any(request.startswith("GET /alice") for request in hub.requests)
    assert capsys.readouterr().err == ""


def test_a_process_stays_with_one_commit_of_a_branch(hub: Hub, weights: bytes) -> None:
    hub.repository().commit({"a.safetensors": weights})
    before = located("hf:alice/faces")
    hub.repository().commit({"a.safetensors": weights + b" "})
    assert located("hf:alice/faces") == before
    next_process()
    assert located("hf:alice/faces").read_bytes() == weights + b" "


def test_without_network_the_cache_serves_in_silence(
    hub: Hub, weights: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commit = hub.repository().commit({"a.safetensors": weights})
    path = located(f"hf:alice/faces@{commit}")
    next_process()
    assert located("hf:alice/faces") == path  # the branch is noted although the file is there
    capsys.readouterr()
    hub.status = 503
    next_process()
    assert located("hf:alice/faces") == path
    hub.end()
    for address in ("hf:alice/faces", "hf:alice/faces/a.safetensors", f"hf:alice/faces@{commit}"):
        next_process()
        assert located(address) == path
    assert "cannot be reached, and nothing of it is in the cache" in refusal("hf:alice/other")
    assert "no such file in the cache" in refusal("hf:alice/faces/b.safetensors")

    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    next_process()
    assert located("hf:alice/faces") == path
    assert "not asked (HF_HUB_OFFLINE), and nothing of it is in the cache" in refusal("hf:alice/other@v1")
    assert capsys.readouterr() == ("", "")


def test_refusals_are_a_sentence(hub: Hub, weights: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repository("alice/two").commit({"a.safetensors": weights, "b/c.safetensors": weights, "d.pt": b""})
    hub.repository("alice/pickle").commit({"editor.pt": b"", "false.safetensors": b"PK\x03\x04 a pickle"})
    hub.repository("alice/none").commit({"editor.pt": b""})
    hub.repository("alice/gated").commit({"a.safetensors": weights})
    hub.repository("alice/gated").gated = True
    hub.repository("alice/outside").commit({"../../editor.safetensors": weights})
    for address, reason in {
        "hf:alice": "an address on the hub is hf:OWNER/NAME[/FILE][@REVISION]",
        "hf:": "an address on the hub is",
        "hf:alice/two/../../x.safetensors": "no file inside a repository",
        "hf:alice/two//x.safetensors": "no file inside a repository",
        "hf:alice/two/d.pt": "only .safetensors files are taken",
        "hf:alice/two": "has several files, name one (hf:alice/two/a.safetensors): a.safetensors, b/c.safetensors",
        "hf:alice/two/x.safetensors": "no such file in the repository, which has a.safetensors, b/c.safetensors",
        "hf:alice/a--b": "'alice/a--b' can be no repository's name",
        "hf:alice/two@v9": "no branch, tag or commit 'v9'",
        "hf:alice/nobody": "no such repository, or a private one (then log in: hf auth login, or HF_TOKEN)",
        "hf:alice/pickle": "is called .safetensors but is none",
        "hf:alice/none": "has no .safetensors file",
        "hf:alice/gated": f"ask for access on {hub.endpoint}/alice/gated, then log in (hf auth login, or HF_TOKEN)",
        "hf:alice/outside": "has no .safetensors file",
    }.items():
        assert reason in refusal(address)
    hub.status = 429
    assert "answers with status 429" in refusal("hf:alice/other")

    ordinary = builtins.__import__

    def without_extra(name: str, *arguments: object, **options: object) -> object:
        if name == "huggingface_hub":
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)
        return ordinary(name, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without_extra)
    assert refusal("hf:alice/two") == 'hf:alice/two: huggingface_hub is not installed: pip install ".[hub]"'


def test_what_belongs_beside_a_file_is_fetched_if_it_is_there(hub: Hub, weights: bytes, tmp_path: Path) -> None:
    hub.repository().commit({"editor.safetensors": weights, "generator.safetensors": weights, "judge.pt": b""})
    folder = located("hf:alice/faces").parent
    assert not (folder / "generator.safetensors").exists()
    assert available(folder / "generator.safetensors") and (folder / "generator.safetensors").read_bytes() == weights
    assert not available(folder / "encoder.safetensors") and not available(folder / "judge.pt")
    assert not available(tmp_path / "generator.safetensors")


def test_the_variables_of_the_library_count(hub: Hub, weights: bytes, tmp_path: Path) -> None:
    hub.repository().commit({"editor.safetensors": weights})
    code = "from utils.hub import located; print(located('hf:alice/faces').read_bytes().hex())"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path)}
    environment |= {"HF_HUB_OFFLINE": "0", "HF_HUB_CACHE": str(tmp_path / "cache")}
    run = [sys.executable, "-c", code]
    result = subprocess.run(run, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0 and bytes.fromhex(result.stdout.strip()) == weights, result.stderr
    assert f"MB to {tmp_path / 'cache'}" in result.stderr
