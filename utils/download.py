"""One large file fetched over HTTP: continued where it broke off, from the first of several addresses that has it.

What has arrived lies beside the destination as `.NAME.part`, with a note of where it came from and which version of the
file it was (ETag or date), and is renamed only when the file is whole. A part is continued only where the server
confirms that it still has that very version; otherwise the file is fetched anew.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPResponse
from pathlib import Path
from typing import Any
from urllib.request import Request

from utils.files import write_text
from utils.integrity import damage
from utils.locks import exclusive
from utils.paths import displayed
from utils.web_client import Interrupted, Refused, WebClient, content_range

_SPARE = 1 << 24  # bytes that stay free on the disk
_FULL = frozenset((errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)))


class DownloadError(RuntimeError):
    """A file that could not be fetched; the message names it, the reason and what to do."""


@dataclass(frozen=True)
class Address:
    """Where a file is offered.

    Attributes:
        source: what a part is continued from: addresses with one source serve the same file. By default the URL.
    """

    url: str
    source: str = ""

    @property
    def origin(self) -> str:
        return self.source or self.url


@dataclass(frozen=True)
class Expected:
    """What is known of a file beforehand.

    Attributes:
        size: in bytes.
        sha256: in hexadecimal.
        said_by: who knows, for messages.
    """

    size: int | None = None
    sha256: str | None = None
    said_by: str = "the manifest"

    def difference(self, size: int, sha256: str) -> str | None:
        """How a file differs from it, as the end of a sentence; nothing where it does not."""
        if self.size is not None and size != self.size:
            return f"has {size:,} bytes where {self.said_by} says {self.size:,}"
        if self.sha256 is not None and sha256 != self.sha256:
            return f"has the SHA-256 {sha256} where {self.said_by} says {self.sha256}"
        return None


@dataclass(frozen=True)
class Patience:
    """How long to try.

    Attributes:
        timeout: seconds to wait for a connection or for the next byte.
        attempts: requests to one address in a row that bring the file no further.
        pause: seconds before the second of them; doubles each time.
        longest_pause: an address that asks to wait longer is given up.
    """

    timeout: float = 30.0
    attempts: int = 5
    pause: float = 1.0
    longest_pause: float = 120.0


@dataclass(frozen=True)
class Report:
    """Where a download says how it goes.

    Attributes:
        progress: called with the bytes that are there and those of the whole file (if known).
        say: called with a sentence when something is tried again or elsewhere.
    """

    progress: Callable[[int, int | None], object] = lambda done, total: None
    say: Callable[[str], object] = lambda sentence: None


@dataclass(frozen=True)
class Fetched:
    """A file that is there.

    Attributes:
        url: where it came from; empty where it was there already.
    """

    size: int
    sha256: str
    url: str


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def inspect(path: Path, expected: Expected) -> tuple[int, str, str | None]:
    """Size and SHA-256 of a weight file, and why it is not the expected one (as the end of a sentence) if it is not.

    Raises:
        OSError: it cannot be read.
    """
    size, sha256 = path.stat().st_size, file_sha256(path)
    return size, sha256, damage(path) or expected.difference(size, sha256)


def check_room(folder: Path, needed: int) -> None:
    """See whether `needed` bytes more fit on the disk.

    Raises:
        DownloadError: they do not.
    """
    free = shutil.disk_usage(folder).free
    if needed + _SPARE > free:
        wanted, there = (f"{(count + 99_999) // 100_000 / 10:,.1f} MB" for count in (needed + _SPARE, free))
        raise DownloadError(f"{displayed(folder)}: {wanted} are needed on this disk, {there} are free; make room first")


def fetch(
    addresses: Sequence[Address],
    destination: Path,
    expected: Expected = Expected(),
    patience: Patience = Patience(),
    report: Report = Report(),
) -> Fetched:
    """Bring a file to `destination`; one that is there already is only checked.

    The addresses are tried in order. A file that arrives whole but is not the expected one is kept as
    `NAME.rejected`. Several processes may fetch one file: the first does, the others wait for it.

    Raises:
        DownloadError: no address has it, the disk is full or cannot be written, or what is there is another file.
    """
    lock = destination.with_name(f".{destination.name}.lock")
    try:
        if not destination.is_file():
            destination.parent.mkdir(parents=True, exist_ok=True)
            with exclusive(lock, lambda: report.say(f"another process fetches {destination.name}: waiting for it")):
                if not destination.is_file():
                    return _Download(addresses, destination, expected, patience, report).run()
        size, sha256, problem = inspect(destination, expected)
    except OSError as error:
        raise _local_failure(error, destination) from error
    if problem:
        raise DownloadError(f"{displayed(destination)}: {problem}; move it away to have it fetched anew")
    return Fetched(size, sha256, "")


def _local_failure(error: OSError, path: Path) -> DownloadError:
    if error.errno in _FULL:
        return DownloadError(
            f"{displayed(path)}: the disk is full; what has arrived is kept: make room and give the same command again"
        )
    return DownloadError(f"{displayed(path)}: cannot be written: {error.strerror or error}")


@dataclass
class _Part:
    """What has arrived of a file, and the note about it: `origin`, `etag`, `modified`, `total`."""

    path: Path
    note_path: Path
    note: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, destination: Path) -> _Part:
        path = destination.with_name(f".{destination.name}.part")
        part = cls(path, path.with_name(f"{path.name}.json"))
        with suppress(OSError, ValueError):
            note = json.loads(part.note_path.read_text(encoding="utf-8"))
            part.note = note if isinstance(note, dict) else {}
        return part

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def begin(self, note: dict[str, Any]) -> None:
        """Start anew: nothing has arrived."""
        self.path.write_bytes(b"")
        self.note = note
        write_text(self.note_path, json.dumps(note))

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.note_path.unlink(missing_ok=True)
        self.note = {}

    def validator(self) -> str | None:
        """What names this version of the file to the server: weak ETags do not."""
        etag = self.note.get("etag")
        return etag if etag and not etag.startswith("W/") else self.note.get("modified")

    def kept(self, origin: str) -> int:
        """Bytes that a request to `origin` may ask to be continued."""
        known = self.validator() is not None or self.note.get("total") is not None
        return self.size if known and self.note.get("origin") == origin else 0


class _Download:
    """Fetching one file, with its lock held."""

    def __init__(
        self, addresses: Sequence[Address], destination: Path, expected: Expected, patience: Patience, report: Report
    ) -> None:
        self.addresses, self.destination = addresses, destination
        self.expected, self.patience, self.report = expected, patience, report
        self.part = _Part.of(destination)
        self.client = WebClient(patience.timeout)

    def run(self) -> Fetched:
        """Try the addresses one after the other."""
        reasons = []
        for address in self.addresses:
            try:
                self._persist(address)
                return self._finish(address)
            except Refused as refusal:
                reasons.append(f"{address.url} {refusal}")
                if len(reasons) < len(self.addresses):
                    self.report.say(f"{reasons[-1]}; trying the next address")
        raise DownloadError(f"{displayed(self.destination)}: not fetched: " + "; ".join(reasons or ["no address"]))

    def _persist(self, address: Address) -> None:
        """Ask one address until the part is complete, or until it brings nothing more."""
        furthest, failures = self.part.kept(address.origin), 0
        while True:
            try:
                return self._request(address)
            except Interrupted as trouble:
                if self.part.size > furthest:
                    furthest, failures = self.part.size, 0
                failures += 1
                if failures >= self.patience.attempts:
                    raise Refused(f"{trouble}, {failures} times in a row") from trouble
                doubled = self.patience.pause * 2 ** (failures - 1)
                wait = min(doubled, self.patience.longest_pause) if trouble.wait is None else trouble.wait
                if wait > self.patience.longest_pause:
                    raise Refused(f"{trouble} and asks to wait {wait:,.0f} seconds") from trouble
                self.report.say(f"{address.url} {trouble}; again in {wait:.3g} s")
                time.sleep(wait)

    def _request(self, address: Address) -> None:
        """One request; returns when the part is complete as far as the server's numbers tell."""
        start = self.part.kept(address.origin)
        headers = {"Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
            if validator := self.part.validator():
                headers["If-Range"] = validator
        response, head = self.client.answer(Request(address.url, headers=headers))
        with response:
            if response.status == 416:
                if content_range(response.headers)[1] == start == self.part.note.get("total"):
                    return  # it had arrived entirely, and only the renaming was missing
                self.part.discard()
                raise Interrupted("has a file of another length by now", wait=0)
            total = self._place(address, response)
            self._receive(response, head, total)

    def _place(self, address: Address, response: HTTPResponse) -> int | None:
        """Make the part ready for what the answer carries; returns the size of the whole file, if the server says."""
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise Refused("sends the file compressed, though it was asked not to")
        etag, modified = response.headers.get("ETag"), response.headers.get("Last-Modified")
        note = self.part.note
        if response.status == 206:
            first, total = content_range(response.headers)
            same = all(new is None or new == note.get(key) for key, new in (("etag", etag), ("modified", modified)))
            if total is None and self.part.validator() is not None:
                total = note.get("total")
            if first != self.part.size or not same or total != note.get("total"):
                self.part.discard()
                raise Interrupted("has another version of the file by now", wait=0)
        else:  # the whole file: it changed, or the server knows no ranges
            length = response.headers.get("Content-Length", "")
            total = int(length) if length.isdecimal() else None
            if self.expected.size is not None and total not in (None, self.expected.size):
                said = self.expected
                raise Refused(f"offers a file of {total:,} bytes where {said.said_by} says {said.size:,}")
            self.part.begin({"origin": address.origin, "etag": etag, "modified": modified, "total": total})
        needed = total if total is not None else self.expected.size
        if needed is not None:
            check_room(self.destination.parent, needed - self.part.size)
        return total

    def _receive(self, response: HTTPResponse, head: bytes, total: int | None) -> None:
        """Append what arrives to the part, chunk by chunk: it survives the end of this process at any moment."""
        done, chunk = self.part.size, head
        with self.part.path.open("ab") as stream:
            while chunk:
                done += stream.write(chunk)
                stream.flush()
                self.report.progress(done, total)
                chunk = self.client.read(response)
            os.fsync(stream.fileno())
        if total is not None and done < total:
            raise Interrupted(f"broke off after {done:,} of {total:,} bytes")

    def _finish(self, address: Address) -> Fetched:
        """Check the complete part and give it its name; a wrong one is put aside."""
        size, sha256, problem = inspect(self.part.path, self.expected)
        if problem:
            aside = self.destination.with_name(f"{self.destination.name}.rejected")
            os.replace(self.part.path, aside)
            self.part.discard()
            raise Refused(f"sent a file that {problem}; it was put aside as {displayed(aside)}")
        self.part.path.chmod(0o644)
        os.replace(self.part.path, self.destination)
        self.part.discard()
        return Fetched(size, sha256, address.url)
