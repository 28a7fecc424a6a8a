"""Downloads from a server on loopback that misbehaves in every way that file hosts do."""

from __future__ import annotations

import email.utils
import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.utils.loopback import Offer, Route, Server, archive, in_turn, page, serving, status
from utils.download import Address, DownloadError, Expected, Fetched, Patience, Report, fetch
from utils.paths import ROOT

DATA, OTHER = archive(1), archive(2)
FAST = Patience(timeout=0.5, attempts=3, pause=0.01, longest_pause=2)
NOTHING = Expected()
SHA256 = hashlib.sha256(DATA).hexdigest()

CONFIRM_PAGE = """<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title></head><body>
<p class="uc-warning-caption">Google Drive can't scan this file for viruses.</p>
<form id="download-form" action="{action}" method="{method}">
<input type="submit" id="uc-download-link" value="Download anyway"/><input type="hidden" name="id" value="A1&amp;b">
<input type="hidden" name="export" value="download"><input type="hidden" name="confirm" value="t">
<input type="hidden" name="uuid" value="7f-0"></form></body></html>"""
QUOTA_PAGE = """<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title></head><body><p>Sorry, you can't
view or download this file at this time.</p><p>Too many users have viewed or downloaded this file recently. Please try
accessing the file again later.</p></body></html>"""
SIGN_IN_PAGE = """<html><head><title>Sign in</title></head><body><a href="https://accounts.google.com/ServiceLogin">
</body></html>"""


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


class Case(NamedTuple):
    """A download into an empty folder."""

    server: Server
    destination: Path
    said: list[str]
    seen: list[tuple[int, int | None]]

    def fetch(self, *routes: Route, expected: Expected = NOTHING, patience: Patience = FAST) -> Fetched:
        """Fetch from one address for each route, in order."""
        for index, route in enumerate(routes):
            self.server.routes[f"/{index}"] = route
        addresses = [Address(self.server.url(f"/{index}")) for index in range(len(routes))]
        report = Report(lambda done, total: self.seen.append((done, total)), self.said.append)
        return fetch(addresses, self.destination, expected, patience, report)

    def refusal(self, *routes: Route, expected: Expected = NOTHING, patience: Patience = FAST) -> str:
        """What is said of a file that cannot be fetched; the destination must not be there."""
        with pytest.raises(DownloadError) as caught:
            self.fetch(*routes, expected=expected, patience=patience)
        assert not self.destination.exists()
        assert self.destination.name in str(caught.value) and "\n" not in str(caught.value)
        return str(caught.value)

    def left(self) -> set[str]:
        """Names of the files in the folder."""
        return {path.name for path in self.destination.parent.iterdir()}


@pytest.fixture
def case(server: Server, tmp_path: Path) -> Case:
    return Case(server, tmp_path / "weights" / "net.pt", [], [])


def test_plain_download_is_byte_equal_and_leaves_nothing_else(case: Case) -> None:
    fetched = case.fetch(Offer(DATA))
    assert case.destination.read_bytes() == DATA
    assert fetched == Fetched(len(DATA), SHA256, case.server.url("/0"))
    assert case.left() == {"net.pt"}
    assert case.seen[-1] == (len(DATA), len(DATA)) and case.seen == sorted(case.seen)
    assert case.destination.stat().st_mode & 0o777 == 0o644


def test_a_file_that_is_there_is_checked_and_not_fetched_again(case: Case) -> None:
    case.destination.parent.mkdir()
    case.destination.write_bytes(DATA)
    assert case.fetch(Offer(OTHER), expected=Expected(sha256=SHA256)) == Fetched(len(DATA), SHA256, "")
    assert not case.server.requests
    with pytest.raises(DownloadError, match="SHA-256 .* where the manifest says"):
        case.fetch(Offer(OTHER), expected=Expected(sha256="0" * 64))
    assert case.destination.read_bytes() == DATA


@pytest.mark.parametrize(
    "offer",
    [
        Offer(DATA, drops=[100_000, 50_000]),
        Offer(DATA, drops=[100_000, 50_000], etag=None, modified="Sat, 21 Nov 2020 10:00:00 GMT"),
        Offer(DATA, drops=[100_000, 50_000], etag=None),
        Offer(DATA, drops=[100_000, 50_000], etag='W/"1"', modified="Sat, 21 Nov 2020 10:00:00 GMT"),
        Offer(DATA, drops=[1] * 12),
    ],
    ids=["etag", "date", "size", "weak etag", "byte by byte"],
)
def test_dropped_connections_are_continued(case: Case, offer: Offer) -> None:
    drops = list(offer.drops)
    case.fetch(offer)
    assert case.destination.read_bytes() == DATA
    offsets = [sum(drops[: index + 1]) for index in range(len(drops))]
    assert case.server.ranges() == [None, *(f"bytes={offset}-" for offset in offsets)]
    strong = offer.etag if offer.etag and not offer.etag.startswith("W/") else offer.modified
    assert {headers.get("If-Range") for _, headers in case.server.requests[1:]} == {strong}
    assert case.left() == {"net.pt"}
    assert all("broke off" in sentence for sentence in case.said) and len(case.said) == len(drops)


@pytest.mark.parametrize(
    "offer",
    [Offer(DATA, drops=[100_000], ranges=False), Offer(DATA, drops=[100_000], chunked=True, etag=None)],
    ids=["knows no ranges", "says no length"],
)
def test_what_cannot_be_continued_starts_anew(case: Case, offer: Offer) -> None:
    case.fetch(offer)
    assert case.destination.read_bytes() == DATA
    assert len(case.server.requests) == 2


@pytest.mark.parametrize("careful", [True, False], ids=["If-Range is looked at", "If-Range is ignored"])
def test_a_file_that_changed_meanwhile_is_not_patched_together(case: Case, careful: bool) -> None:
    changed = Offer(OTHER, etag='"2"', careful=careful)
    case.fetch(in_turn(Offer(DATA, drops=[100_000]), changed))
    assert case.destination.read_bytes() == OTHER


def test_a_changed_file_of_another_length_without_any_validator_is_noticed(case: Case) -> None:
    longer = archive(3, size=310_000)
    case.fetch(in_turn(Offer(DATA, etag=None, drops=[100_000]), Offer(longer, etag=None)))
    assert case.destination.read_bytes() == longer


def test_a_changed_file_that_is_shorter_than_the_part_is_noticed(case: Case) -> None:
    shorter = archive(3, size=50_000)
    case.fetch(in_turn(Offer(DATA, drops=[200_000]), Offer(shorter, etag='"2"', careful=False)))
    assert case.destination.read_bytes() == shorter


def test_a_part_of_one_mirror_is_not_continued_at_another(case: Case) -> None:
    case.fetch(in_turn(Offer(DATA, drops=[100_000]), status(404)), Offer(OTHER))
    assert case.destination.read_bytes() == OTHER


def test_addresses_of_one_source_share_a_part(case: Case) -> None:
    case.server.routes = {"/a": in_turn(Offer(DATA, drops=[100_000]), status(403)), "/b": Offer(DATA)}
    addresses = [Address(case.server.url(path), "drive:1") for path in ("/a", "/b")]
    fetch(addresses, case.destination, patience=FAST)
    assert case.destination.read_bytes() == DATA
    assert case.server.ranges()[-1] == "bytes=100000-"


def test_a_complete_part_needs_no_more_than_its_name(case: Case) -> None:
    case.destination.parent.mkdir()
    part = case.destination.with_name(".net.pt.part")
    part.write_bytes(DATA)
    note = {"origin": case.server.url("/0"), "etag": '"1"', "modified": None, "total": len(DATA)}
    part.with_name(".net.pt.part.json").write_text(json.dumps(note))
    case.fetch(Offer(DATA))
    assert case.destination.read_bytes() == DATA and case.left() == {"net.pt"}
    assert case.server.ranges() == [f"bytes={len(DATA)}-"]


@pytest.mark.parametrize("note", ["", "{", "[]", '{"origin": 3}', None])
def test_a_part_without_a_usable_note_is_not_trusted(case: Case, note: str | None) -> None:
    case.destination.parent.mkdir()
    case.destination.with_name(".net.pt.part").write_bytes(b"something else")
    if note is not None:
        case.destination.with_name(".net.pt.part.json").write_text(note)
    case.fetch(Offer(DATA))
    assert case.destination.read_bytes() == DATA and case.server.ranges() == [None]


def test_a_length_that_is_too_large_ends_in_a_sentence(case: Case) -> None:
    refusal = case.refusal(Offer(DATA, claimed=len(DATA) + 10))
    assert f"broke off after {len(DATA):,} of {len(DATA) + 10:,} bytes" in refusal


def test_a_length_that_is_too_small_leaves_no_file_cut_short(case: Case) -> None:
    refusal = case.refusal(Offer(DATA, claimed=len(DATA) - 10))
    assert "cut short" in refusal and "net.pt.rejected" in refusal


def test_a_size_other_than_the_known_one_is_refused_before_anything_is_read(case: Case) -> None:
    refusal = case.refusal(Offer(DATA), expected=Expected(size=7))
    assert f"{len(DATA):,} bytes where the manifest says 7" in refusal
    assert not case.seen


def test_an_unexpected_end_without_any_length_is_noticed(case: Case) -> None:
    case.fetch(Offer(DATA, chunked=True, drops=[100_000, 20_000]))
    assert case.destination.read_bytes() == DATA


def test_a_wrong_checksum_is_put_aside_and_the_next_mirror_asked(case: Case) -> None:
    case.fetch(Offer(OTHER), Offer(DATA), expected=Expected(sha256=SHA256))
    assert case.destination.read_bytes() == DATA
    assert case.destination.with_name("net.pt.rejected").read_bytes() == OTHER
    assert "SHA-256" in case.said[0] and "next address" in case.said[0]


def test_a_wrong_checksum_everywhere_ends_in_a_sentence(case: Case) -> None:
    known = Expected(sha256=SHA256, said_by="pretrained/checksums.json")
    refusal = case.refusal(Offer(OTHER), expected=known)
    assert f"where pretrained/checksums.json says {SHA256}" in refusal and "put aside as" in refusal
    assert case.left() == {"net.pt.rejected"}


@pytest.mark.parametrize(
    ("route", "reason"),
    [
        (page("<html><title>Free   downloads\n here</title>"), "a web page ('Free downloads here') in place of the"),
        (status(200, b"\n <!DOCTYPE html><p>"), "a web page in place of the file"),
        (page(QUOTA_PAGE), "download quota is used up"),
        (page(QUOTA_PAGE, code=403), "answers 403 Forbidden: says that the file's download quota is used up"),
        (page(SIGN_IN_PAGE), "asks to sign in"),
        (status(403), "answers 403 Forbidden"),
        (status(404), "answers 404 Not Found"),
        (page("<title>Gone fishing</title>", code=410), "answers 410 Gone ('Gone fishing')"),
        (status(302, Location="/0"), "answers 302"),
        (status(302, Location="file:///etc/passwd"), "answers 302"),
        (status(302, Location="ftp://127.0.0.1/net.pt"), "cannot be asked: unknown url type: ftp"),
        (status(200, b""), "is empty"),
        (status(200, b'{"error": "no such file"}'), "in none of the formats"),
        (status(200, b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"), "a Git LFS pointer"),
        (status(200, b"x", Content_Encoding="gzip"), "compressed"),
    ],
    ids=lambda value: value[:24].replace(" ", "-") if isinstance(value, str) else "",
)
def test_answers_that_are_no_file_lead_to_the_next_address(case: Case, route: Route, reason: str) -> None:
    assert reason in case.refusal(route)
    case.fetch(route, Offer(DATA))
    assert case.destination.read_bytes() == DATA
    assert len(case.server.routes) == 2 and reason in case.said[-1]


def test_a_page_in_the_middle_does_no_harm_to_what_has_arrived(case: Case) -> None:
    case.refusal(in_turn(Offer(DATA, drops=[100_000]), page(QUOTA_PAGE)))
    case.fetch(Offer(DATA))
    assert case.server.ranges()[-1] == "bytes=100000-" and case.destination.read_bytes() == DATA


@pytest.mark.parametrize("code", [429, 500, 503])
def test_passing_trouble_is_waited_out(case: Case, code: int) -> None:
    case.fetch(in_turn(status(code), status(code), Offer(DATA)))
    assert len(case.said) == 2 and f"answers {code}" in case.said[0]


def test_lasting_trouble_is_not_waited_out_for_ever(case: Case) -> None:
    assert "answers 503 Service Unavailable, 3 times in a row" in case.refusal(status(503))
    assert len(case.server.requests) == 3


def test_retry_after_is_respected(case: Case) -> None:
    start = time.monotonic()
    case.fetch(in_turn(status(429, Retry_After="1"), Offer(DATA)))
    assert time.monotonic() - start >= 1 and "again in 1 s" in case.said[0]


def test_retry_after_as_a_date_is_understood(case: Case) -> None:
    later = email.utils.formatdate(time.time() + 3600, usegmt=True)
    refusal = case.refusal(in_turn(status(429, Retry_After=later), Offer(DATA)))
    assert "asks to wait 3,6" in refusal or "asks to wait 3,5" in refusal
    assert len(case.server.requests) == 1


def test_silence_ends_at_the_timeout_and_is_continued(case: Case) -> None:
    case.fetch(in_turn(Offer(DATA, pause=2), Offer(DATA)))
    assert "nothing came within 0.5 seconds" in case.said[0] and case.server.ranges()[-1] == "bytes=8192-"
    assert case.destination.read_bytes() == DATA


def test_a_slow_server_is_no_trouble(case: Case) -> None:
    case.fetch(Offer(DATA, rate=500_000))
    assert case.destination.read_bytes() == DATA and not case.said


def test_nobody_at_home(tmp_path: Path) -> None:
    with serving() as closed:
        url = closed.url("/0")
    with pytest.raises(DownloadError, match=r"cannot be reached: .*refused.*, 3 times in a row"):
        fetch([Address(url)], tmp_path / "net.pt", patience=FAST)
    assert not list(tmp_path.iterdir())


def test_addresses_of_local_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.pt").write_bytes(DATA)
    with pytest.raises(DownloadError, match="unknown url type: file"):
        fetch([Address((tmp_path / "secret.pt").as_uri())], tmp_path / "net.pt", patience=FAST)


@pytest.mark.parametrize("method", ["get", "post"])
def test_drive_is_told_to_go_on(case: Case, server: Server, method: str) -> None:
    with serving() as other:  # Drive's form leads to another host
        other.routes["/download"] = Offer(DATA, drops=[100_000])
        case.fetch(page(CONFIRM_PAGE.format(action=other.url("/download"), method=method)))
        path, headers = other.requests[0]
        if method == "get":
            assert path == "/download?id=A1%26b&export=download&confirm=t&uuid=7f-0"
        assert headers["Host"] == other.url("").removeprefix("http://")
        assert other.ranges()[:2] == [None, "bytes=100000-"]
    assert case.destination.read_bytes() == DATA


def test_drive_that_asks_again_and_again_is_left(case: Case) -> None:
    refusal = case.refusal(page(CONFIRM_PAGE.format(action="/0", method="get")))
    assert "web page ('Google Drive - Virus scan warning')" in refusal and len(case.server.requests) == 2


def test_drives_older_page_with_a_cookie_is_understood(case: Case, server: Server) -> None:
    older = b'<html><a id="uc-download-link" href="/uc?export=download&amp;confirm=Xy1&amp;id=A1">Download anyway</a>'

    def confirmed(handler: object) -> None:
        cookie = server.requests[-1][1].get("Cookie", "")
        (Offer(DATA) if "download_warning=Xy1" in cookie else status(403))(handler)  # type: ignore[arg-type]

    server.routes["/uc"] = confirmed
    case.fetch(status(200, older, Content_Type="text/html", Set_Cookie="download_warning=Xy1; path=/"))
    assert server.requests[-1][0] == "/uc?export=download&confirm=Xy1&id=A1"
    assert case.destination.read_bytes() == DATA


def test_drives_quota_after_the_question(case: Case, server: Server) -> None:
    server.routes["/download"] = page(QUOTA_PAGE)
    assert "quota is used up" in case.refusal(page(CONFIRM_PAGE.format(action="/download", method="get")))


def test_a_form_cannot_lead_to_a_local_file(case: Case) -> None:
    assert "web page" in case.refusal(page(CONFIRM_PAGE.format(action="file:///etc/passwd", method="get")))


def test_room_is_checked_before_anything_is_written(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(ROOT)._replace(free=20_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(DownloadError, match=r"MB are needed on this disk, 20.0 MB are free"):
        case.fetch(status(200, Content_Length=40_000_000))
    assert not case.seen


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="has no disk that is always full")
def test_a_full_disk_ends_in_a_sentence(case: Case) -> None:
    case.destination.parent.mkdir()
    case.destination.with_name(".net.pt.part").symlink_to("/dev/full")
    assert "the disk is full" in case.refusal(Offer(DATA), Offer(DATA))
    assert len(case.server.requests) == 1, "another mirror does not help"


@pytest.mark.skipif(os.name == "nt", reason="limits of a process are POSIX")
def test_a_disk_that_fills_up_keeps_what_arrived(case: Case) -> None:
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, resource.RLIM_INFINITY))\n"
        "from pathlib import Path; from utils.download import *\n"
        "try: fetch([Address(sys.argv[1])], Path(sys.argv[2]))\n"
        "except DownloadError as error: sys.exit(str(error))"
    )
    case.server.routes["/0"] = Offer(DATA)
    words = [sys.executable, "-c", code, case.server.url("/0"), str(case.destination)]
    ended = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1 and "the disk is full; what has arrived is kept" in ended.stderr
    case.fetch(Offer(DATA))
    assert case.server.ranges()[-1] == "bytes=150000-" and case.destination.read_bytes() == DATA


def test_a_destination_that_cannot_be_written(case: Case, tmp_path: Path) -> None:
    (tmp_path / "weights").write_text("a file where a folder should be")
    assert "cannot be written" in case.refusal(Offer(DATA))


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="nothing is read-only for this user")
def test_a_read_only_folder(case: Case) -> None:
    case.destination.parent.mkdir()
    case.destination.parent.chmod(0o555)
    assert os.strerror(errno.EACCES) in case.refusal(Offer(DATA))


def start(url: str, destination: Path) -> subprocess.Popen[str]:
    """The same download in a process of its own."""
    code = (
        "import sys; from pathlib import Path; from utils.download import *\n"
        "fetched = fetch([Address(sys.argv[1])], Path(sys.argv[2]), report=Report(say=print))\n"
        "print('fetched' if fetched.url else 'found')"
    )
    words = [sys.executable, "-c", code, url, str(destination)]
    return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_a_killed_download_goes_on_where_it_stopped(case: Case) -> None:
    case.server.routes["/0"] = Offer(DATA, rate=100_000)
    process = start(case.server.url("/0"), case.destination)
    part = case.destination.with_name(".net.pt.part")
    deadline = time.monotonic() + 30
    while not (part.exists() and part.stat().st_size > 50_000):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    process.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
    process.communicate()
    arrived = part.stat().st_size
    assert not case.destination.exists() and 0 < arrived < len(DATA)
    case.fetch(Offer(DATA))
    assert case.server.ranges() == [None, f"bytes={arrived}-"]
    assert case.destination.read_bytes() == DATA and case.left() == {"net.pt"}


def test_two_processes_fetch_a_file_once(case: Case) -> None:
    case.server.routes["/0"] = Offer(DATA, rate=300_000)
    processes = [start(case.server.url("/0"), case.destination) for _ in range(2)]
    said = sorted(process.communicate(timeout=60)[0] for process in processes)
    assert [process.returncode for process in processes] == [0, 0]
    assert [sentence.split()[-1] for sentence in said] in (["fetched", "found"], ["found", "fetched"])
    assert len(case.server.requests) == 1
    assert case.destination.read_bytes() == DATA and case.left() == {"net.pt"}


def test_many_threads_fetch_a_file_once(case: Case) -> None:
    results: list[Fetched] = []
    slow = Offer(DATA, rate=3_000_000)
    threads = [threading.Thread(target=lambda: results.append(case.fetch(slow))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 6 and sum(bool(result.url) for result in results) == 1
    assert len(case.server.requests) == 1 and case.left() == {"net.pt"}
