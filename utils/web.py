"""Requests to web servers and Google Drive, by requests and gdown: what an address serves, and its transfer to a file.

Whatever goes wrong ends in one of two exceptions: `Refused` (another address may help) or `Interrupted` (the same
address may help later).
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePath

import gdown
import requests
from gdown.download import get_url_from_gdrive_confirmation
from gdown.parse_url import is_google_drive_url
from urllib3.exceptions import InvalidHeader
from urllib3.util import Retry

from utils.integrity import is_page, page_title

_FIRST_BYTES, _PAGE_LIMIT = 4096, 1 << 20
_BUSY = frozenset((408, 425, 429, 500, 502, 503, 504))


class Refused(Exception):
    """This address does not have the file; another one may."""


class Interrupted(Exception):
    """This address may have the file (or the rest of it) when asked again, after `wait` seconds if it said so."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


@dataclass(frozen=True)
class Offer:
    """What an address serves at present.

    Attributes:
        url: of the file itself, behind redirects and Google Drive's confirmation page.
        version: ETag, date and size, to tell the file from another one at the same address later; empty where they are
            not known or the server does not resume.
        size: of the whole file in bytes.
    """

    url: str
    version: dict[str, str | int]
    size: int | None


def look(url: str, timeout: float, confirmed: bool = False) -> Offer:
    """Ask for the first bytes of a file.

    Args:
        confirmed: whether Drive's confirmation page was answered already.
    Raises:
        Refused, Interrupted: there is no file; says what there is instead.
    """
    headers = {"Range": f"bytes=0-{_FIRST_BYTES - 1}", "Accept-Encoding": "identity", "User-Agent": "sdflow"}
    with _web_errors(timeout), requests.get(url, headers=headers, stream=True, timeout=timeout) as response:
        steps = (*response.history, response)
        if url.startswith("https:") and not all(step.url.startswith("https:") for step in steps):
            raise Refused("leads from an encrypted address to an unencrypted one")
        received = response.headers
        if received.get("Content-Encoding", "identity") != "identity":
            raise Refused("sends the file compressed, though it was asked not to")
        chunks = response.iter_content(_FIRST_BYTES)
        head = next(chunks, b"")
        page = head if is_page(received.get("Content-Type", ""), head) else None
        while page is not None and len(page) < _PAGE_LIMIT and (chunk := next(chunks, b"")):
            page += chunk
        if response.status_code not in (200, 206):
            raise _status_error(response, page_title(page or b""))
        if page is not None and is_google_drive_url(url) and not confirmed:
            return look(get_url_from_gdrive_confirmation(page.decode("utf-8", "replace")), timeout, confirmed=True)
        if page is not None:
            raise Refused(f"answers with a web page{page_title(page)} in place of the file")
    resumes = response.status_code == 206
    digits = re.search(r"\d+$", received.get("Content-Range" if resumes else "Content-Length", ""))
    size = int(digits.group()) if digits else None
    known = {"etag": received.get("ETag"), "modified": received.get("Last-Modified"), "size": size}
    version = {key: value for key, value in known.items() if value is not None} if resumes else {}
    return Offer(response.url, version, size)


def transfer(url: str, file: Path, timeout: float, progress: Callable[[int, int | None], None]) -> None:
    """Fetch a file, or the rest of it if gdown's part of it is beside `file`.

    Args:
        progress: called with the bytes that have arrived and those of the whole file (None if not known).
    Raises:
        Refused, Interrupted: it is not complete.
        OSError: it cannot be written.
    """
    with _web_errors(timeout):
        gdown.download(url, str(file), quiet=True, use_cookies=False, resume=True, timeout=timeout, progress=progress)


def find_in_folder(url: str, names: tuple[str, ...], timeout: float) -> str:
    """The id of the file with one of some names in a folder on Google Drive, or in a folder below it.

    Raises:
        Refused, Interrupted: the folder cannot be listed, or holds no such file or several.
    """
    with _web_errors(timeout):
        entries = gdown.download_folder(url=url, skip_download=True, quiet=True, use_cookies=False, timeout=timeout)
    files = [(PurePath(entry.path).name, str(entry.id)) for entry in entries if not isinstance(entry, str)]
    found = {identity for name, identity in files if name in names}
    if len(found) != 1:
        held = ", ".join(sorted(name for name, _ in files)) or "nothing"
        raise Refused(f"holds {'several files' if found else 'no file'} {' or '.join(names)} (it holds {held})")
    return found.pop()


@contextmanager
def _web_errors(timeout: float) -> Iterator[None]:
    """Turn what requests and gdown raise into the two kinds that matter here."""
    try:
        yield
    except (Refused, Interrupted):
        raise
    except gdown.FileURLRetrievalError as error:
        raise Refused(f"offers no file: {' '.join(str(error).split())}") from error
    except gdown.DownloadError as error:
        raise Interrupted(f"cannot be read: {str(error).splitlines()[0].rstrip('.')}") from error
    except requests.RequestException as error:
        raise _network_error(error, timeout) from error
    except OSError:  # of this machine's disk
        raise
    except Exception as error:  # gdown ends in any kind of error (KeyError, AssertionError) at a page of unknown form
        raise Refused(f"answers in a form that gdown does not know ({type(error).__name__}: {error})") from error


def _status_error(response: requests.Response, title: str) -> Exception:
    """What a status other than success means; `title` is that of the web page with it."""
    status = f"answers {response.status_code} {response.reason}".rstrip()
    if response.status_code not in _BUSY:
        return Refused(f"{status}{title}")
    with suppress(KeyError, InvalidHeader):
        return Interrupted(status, Retry().parse_retry_after(response.headers["Retry-After"]))
    return Interrupted(status)


def _network_error(error: requests.RequestException, timeout: float) -> Exception:
    """What the innermost of the errors behind one of requests' own means."""
    cause: BaseException = error
    while deeper := cause.__cause__ or cause.__context__:
        cause = deeper
    if isinstance(error, ValueError | requests.TooManyRedirects) or isinstance(cause, ssl.SSLCertVerificationError):
        return Refused(f"cannot be asked: {cause}")
    if isinstance(error, requests.Timeout) or isinstance(cause, TimeoutError):
        return Interrupted(f"cannot be read: nothing came within {timeout:g} seconds")
    return Interrupted(f"cannot be read: {getattr(cause, 'strerror', None) or cause or type(cause).__name__}")
