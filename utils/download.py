"""Fetching public files: gdown transfers them, this module decides from where, what may be resumed and what is right.

gdown 6 brings HTTP transfers with resume and length checks, Google Drive's confirmation pages and the contents of Drive
folders. It does not try mirrors, does not wait for a busy server (status 429 or 5xx) and saves a web page that comes in
place of a file. It also resumes any part it finds, whatever version of the file it came from: a file that was replaced
between two runs, or on a server that ignores If-Range between two requests, would become a mixture of both.

Therefore each transfer starts with a request for the first bytes. The answer says whether there is a file at all and
which version (ETag, date, size); a part of another version is deleted before gdown sees it. The part and a note of its
version are in the folder `.NAME.download` beside the destination; the file is renamed only when it is complete and
checked. gdown writes 512 KiB at a time: that much is lost when a transfer stops.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from utils import web
from utils.files import write_text
from utils.integrity import Expected, inspect
from utils.manifest import Address, drive_addresses
from utils.paths import displayed
from utils.web import Interrupted, Refused

_SPARE = 1 << 24  # bytes that stay free on the disk
_FULL = frozenset((errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)))
_NOTHING = Expected()


class DownloadError(RuntimeError):
    """A file that could not be fetched; the message names it, the reason and what to do."""


@dataclass(frozen=True)
class Patience:
    """How long to try.

    Attributes:
        timeout: seconds to wait for a connection or for the next byte.
        attempts: failures of one address in a row, without progress, after which it is given up.
        pause: seconds before the second attempt; doubles each time.
        longest_pause: an address that asks to wait longer is given up.
    """

    timeout: float = 30.0
    attempts: int = 5
    pause: float = 1.0
    longest_pause: float = 120.0


@dataclass(frozen=True)
class Report:
    """Where a download reports what it does.

    Attributes:
        progress: called with the bytes that have arrived and those of the whole file (None if not known).
        say: called with a sentence when it waits, tries again or tries another address.
    """

    progress: Callable[[int, int | None], None] = lambda done, total: None
    say: Callable[[str], object] = lambda sentence: None


@dataclass(frozen=True)
class Fetched:
    """A file that is complete and checked.

    Attributes:
        url: where it came from; empty where it existed already.
    """

    size: int
    sha256: str
    url: str


def check_room(folder: Path, needed: int) -> None:
    """Check that `needed` more bytes fit on the disk.

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
    expected: Expected = _NOTHING,
    patience: Patience = Patience(),
    report: Report = Report(),
) -> Fetched:
    """Fetch a file to `destination`; one that exists already is only checked.

    The addresses are tried in order. A complete file that is not the expected one is kept as `NAME.rejected`. If
    several processes want the same file, one fetches it and the others wait.

    Raises:
        DownloadError: no address has it, the disk is full or cannot be written, or the existing file is another one.
    """
    lock = FileLock(destination.with_name(f".{destination.name}.lock"))
    try:
        if not destination.is_file():
            destination.parent.mkdir(parents=True, exist_ok=True)
            try:
                held = lock.acquire(blocking=False)
            except Timeout:
                report.say(f"another process fetches {destination.name}: waiting for it")
                held = lock.acquire()
            with held:
                if not destination.is_file():
                    return _Download(addresses, destination, expected, patience, report).run()
        size, sha256, problem = inspect(destination, expected)
    except OSError as error:
        raise _local_failure(error, destination) from error
    if problem:
        raise DownloadError(f"{displayed(destination)}: {problem}; move it away to fetch it again")
    return Fetched(size, sha256, "")


def _local_failure(error: OSError, path: Path) -> DownloadError:
    if error.errno in _FULL:
        return DownloadError(
            f"{displayed(path)}: the disk is full; what has arrived is kept: make room and run the same command again"
        )
    return DownloadError(f"{displayed(path)}: cannot be written: {error.strerror or error}")


class _Download:
    """Fetching one file, with its lock held."""

    def __init__(
        self, addresses: Sequence[Address], destination: Path, expected: Expected, patience: Patience, report: Report
    ) -> None:
        self.addresses, self.destination = addresses, destination
        self.expected, self.patience, self.report = expected, patience, report
        self.folder = destination.with_name(f".{destination.name}.download")
        self.file, self.note = self.folder / "file", self.folder / "version.json"

    def run(self) -> Fetched:
        """Try the addresses one after the other; a folder's is replaced by those of the file in it."""
        left, reasons = list(self.addresses), []
        while left:
            address = left.pop(0)
            try:
                if address.names:
                    left[:0] = self._persist(address, self._find_in_folder)
                    continue
                self._persist(address, self._transfer)
                return self._finish(address.url)
            except Refused as refusal:
                reasons.append(f"{address.url} {refusal}")
                if left:
                    self.report.say(f"{reasons[-1]}; trying the next address")
        reasons = reasons or ["its publishers offer it on web pages only, not as a file"]
        raise DownloadError(f"{displayed(self.destination)}: not fetched: {'; '.join(reasons)}")

    def _persist(self, address: Address, step: Callable[[Address], Any]) -> Any:
        """Repeat a step until it succeeds or fails too often in a row without any new bytes."""
        furthest, failures = self._arrived(), 0
        while True:
            try:
                return step(address)
            except Interrupted as trouble:
                arrived = self._arrived()
                failures = 1 if arrived > furthest else failures + 1
                furthest = max(furthest, arrived)
                if failures >= self.patience.attempts:
                    raise Refused(f"{trouble}, {failures} times in a row") from trouble
                doubled = self.patience.pause * 2 ** (failures - 1)
                wait = min(doubled, self.patience.longest_pause) if trouble.wait is None else trouble.wait
                if wait > self.patience.longest_pause:
                    raise Refused(f"{trouble} and asks to wait {wait:,.0f} seconds") from trouble
                self.report.say(f"{address.url} {trouble}; again in {wait:.3g} s")
                time.sleep(wait)

    def _arrived(self) -> int:
        """Bytes of the part: gdown calls it `file`, eight random characters and `.part`, and `file` when complete."""
        return sum(path.stat().st_size for path in self.folder.glob("file*"))

    def _find_in_folder(self, address: Address) -> tuple[Address, ...]:
        return drive_addresses(web.find_in_folder(address.url, address.names, self.patience.timeout))

    def _transfer(self, address: Address) -> None:
        """Fetch a file, or the rest of it if the part beside it is of the version that is served now."""
        url, patience, known = address.url, self.patience, self.expected
        offer = web.look(url, patience.timeout)
        if known.size is not None and offer.size not in (None, known.size):
            raise Refused(f"offers a file of {offer.size:,} bytes where {known.said_by} says {known.size:,}")
        note = {"url": url, **offer.version}
        if not offer.version or note != self._noted():
            shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(exist_ok=True)
        size = known.size if offer.size is None else offer.size
        if size is not None:
            check_room(self.folder, size - self._arrived())
        write_text(self.note, json.dumps(note))
        web.transfer(offer.url, self.file, patience.timeout, self.report.progress)

    def _noted(self) -> object:
        with suppress(OSError, ValueError):
            return json.loads(self.note.read_text(encoding="utf-8"))
        return None

    def _finish(self, url: str) -> Fetched:
        """Check the complete file and give it its name; a wrong one is put aside."""
        size, sha256, problem = inspect(self.file, self.expected)
        if problem:
            aside = self.destination.with_name(f"{self.destination.name}.rejected")
            os.replace(self.file, aside)
            shutil.rmtree(self.folder)
            raise Refused(f"sent a file that {problem}; it was put aside as {displayed(aside)}")
        with self.file.open("rb+") as stream:
            os.fsync(stream.fileno())
        self.file.chmod(0o644)
        os.replace(self.file, self.destination)
        shutil.rmtree(self.folder)
        return Fetched(size, sha256, url)

