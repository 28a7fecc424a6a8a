"""Files from a browser: recognised, checked, copied; and what a weight file's bytes tell of it."""

from __future__ import annotations

import hashlib
import io
import pickle
import re
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.utils.loopback import archive
from utils.download import DownloadError
from utils.hand_fetched import take_from
from utils.integrity import Expected, damage

DATA, OTHER = archive(1, size=2000), archive(2, size=2000)
KNOWN = Expected(len(DATA), hashlib.sha256(DATA).hexdigest())
PUBLISHED = ("net.pt", "net-published.pt")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "Downloads" / "data").mkdir(parents=True)
    (tmp_path / "Downloads" / "holiday.jpg").write_bytes(b"\xff\xd8\xff")
    return tmp_path / "Downloads"


@pytest.mark.parametrize(
    "name", ["net.pt", "net-published.pt", "net (1).pt", "net(12).pt", "data/net.pt", "data/net-published (2).pt"]
)
def test_recognised_by_name(folder: Path, tmp_path: Path, name: str) -> None:
    (folder / name).write_bytes(DATA)
    (folder / "net.pth").write_bytes(OTHER)
    destination = tmp_path / "pretrained/nets/net.pt"
    taken = take_from(folder, PUBLISHED, destination, Expected())
    assert taken is not None and taken[0] == folder / name
    assert destination.read_bytes() == DATA == (folder / name).read_bytes()
    assert taken[1].sha256 == KNOWN.sha256


@pytest.mark.parametrize("expected", [KNOWN, Expected(sha256=KNOWN.sha256), Expected(size=len(DATA))])
def test_recognised_by_checksum_or_size(folder: Path, tmp_path: Path, expected: Expected) -> None:
    (folder / "renamed.bin").write_bytes(DATA)
    taken = take_from(folder, PUBLISHED, tmp_path / "net.pt", expected)
    assert taken is not None and taken[0].name == "renamed.bin"


def test_nothing_recognised(folder: Path, tmp_path: Path) -> None:
    (folder / "renamed.bin").write_bytes(DATA)
    (folder / ".net.pt.part").write_bytes(DATA)
    assert take_from(folder, PUBLISHED, tmp_path / "net.pt", Expected()) is None
    assert take_from(folder, PUBLISHED, tmp_path / "net.pt", Expected(size=1)) is None
    assert not (tmp_path / "net.pt").exists()


def test_equal_copies_are_one_and_different_ones_are_not_guessed_between(folder: Path, tmp_path: Path) -> None:
    (folder / "net.pt").write_bytes(DATA)
    (folder / "data" / "net.pt").write_bytes(DATA)
    assert take_from(folder, PUBLISHED, tmp_path / "a.pt", Expected()) is not None
    (folder / "data" / "net.pt").write_bytes(OTHER)
    with pytest.raises(DownloadError, match=r"net\.pt, .*net\.pt differ; give the path of the right one"):
        take_from(folder, PUBLISHED, tmp_path / "b.pt", Expected())
    taken = take_from(folder / "data" / "net.pt", PUBLISHED, tmp_path / "b.pt", Expected())
    assert taken is not None and (tmp_path / "b.pt").read_bytes() == OTHER
    taken = take_from(folder, PUBLISHED, tmp_path / "c.pt", KNOWN)  # here the checksum decides
    assert taken is not None and (tmp_path / "c.pt").read_bytes() == DATA


def test_a_wrong_file_does_not_replace_a_right_one(folder: Path, tmp_path: Path) -> None:
    (folder / "net.pt").write_bytes(OTHER)
    (tmp_path / "net.pt").write_bytes(DATA)
    with pytest.raises(DownloadError, match=r"net\.pt has the SHA-256 .* where the manifest says"):
        take_from(folder, PUBLISHED, tmp_path / "net.pt", KNOWN)
    assert (tmp_path / "net.pt").read_bytes() == DATA


def test_taking_a_file_from_where_it_belongs_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "net.pt").write_bytes(DATA)
    before = (tmp_path / "net.pt").stat()
    assert take_from(tmp_path, PUBLISHED, tmp_path / "net.pt", Expected()) is not None
    assert (tmp_path / "net.pt").stat().st_ino == before.st_ino


def test_a_destination_that_cannot_be_written(folder: Path, tmp_path: Path) -> None:
    (folder / "net.pt").write_bytes(DATA)
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(DownloadError, match="file"):
        take_from(folder, PUBLISHED, tmp_path / "file" / "net.pt", Expected())


def _folder_of_drive() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as packed:
        packed.writestr("SDFlow/net.pt", DATA)
    return stream.getvalue()


def samples(folder: Path) -> dict[str, Path]:
    """A weight file of each format, as its own library writes it."""
    state = {"weight": torch.arange(100.0), "bias": torch.zeros(3)}
    paths = {name: folder / f"{name}.weights" for name in ("zip", "legacy", "pickle", "safetensors", "empty")}
    torch.save(state, paths["zip"])
    torch.save(state, paths["legacy"], _use_new_zipfile_serialization=False)
    paths["pickle"].write_bytes(pickle.dumps({"G_ema": 1}, protocol=4))
    save_file(state, paths["safetensors"], metadata={"sdflow": "{}"})
    save_file({}, paths["empty"])
    return paths


def test_whole_files_of_every_format_pass(tmp_path: Path) -> None:
    assert {name: damage(path) for name, path in samples(tmp_path).items()} == dict.fromkeys(samples(tmp_path))


@pytest.mark.parametrize("name", ["zip", "safetensors"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.9, 0.999])
def test_files_cut_short_are_recognised(tmp_path: Path, name: str, share: float) -> None:
    path = samples(tmp_path)[name]
    path.write_bytes(path.read_bytes()[: max(int(share * path.stat().st_size), 10)])
    assert damage(path) is not None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"<html><title>Sign in</title>", r"is a web page \('Sign in'\), not weights"),
        (b"\xef\xbb\xbf\n<!doctype HTML>", "is a web page, not weights"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
        (b"\x1f\x8b\x08", "is packed with gzip"),
        (_folder_of_drive(), "is an archive of other files than PyTorch's; if your browser packed it, unpack it first"),
        (b"Too many requests", "in none of the formats"),
        (b'{"error": 404}', "in none of the formats"),
        (b"\xff" * 8 + b"{}", "its header does not fit"),
        ((2).to_bytes(8, "little") + b"{]", "its header cannot be read"),
        ((8).to_bytes(8, "little") + b'{"a": 3}', "its header cannot be read"),
    ],
)
def test_what_is_no_weight_file(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "net.pt").write_bytes(content)
    found = damage(tmp_path / "net.pt")
    assert found is not None
    assert re.search(reason, found)
