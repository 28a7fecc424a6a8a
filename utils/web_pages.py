"""Web pages that come in place of a file: Google Drive's question before large files, its quota page, and others."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

_BEGINNINGS = (b"<!doctype html", b"<html", b"<head", b"<!--")
_QUOTA = ("quota exceeded", "download quota", "too many users have viewed or downloaded")
_SIGN_IN = ("accounts.google.com/signin", "servicelogin", "you need access", "request access")


def is_page(content_type: str, head: bytes) -> bool:
    """Whether an answer is HTML, by its declared type or by its first bytes."""
    return content_type.lower().startswith("text/html") or head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(
        _BEGINNINGS
    )


@dataclass
class Page:
    """What matters of a page.

    Attributes:
        title: its title, in one line.
        text: the whole of it in lower case.
        action, method, fields: of the form that asks whether to download all the same; no action where there is none.
    """

    title: str = ""
    text: str = ""
    action: str = ""
    method: str = "get"
    fields: dict[str, str] = field(default_factory=dict)

    def called(self) -> str:
        """` ('its title')` for messages, or nothing."""
        title = "".join(character for character in self.title if character.isprintable())
        return f" ('{title[:77] + '…' if len(title) > 78 else title}')" if title else ""

    def reason(self) -> str:
        """Why there is no file, as the end of a sentence about the address."""
        if any(phrase in self.text for phrase in _QUOTA):
            return "says that the file's download quota is used up (it is given back within about a day)"
        if any(phrase in self.text for phrase in _SIGN_IN):
            return "asks to sign in: the file is not shared with everyone (any more)"
        return f"answers with a web page{self.called()} in place of the file"

    def confirmation(self, base: str) -> tuple[str, bytes | None] | None:
        """The request that answers the page's question with yes: address and, for a POST form, its body.

        Args:
            base: address of the page itself.
        """
        if not self.action or any(phrase in self.text for phrase in _QUOTA):
            return None
        action = urljoin(base, self.action)
        if self.method == "post":
            return action, urlencode(self.fields).encode()
        parts = urlsplit(action)
        query = urlencode(dict(parse_qsl(parts.query)) | self.fields)
        return urlunsplit(parts._replace(query=query, fragment="")), None


class _Reader(HTMLParser):
    """Collects title and download form; Google's older pages have a link of a known id instead of the form."""

    def __init__(self) -> None:
        super().__init__()
        self.page = Page()
        self._in_title = self._in_form = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        identity = values.get("id", "").replace("-", "").lower()
        if tag == "title":
            self._in_title = True
        elif tag == "form" and identity == "downloadform":
            self._in_form = True
            self.page.action, self.page.method = values.get("action", ""), values.get("method", "get").lower()
        elif tag == "input" and self._in_form and values.get("name"):
            self.page.fields[values["name"]] = values.get("value", "")
        elif tag == "a" and identity == "ucdownloadlink":
            self.page.action = values.get("href", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "title":
            self._in_title = False
        elif tag == "form":
            self._in_form = False

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.page.title = " ".join(f"{self.page.title} {data}".split())


def read_page(body: bytes) -> Page:
    """Title, text and download form of an HTML page, whole or cut short."""
    text = body.decode("utf-8", "replace")
    reader = _Reader()
    with suppress(AssertionError):  # what Python 3.10's parser says to some malformed declarations
        reader.feed(text)
    reader.page.text = text.lower()
    return reader.page
