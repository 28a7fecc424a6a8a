"""One large file fetched over HTTP: continued where it broke off, from the first of several addresses that has it.

What has arrived lies beside the destination as `.NAME.part`, with a note of where it came from and which version of the
file it was (ETag or date), and is renamed only when the file is whole. A part is continued only where the server
confirms that it still has that very version; otherwise the file is fetched anew.
"""

from __future__ import annotations

import email.utils
import errno
import hashlib
import http.client
import json
import os
import re
import shutil
import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import (
    BaseHandler,
    HTTPCookieProcessor,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    UnknownHandler,
)

from utils.files import write_text
from utils.locks import exclusive
from utils.paths import displayed
from utils.web_pages import is_page, read_page
from utils.wholeness import damage

_CHUNK = 1 << 18
_PAGE_LIMIT = 1 << 20  # bytes of a web page that are read
_SPARE = 1 << 24  # bytes that stay free on the disk
_PASSING = frozenset((408, 425, 429, 500, 502, 503, 504))
_FULL = frozenset((errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)))


class DownloadError(RuntimeError):
    """A file that could not be fetched; the message names it, the reason and what to do."""


class _Refused(Exception):
    """This address will not give the file; another one may."""


class _Interrupted(Exception):
    """This address may give the file (or the rest of it) when it is asked again, after `wait` seconds if it said so."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


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


class _AnyAnswer(BaseHandler):
    """Hands every answer back instead of raising: what a status means is decided in one place."""

    def http_error_default(
        self, request: Request, response: IO[bytes], code: int, message: str, headers: http.client.HTTPMessage
    ) -> IO[bytes]:
        return response


class _SafeRedirects(HTTPRedirectHandler):
    """Follows no address from an encrypted connection to an open one."""

    def redirect_request(
        self,
        req: Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> Request | None:
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise HTTPError(newurl, code, "leads from an encrypted address to an open one", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> OpenerDirector:
    """Speaks HTTP and HTTPS only (a page or a redirect cannot lead to a local file) and keeps cookies."""
    opener = OpenerDirector()
    opener.addheaders = [("User-Agent", "sdflow (scripts/download.py)"), ("Accept", "*/*")]
    for handler in (
        ProxyHandler(),
        HTTPHandler(),
        HTTPSHandler(),
        HTTPCookieProcessor(),
        _SafeRedirects(),
        _AnyAnswer(),
        HTTPErrorProcessor(),
        UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


def _retry_after(headers: http.client.HTTPMessage) -> float | None:
    """Seconds that the server asks to wait, whether it gives them as such or as a date."""
    text = headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text)
    with suppress(ValueError, TypeError):
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    return None


def _content_range(headers: http.client.HTTPMessage) -> tuple[int | None, int | None]:
    """First byte and total size of a `Content-Range` header, as far as it says."""
    match = re.fullmatch(r"\s*bytes\s+(?:(\d+)-\d+|\*)/(\d+|\*)\s*", headers.get("Content-Range", ""))
    if not match:
        return None, None
    first, total = match.groups()
    return int(first) if first else None, int(total) if total != "*" else None


class _Download:
    """Fetching one file, with its lock held."""

    def __init__(
        self, addresses: Sequence[Address], destination: Path, expected: Expected, patience: Patience, report: Report
    ) -> None:
        self.addresses, self.destination = addresses, destination
        self.expected, self.patience, self.report = expected, patience, report
        self.part = _Part.of(destination)
        self.opener = _opener()

    def run(self) -> Fetched:
        """Try the addresses one after the other."""
        reasons = []
        for address in self.addresses:
            try:
                self._persist(address)
                return self._finish(address)
            except _Refused as refusal:
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
            except _Interrupted as trouble:
                if self.part.size > furthest:
                    furthest, failures = self.part.size, 0
                failures += 1
                if failures >= self.patience.attempts:
                    raise _Refused(f"{trouble}, {failures} times in a row") from trouble
                doubled = self.patience.pause * 2 ** (failures - 1)
                wait = min(doubled, self.patience.longest_pause) if trouble.wait is None else trouble.wait
                if wait > self.patience.longest_pause:
                    raise _Refused(f"{trouble} and asks to wait {wait:,.0f} seconds") from trouble
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
        response, head = self._answer(Request(address.url, headers=headers))
        with response:
            if response.status == 416:
                if _content_range(response.headers)[1] == start == self.part.note.get("total"):
                    return  # it had arrived entirely, and only the renaming was missing
                self.part.discard()
                raise _Interrupted("has a file of another length by now", wait=0)
            total = self._place(address, response)
            self._receive(response, head, total)

    def _answer(self, request: Request) -> tuple[HTTPResponse, bytes]:
        """The answer that carries the file, with its first bytes; one page that asks for consent is answered."""
        for asked in (False, True):
            response = self._open(request)
            try:
                if response.status not in (200, 206, 416):
                    raise self._failure(response)
                head = self._read(response)
                if not is_page(response.headers.get("Content-Type", ""), b"" if response.status == 206 else head):
                    return response, head
                while len(head) < _PAGE_LIMIT and (more := self._read(response)):
                    head += more
            except BaseException:
                response.close()
                raise
            page = read_page(head)
            response.close()
            confirmation = page.confirmation(response.url)
            if asked or confirmation is None or urlsplit(confirmation[0]).scheme not in ("http", "https"):
                raise _Refused(page.reason())
            request = Request(confirmation[0], data=confirmation[1], headers=dict(request.headers))
        raise AssertionError("the second answer is returned or refused")

    def _open(self, request: Request) -> HTTPResponse:
        try:
            return self.opener.open(request, timeout=self.patience.timeout)
        except HTTPError as error:  # of redirects only: other statuses are answers
            raise _Refused(f"answers {error.code}: {' '.join(str(error.reason).split())}") from error
        except (OSError, HTTPException, ValueError) as error:  # URLError is an OSError
            reason = error.reason if isinstance(error, URLError) else error
            if isinstance(reason, str | ssl.SSLCertVerificationError | ValueError | http.client.InvalidURL):
                raise _Refused(f"cannot be asked: {reason}") from error
            raise _Interrupted(self._trouble("cannot be reached", reason)) from error

    def _failure(self, response: HTTPResponse) -> Exception:
        body = b""
        with suppress(_Interrupted):
            body = self._read(response)
        status = f"answers {response.status} {response.reason}".rstrip()
        if response.status in _PASSING:
            return _Interrupted(status, _retry_after(response.headers))
        if is_page(response.headers.get("Content-Type", ""), body):
            page = read_page(body)
            return _Refused(f"{status}{page.called()}" if "web page" in page.reason() else f"{status}: {page.reason()}")
        return _Refused(status)

    def _trouble(self, what: str, error: object) -> str:
        if isinstance(error, TimeoutError):
            return f"{what}: nothing came within {self.patience.timeout:g} seconds"
        return f"{what}: {getattr(error, 'strerror', None) or error or type(error).__name__}"

    def _read(self, response: HTTPResponse) -> bytes:
        """The next bytes of an answer; none at its end."""
        try:
            return response.read1(_CHUNK)
        except (OSError, HTTPException, ValueError) as error:  # ValueError: a chunk whose length is no number
            raise _Interrupted(self._trouble("broke off", error)) from error

    def _place(self, address: Address, response: HTTPResponse) -> int | None:
        """Make the part ready for what the answer carries; returns the size of the whole file, if the server says."""
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise _Refused("sends the file compressed, though it was asked not to")
        etag, modified = response.headers.get("ETag"), response.headers.get("Last-Modified")
        note = self.part.note
        if response.status == 206:
            first, total = _content_range(response.headers)
            same = all(new is None or new == note.get(key) for key, new in (("etag", etag), ("modified", modified)))
            if total is None and self.part.validator() is not None:
                total = note.get("total")
            if first != self.part.size or not same or total != note.get("total"):
                self.part.discard()
                raise _Interrupted("has another version of the file by now", wait=0)
        else:  # the whole file: it changed, or the server knows no ranges
            length = response.headers.get("Content-Length", "")
            total = int(length) if length.isdecimal() else None
            if self.expected.size is not None and total not in (None, self.expected.size):
                said = self.expected
                raise _Refused(f"offers a file of {total:,} bytes where {said.said_by} says {said.size:,}")
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
                chunk = self._read(response)
            os.fsync(stream.fileno())
        if total is not None and done < total:
            raise _Interrupted(f"broke off after {done:,} of {total:,} bytes")

    def _finish(self, address: Address) -> Fetched:
        """Check the complete part and give it its name; a wrong one is put aside."""
        size, sha256, problem = inspect(self.part.path, self.expected)
        if problem:
            aside = self.destination.with_name(f"{self.destination.name}.rejected")
            os.replace(self.part.path, aside)
            self.part.discard()
            raise _Refused(f"sent a file that {problem}; it was put aside as {displayed(aside)}")
        self.part.path.chmod(0o644)
        os.replace(self.part.path, self.destination)
        self.part.discard()
        return Fetched(size, sha256, address.url)
