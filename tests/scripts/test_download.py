"""The command download.py: what it prints, fetches, takes over, verifies and refuses."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from scripts.download import main
from tests.utils.loopback import Offer, Server, archive, page, serving, status
from utils.paths import ROOT

NETS = {"encoder": archive(1, size=40_000), "generator": archive(2, size=40_000), "judge": archive(3, size=40_000)}
WEB_PAGE = "https://pan.baidu.com/s/1msVQw5M7KK2MT7jnC26Fhw?pwd=1y2x"


class Place(NamedTuple):
    """A server that offers encoder and generator (by a second address), a manifest of them and of a judge that is only
    on a web page, and the folder where they belong."""

    server: Server
    folder: Path

    def run(self, *words: str) -> int:
        return main([*words, "--manifest", str(self.folder / "manifest.yaml"), "--attempts", "1", "--timeout", "2"])

    def path(self, name: str) -> Path:
        return self.folder / "nets" / f"{name}.pt"

    def records(self) -> dict[str, dict[str, object]]:
        path = self.folder / "checksums.json"
        return json.loads(path.read_text()) if path.exists() else {}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setenv("no_proxy", "*")
    with serving() as server:
        server.routes = {"/encoder": Offer(NETS["encoder"]), "/mirror": Offer(NETS["generator"])}
        sources = {
            "encoder": [{"url": server.url("/encoder")}],
            "generator": [{"url": server.url("/gone")}, {"url": server.url("/mirror")}],
            "judge": [{"page": WEB_PAGE}],
        }
        files = {
            name: {
                "what": f"the {name}",
                "by": "somebody",
                "licence": "theirs alone",
                "destination": f"nets/{name}.pt",
                "published": [f"{name}-2020.pt"],
                "megabytes": 1201,
                "sources": sources[name],
            }
            for name in NETS
        }
        groups = {
            "ffhq": {"what": "all of them", "files": list(NETS)},
            "two": {"what": "some", "files": ["encoder", "generator"]},
        }
        (tmp_path / "weights").mkdir()
        (tmp_path / "weights/manifest.yaml").write_text(yaml.safe_dump({"files": files, "groups": groups}))
        yield Place(server, tmp_path / "weights")


def test_without_a_name_nothing_is_fetched(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert place.run() == 0
    shown = capsys.readouterr().out
    assert "Nothing was fetched" in shown and "The FFHQ setting needs the group ffhq" in shown
    assert all(f"the {name}" in shown for name in NETS) and "at least 1,201 MB" in shown
    assert not place.server.requests
    assert [path.name for path in place.folder.iterdir()] == ["manifest.yaml"]


def test_a_group_is_fetched_recorded_and_then_only_verified(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert place.run("two") == 0
    shown = capsys.readouterr()
    assert all(place.path(name).read_bytes() == NETS[name] for name in ("encoder", "generator"))
    assert "2 of 2 files exist and are right" in shown.out
    assert "/gone answers 404 Not Found; trying the next address" in shown.err
    sha256 = hashlib.sha256(NETS["encoder"]).hexdigest()
    assert f"SHA-256 {sha256} recorded" in shown.out
    assert place.records()["nets/encoder.pt"] == {
        "size": len(NETS["encoder"]), "sha256": sha256, "from": place.server.url("/encoder")
    }  # fmt: skip
    asked = len(place.server.requests)
    assert place.run("two") == 0 and len(place.server.requests) == asked
    assert "exists already; SHA-256 as" in capsys.readouterr().out


def test_a_file_that_changed_since_its_first_download_is_refused(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert place.run("encoder") == 0
    place.path("encoder").unlink()
    place.server.routes["/encoder"] = Offer(archive(9, size=40_000))
    assert place.run("encoder") == 1
    said = capsys.readouterr().err
    assert "checksums.json says" in said and "encoder.pt.rejected" in said and not place.path("encoder").exists()


def test_what_only_browsers_can_fetch_is_named_and_the_rest_is_fetched(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert place.run("ffhq") == 1
    shown = capsys.readouterr()
    assert "2 of 3 files exist and are right" in shown.out
    assert "on web pages only, not as a file" in shown.err and WEB_PAGE in shown.err
    assert "save judge-2020.pt, then run 'python scripts/download.py judge --from FOLDER'" in shown.err
    assert f"or put it at {place.path('judge')}" in shown.err


def test_a_failed_download_says_how_to_do_it_by_hand(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.server.routes["/encoder"] = page("<title>Google Drive - Quota exceeded</title>")
    assert place.run("encoder") == 1
    said = capsys.readouterr().err
    assert "a web page ('Google Drive - Quota exceeded')" in said
    assert place.server.url("/encoder") in said and "--from FOLDER" in said


def test_files_from_a_browser(place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    browser = tmp_path / "Downloads"
    browser.mkdir()
    (browser / "judge-2020 (1).pt").write_bytes(NETS["judge"])
    (browser / "generator-2020.pt").write_bytes(NETS["generator"][:-100])
    assert place.run("--from", str(browser)) == 1
    shown = capsys.readouterr()
    assert place.path("judge").read_bytes() == NETS["judge"] and not place.path("generator").exists()
    assert "judge: copied from" in shown.out and "cut short" in shown.err
    assert "not found in" in shown.out and "1 of 3 files" in shown.out
    (browser / "generator-2020.pt").unlink()
    assert place.run("--from", str(browser)) == 0
    assert place.run("judge", "--from", str(browser)) == 0
    assert place.run("encoder", "--from", str(browser)) == 1
    assert "holds no encoder-2020.pt" in capsys.readouterr().err
    (browser / "anything").write_bytes(NETS["encoder"])
    assert place.run("encoder", "--from", str(browser / "anything")) == 0
    assert set(place.records()) == {"nets/judge.pt", "nets/encoder.pt"}
    assert not place.server.requests


def test_check(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert place.run("--check") == 0
    assert "missing: encoder, generator, judge" in capsys.readouterr().out
    assert place.run("--check", "encoder") == 1
    assert "encoder: missing" in capsys.readouterr().err
    place.path("encoder").parent.mkdir()
    place.path("encoder").write_bytes(NETS["encoder"])  # put there by hand
    assert place.run("--check") == 0 and "recorded" in capsys.readouterr().out
    assert place.run("--check", "encoder") == 0 and "as " in capsys.readouterr().out
    changed = bytearray(NETS["encoder"])
    changed[20_000] ^= 1
    place.path("encoder").write_bytes(changed)
    assert place.run("--check") == 1
    said = capsys.readouterr().err
    assert "SHA-256" in said and "move it away and fetch it again" in said
    assert not place.server.requests


def test_list(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert place.run("--list", "two") == 0
    shown = capsys.readouterr().out
    where = (str(place.path("encoder")), place.server.url("/mirror"))
    for text in ("theirs alone", "somebody", "encoder-2020.pt", *where):
        assert text in shown
    assert "SHA-256      not known; recorded at the first download" in shown and "the judge" not in shown
    assert not place.server.requests


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["encodr"], "no file or group 'encodr'; did you mean 'encoder'"),
        (["--timeout", "0"], "must be above 0"),
        (["--attempts", "0"], "must be at least 1"),
        (["--from", "/nowhere"], "no such folder"),
        (["--from", __file__], "is a file; name the one NAME it is"),
        (["--check", "--list"], "not allowed with"),
        (["--manifest", "/nowhere.yaml"], "/nowhere.yaml: no such file"),
    ],
)
def test_wrong_usage(words: list[str], reason: str, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = [] if "--manifest" in words else ["--manifest", str(place.folder / "manifest.yaml")]
    try:
        ended = main([*manifest, *words])
    except SystemExit as stop:
        ended = int(str(stop.code))
    assert ended == 2 and reason in capsys.readouterr().err
    assert not place.server.requests


def test_a_destination_outside_is_refused_before_anything_is_fetched(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    path = place.folder / "manifest.yaml"
    path.write_text(path.read_text().replace("nets/encoder.pt", "../../encoder.pt"))
    assert place.run("generator") == 2
    assert "files.encoder.destination: '../../encoder.pt' is no file inside" in capsys.readouterr().err
    assert not place.server.requests


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is sent in another way there")
def test_ctrl_c_keeps_what_arrived(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    large = archive(4, size=2_000_000)
    place.server.routes["/encoder"] = Offer(large, rate=1_000_000)
    words = [sys.executable, "scripts/download.py", "encoder", "--manifest", str(place.folder / "manifest.yaml")]
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # what runs in the background may be deaf to Ctrl-C
    pipe = subprocess.PIPE
    process = subprocess.Popen(words, cwd=ROOT, stdout=pipe, stderr=pipe, text=True, preexec_fn=heard)
    folder = place.path("encoder").with_name(".encoder.pt.download")
    deadline = time.monotonic() + 60
    while not any(path.stat().st_size for path in folder.glob("file*")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=30)[1]
    assert process.returncode == 1
    assert said.strip() == "download.py: interrupted; the same command resumes the download"
    [part] = folder.glob("file*")
    arrived = part.stat().st_size
    place.server.routes["/encoder"] = Offer(large)
    assert place.run("encoder") == 0
    assert place.server.resumed() == [arrived] and place.path("encoder").read_bytes() == large


def test_the_shipped_manifest_is_shown_from_any_folder(tmp_path: Path) -> None:
    words = [sys.executable, str(ROOT / "scripts/download.py")]
    shown = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True).stdout
    assert "python scripts/download.py ffhq" in shown and "e4e-ffhq" in shown and "Nothing was fetched" in shown
    assert not list(tmp_path.iterdir())


def test_nothing_heavy_is_imported() -> None:
    """Somebody without PyTorch (yet) can fetch the files."""
    code = "import sys; sys.path.insert(0, '.'); import scripts.download; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60).returncode == 0


def test_a_server_that_refuses_ends_in_exit_status_1(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.server.routes["/encoder"] = status(403)
    assert place.run("encoder", "--quiet") == 1
    assert "answers 403 Forbidden" in capsys.readouterr().err and not place.records()
