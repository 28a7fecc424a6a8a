"""Asking web servers for files: what each answer means, and the pages that come in place of a file."""

from __future__ import annotations

import email.utils
import http.client
import re
import ssl
import time
from contextlib import suppress
from http.client import HTTPException, HTTPResponse
from typing import IO
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

from utils.web_pages import is_page, read_page

_CHUNK = 1 << 18
_PAGE_LIMIT = 1 << 20  # bytes of a web page that are read
_PASSING = frozenset((408, 425, 429, 500, 502, 503, 504))


class Refused(Exception):
    """This address will not give the file; another one may."""


class Interrupted(Exception):
    """This address may give the file (or the rest of it) when it is asked again, after `wait` seconds if it said so."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


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


def content_range(headers: http.client.HTTPMessage) -> tuple[int | None, int | None]:
    """First byte and total size of a `Content-Range` header, as far as it says."""
    match = re.fullmatch(r"\s*bytes\s+(?:(\d+)-\d+|\*)/(\d+|\*)\s*", headers.get("Content-Range", ""))
    if not match:
        return None, None
    first, total = match.groups()
    return int(first) if first else None, int(total) if total != "*" else None


class WebClient:
    """Asks for files, keeps cookies, and answers the one question that Google Drive asks before large files.

    Args:
        timeout: seconds to wait for a connection or for the next byte.
    """

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self._opener = _opener()

    def answer(self, request: Request) -> tuple[HTTPResponse, bytes]:
        """The answer that carries the file (status 200, 206 or 416), with its first bytes.

        Raises:
            Refused, Interrupted: there is none.
        """
        for asked in (False, True):
            response = self._open(request)
            try:
                if response.status not in (200, 206, 416):
                    raise self._failure(response)
                head = self.read(response)
                if not is_page(response.headers.get("Content-Type", ""), b"" if response.status == 206 else head):
                    return response, head
                while len(head) < _PAGE_LIMIT and (more := self.read(response)):
                    head += more
            except BaseException:
                response.close()
                raise
            page = read_page(head)
            response.close()
            confirmation = page.confirmation(response.url)
            if asked or confirmation is None or urlsplit(confirmation[0]).scheme not in ("http", "https"):
                raise Refused(page.reason())
            request = Request(confirmation[0], data=confirmation[1], headers=dict(request.headers))
        raise AssertionError("the second answer is returned or refused")

    def _open(self, request: Request) -> HTTPResponse:
        try:
            return self._opener.open(request, timeout=self.timeout)
        except HTTPError as error:  # of redirects only: other statuses are answers
            raise Refused(f"answers {error.code}: {' '.join(str(error.reason).split())}") from error
        except (OSError, HTTPException, ValueError) as error:  # URLError is an OSError
            reason = error.reason if isinstance(error, URLError) else error
            if isinstance(reason, str | ssl.SSLCertVerificationError | ValueError | http.client.InvalidURL):
                raise Refused(f"cannot be asked: {reason}") from error
            raise Interrupted(self._trouble("cannot be reached", reason)) from error

    def _failure(self, response: HTTPResponse) -> Exception:
        body = b""
        with suppress(Interrupted):
            body = self.read(response)
        status = f"answers {response.status} {response.reason}".rstrip()
        if response.status in _PASSING:
            return Interrupted(status, _retry_after(response.headers))
        if is_page(response.headers.get("Content-Type", ""), body):
            page = read_page(body)
            return Refused(f"{status}{page.called()}" if "web page" in page.reason() else f"{status}: {page.reason()}")
        return Refused(status)

    def _trouble(self, what: str, error: object) -> str:
        if isinstance(error, TimeoutError):
            return f"{what}: nothing came within {self.timeout:g} seconds"
        return f"{what}: {getattr(error, 'strerror', None) or error or type(error).__name__}"

    def read(self, response: HTTPResponse) -> bytes:
        """The next bytes of an answer; none at its end.

        Raises:
            Interrupted: the connection broke off.
        """
        try:
            return response.read1(_CHUNK)
        except (OSError, HTTPException, ValueError) as error:  # ValueError: a chunk whose length is no number
            raise Interrupted(self._trouble("broke off", error)) from error
