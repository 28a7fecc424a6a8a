"""Downloads from a server on loopback that misbehaves in every way that file hosts do."""

from __future__ import annotations

import email.utils
import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.utils.loopback import Offer, Route, Server, archive, in_turn, page, replaced, serving, status
from utils.download import DownloadError, Fetched, Patience, Report, fetch
from utils.integrity import Expected
from utils.manifest import Address
from utils.paths import ROOT

CHUNK = 512 * 1024  # gdown writes so many bytes at once
DATA, OTHER = archive(1), archive(2)
LARGE, LARGE_OTHER = archive(1, size=4 * CHUNK), archive(2, size=4 * CHUNK)
FAST = Patience(timeout=0.5, attempts=3, pause=0.01, longest_pause=2)
NOTHING = Expected()
SHA256 = hashlib.sha256(DATA).hexdigest()
PART = ".net.pt.download"
DATE = "Sat, 21 Nov 2020 10:00:00 GMT"

QUOTA_PAGE = """<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title></head><body>
<p class="uc-error-caption">Sorry, you can&#39;t view or download this file at this time.</p>
<p class="uc-error-subcaption">Too many users have viewed or downloaded this file recently. Please try accessing the
file again later.</p></body></html>"""
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
        """Names of the files in the folder, without the lock file, which stays."""
        return {path.name for path in self.destination.parent.iterdir()} - {".net.pt.lock"}

    def arrived(self) -> int:
        """Bytes of the part."""
        return sum(path.stat().st_size for path in (self.destination.parent / PART).glob("file*") if path.exists())


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
    "keywords",
    [{}, {"etag": None, "modified": DATE}, {"etag": None}, {"etag": 'W/"1"', "modified": DATE}, {"chunked": True}],
    ids=["etag", "date", "size", "weak etag", "no length"],
)
def test_dropped_connections_are_continued(case: Case, keywords: dict[str, object]) -> None:
    # of each resumed transfer, gdown first asks for the whole file, then for the rest
    offer = Offer(LARGE, drops=[CHUNK + 10_000, None, CHUNK + 10_000], **keywords)  # type: ignore[arg-type]
    case.fetch(offer)
    assert case.destination.read_bytes() == LARGE
    if not offer.chunked:  # of those, whatever has arrived is kept
        assert case.server.resumed() == [CHUNK, 2 * CHUNK]
    assert len(case.server.resumed()) == 2
    strong = offer.etag if offer.etag and not offer.etag.startswith("W/") else offer.modified
    rests = [headers for _, headers in case.server.requests if headers.get("Range", "").endswith("-")]
    assert {headers.get("If-Range") for headers in rests} == {strong}
    assert case.left() == {"net.pt"}
    assert all("Download is incomplete" in sentence for sentence in case.said) and len(case.said) == 2


def test_progress_resets_the_count_of_failures(case: Case) -> None:
    drops = [CHUNK + 1, None, CHUNK + 1, None, CHUNK + 1]
    case.fetch(Offer(LARGE, drops=list(drops)), patience=replace(FAST, attempts=2))
    assert case.destination.read_bytes() == LARGE


def test_a_server_that_drops_every_connection_at_once_is_given_up(case: Case) -> None:
    assert "3 times in a row" in case.refusal(Offer(LARGE, drops=[1] * 20))
    assert len(case.said) == 2


def test_a_server_without_ranges_starts_again(case: Case) -> None:
    case.fetch(Offer(LARGE, drops=[CHUNK + 10_000], ranges=False))
    assert case.destination.read_bytes() == LARGE
    assert case.server.transfers() == 2 and not case.server.resumed()


@pytest.mark.parametrize("careful", [True, False], ids=["If-Range is looked at", "If-Range is ignored"])
def test_a_file_that_changed_meanwhile_is_not_patched_together(case: Case, careful: bool) -> None:
    changed = Offer(LARGE_OTHER, etag='"2"', careful=careful)
    case.fetch(replaced(Offer(LARGE, drops=[CHUNK + 10_000]), changed))
    assert case.destination.read_bytes() == LARGE_OTHER


@pytest.mark.parametrize("careful", [True, False], ids=["If-Range is looked at", "If-Range is ignored"])
def test_a_file_that_changed_between_two_runs_is_not_patched_together(case: Case, careful: bool) -> None:
    case.refusal(Offer(LARGE, drops=[CHUNK + 10_000]), patience=replace(FAST, attempts=1))
    assert case.arrived() == CHUNK
    case.fetch(Offer(LARGE_OTHER, etag='"2"', careful=careful))
    assert case.destination.read_bytes() == LARGE_OTHER


def test_a_changed_file_of_another_length_without_any_validator_is_noticed(case: Case) -> None:
    longer = archive(3, size=4 * CHUNK + 10)
    case.fetch(replaced(Offer(LARGE, etag=None, drops=[CHUNK + 10_000]), Offer(longer, etag=None)))
    assert case.destination.read_bytes() == longer


def test_a_changed_file_that_is_shorter_than_the_part_is_noticed(case: Case) -> None:
    shorter = archive(3, size=50_000)
    case.fetch(replaced(Offer(LARGE, drops=[CHUNK + 10_000]), Offer(shorter, etag='"2"', careful=False)))
    assert case.destination.read_bytes() == shorter


def test_a_part_of_one_mirror_is_not_continued_at_another(case: Case) -> None:
    case.fetch(replaced(Offer(LARGE, drops=[CHUNK + 10_000]), status(404)), Offer(LARGE_OTHER))
    assert case.destination.read_bytes() == LARGE_OTHER


def leave_part(case: Case, name: str, content: bytes, note: str | None) -> None:
    """What an earlier run left."""
    folder = case.destination.parent / PART
    folder.mkdir(parents=True)
    (folder / name).write_bytes(content)
    if note is not None:
        (folder / "version.json").write_text(note)


def test_a_complete_part_needs_no_more_than_its_name(case: Case) -> None:
    note = {"url": case.server.url("/0"), "etag": '"1"', "size": len(DATA)}
    leave_part(case, "file", DATA, json.dumps(note))
    case.fetch(Offer(DATA))
    assert case.destination.read_bytes() == DATA and case.left() == {"net.pt"}
    assert not case.seen and not case.server.resumed()


@pytest.mark.parametrize("note", ["", "{", "[]", '{"url": 3}', None])
@pytest.mark.parametrize("name", ["file", "fileabcdefgh.part"])
def test_a_part_without_a_usable_note_is_not_trusted(case: Case, name: str, note: str | None) -> None:
    leave_part(case, name, b"something else", note)
    case.fetch(Offer(DATA))
    assert case.destination.read_bytes() == DATA and case.server.resumed() == []


def test_a_length_that_is_too_large_ends_in_a_sentence(case: Case) -> None:
    refusal = case.refusal(Offer(DATA, claimed=len(DATA) + 10))
    assert f"the server announced {len(DATA) + 10} bytes, 3 times in a row" in refusal


def test_a_length_that_is_too_small_leaves_no_file_cut_short(case: Case) -> None:
    refusal = case.refusal(Offer(DATA, claimed=len(DATA) - 10))
    assert "cut short" in refusal and "net.pt.rejected" in refusal


def test_a_size_other_than_the_known_one_is_refused_before_anything_is_read(case: Case) -> None:
    refusal = case.refusal(Offer(DATA), expected=Expected(size=7))
    assert f"{len(DATA):,} bytes where the manifest says 7" in refusal
    assert case.server.transfers() == 0


def test_an_unexpected_end_without_any_length_is_noticed(case: Case) -> None:
    case.fetch(Offer(DATA, chunked=True, etag=None, ranges=False, drops=[100_000, 20_000]))
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
        (page(QUOTA_PAGE), "a web page ('Google Drive - Quota exceeded') in place of the file"),
        (page(QUOTA_PAGE, code=403), "answers 403 Forbidden ('Google Drive - Quota exceeded')"),
        (page(SIGN_IN_PAGE), "a web page ('Sign in')"),
        (status(403), "answers 403 Forbidden"),
        (status(404), "answers 404 Not Found"),
        (page("<title>Gone fishing</title>", code=410), "answers 410 Gone ('Gone fishing')"),
        (status(302, Location="/0"), "cannot be asked: Exceeded 30 redirects"),
        (status(302, Location="file:///etc/passwd"), "cannot be asked: No connection adapters"),
        (status(302, Location="ftp://127.0.0.1/net.pt"), "cannot be asked: No connection adapters"),
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
    case.refusal(replaced(Offer(LARGE, drops=[CHUNK + 10_000]), page(QUOTA_PAGE)))
    case.fetch(Offer(LARGE))
    assert case.server.resumed() == [CHUNK] and case.destination.read_bytes() == LARGE


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
    case.fetch(in_turn(Offer(LARGE), Offer(LARGE, pause=2), Offer(LARGE)))
    assert "nothing came within 0.5 seconds" in case.said[0] and len(case.said) == 1
    assert len(case.server.resumed()) == 1 and case.destination.read_bytes() == LARGE


def test_a_slow_server_is_no_trouble(case: Case) -> None:
    case.fetch(Offer(DATA, rate=500_000))
    assert case.destination.read_bytes() == DATA and not case.said


def test_nobody_at_home(tmp_path: Path) -> None:
    with serving() as closed:
        url = closed.url("/0")
    with pytest.raises(DownloadError, match=r"cannot be read: .*refused.*, 3 times in a row"):
        fetch([Address(url)], tmp_path / "net.pt", patience=FAST)
    assert {path.name for path in tmp_path.iterdir()} <= {".net.pt.lock"}


def test_addresses_of_local_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.pt").write_bytes(DATA)
    with pytest.raises(DownloadError, match="cannot be asked: No connection adapters"):
        fetch([Address((tmp_path / "secret.pt").as_uri())], tmp_path / "net.pt", patience=FAST)


def test_room_is_checked_before_anything_is_written(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(ROOT)._replace(free=20_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(DownloadError, match=r"MB are needed on this disk, 20.0 MB are free"):
        case.fetch(status(206, b"PK", Content_Range="bytes 0-1/40000000"))
    assert not case.seen and case.server.transfers() == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="has no disk that is always full")
def test_a_full_disk_ends_in_a_sentence(case: Case) -> None:
    note = {"url": case.server.url("/0"), "etag": '"1"', "size": len(DATA)}
    leave_part(case, "other", b"", json.dumps(note))
    (case.destination.parent / PART / "fileabcdefgh.part").symlink_to("/dev/full")
    assert "the disk is full" in case.refusal(Offer(DATA), Offer(DATA))
    assert case.server.transfers() == 1, "another mirror does not help"


@pytest.mark.skipif(os.name == "nt", reason="limits of a process are POSIX")
def test_a_disk_that_fills_up_keeps_what_arrived(case: Case) -> None:
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, resource.RLIM_INFINITY))\n"
        "from pathlib import Path; from utils.download import *; from utils.manifest import Address\n"
        "try: fetch([Address(sys.argv[1])], Path(sys.argv[2]))\n"
        "except DownloadError as error: sys.exit(str(error))"
    )
    case.server.routes["/0"] = Offer(DATA)
    words = [sys.executable, "-c", code, case.server.url("/0"), str(case.destination)]
    ended = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1 and "the disk is full; what has arrived is kept" in ended.stderr
    case.fetch(Offer(DATA))
    assert case.server.resumed() == [150_000] and case.destination.read_bytes() == DATA


def test_a_destination_that_cannot_be_written(case: Case, tmp_path: Path) -> None:
    (tmp_path / "weights").write_text("a file where a folder should be")
    assert "cannot be written" in case.refusal(Offer(DATA))


@pytest.mark.skipif(os.name == "nt", reason="permissions of folders are POSIX")
def test_a_read_only_folder() -> None:
    folder, user = Path(tempfile.mkdtemp()), os.geteuid()  # pytest's own folders are closed to other users
    folder.chmod(0o555)
    try:
        if user == 0:  # nothing is read-only for root
            os.seteuid(65534)
        with pytest.raises(DownloadError, match=os.strerror(errno.EACCES)):
            fetch([Address("http://127.0.0.1:9/net.pt")], folder / "net.pt", patience=FAST)
    finally:
        os.seteuid(user)
        folder.rmdir()


def start(url: str, destination: Path) -> subprocess.Popen[str]:
    """The same download in a process of its own."""
    code = (
        "import sys; from pathlib import Path; from utils.download import *; from utils.manifest import Address\n"
        "fetched = fetch([Address(sys.argv[1])], Path(sys.argv[2]), report=Report(say=print))\n"
        "print('fetched' if fetched.url else 'found')"
    )
    words = [sys.executable, "-c", code, url, str(destination)]
    return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def wait_for_part(case: Case, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not case.arrived():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)


def test_a_killed_download_goes_on_where_it_stopped(case: Case) -> None:
    case.server.routes["/0"] = Offer(LARGE, rate=1_000_000)
    process = start(case.server.url("/0"), case.destination)
    wait_for_part(case, process)
    process.kill()
    process.communicate()
    arrived = case.arrived()
    assert not case.destination.exists() and 0 < arrived < len(LARGE)
    case.fetch(Offer(LARGE))
    assert case.server.resumed() == [arrived]
    assert case.destination.read_bytes() == LARGE and case.left() == {"net.pt"}


def test_a_killed_download_is_taken_over_by_the_process_that_waits(case: Case) -> None:
    case.server.routes["/0"] = Offer(LARGE, rate=1_000_000)
    holder = start(case.server.url("/0"), case.destination)
    wait_for_part(case, holder)
    waiting = start(case.server.url("/0"), case.destination)
    assert waiting.stdout is not None
    assert waiting.stdout.readline() == "another process fetches net.pt: waiting for it\n"
    case.server.routes["/0"] = Offer(LARGE)
    holder.kill()
    holder.communicate()
    assert waiting.communicate(timeout=60)[0].split()[-1] == "fetched"
    assert case.destination.read_bytes() == LARGE and len(case.server.resumed()) == 1


def test_two_processes_fetch_a_file_once(case: Case) -> None:
    case.server.routes["/0"] = Offer(DATA, rate=300_000)
    processes = [start(case.server.url("/0"), case.destination) for _ in range(2)]
    said = sorted(process.communicate(timeout=60)[0] for process in processes)
    assert [process.returncode for process in processes] == [0, 0]
    assert [sentence.split()[-1] for sentence in said] in (["fetched", "found"], ["found", "fetched"])
    assert case.server.transfers() == 1
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
    assert case.server.transfers() == 1 and case.left() == {"net.pt"}
