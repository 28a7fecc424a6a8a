"""A web server on loopback that misbehaves as asked, and weight files for it to serve."""

from __future__ import annotations

import io
import random
import socket
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def archive(seed: int, size: int = 300_000) -> bytes:
    """A real zip archive with the entries that PyTorch's files have, `size` random bytes among them."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as target:
        target.writestr(zipfile.ZipInfo("archive/data.pkl"), b"\x80\2N.")
        target.writestr(zipfile.ZipInfo("archive/data/0"), random.Random(seed).randbytes(size))
    return stream.getvalue()


class Handler(BaseHTTPRequestHandler):
    """Looks the path up among the server's routes."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.server.requests.append((self.path, dict(self.headers)))
        route = self.server.routes.get(self.path.partition("?")[0])
        with suppress(ConnectionError):
            (route or status(404))(self)

    def log_message(self, format: str, *values: object) -> None:
        pass

    def reply(self, code: int, body: bytes = b"", **headers: object) -> None:
        """Status, headers (`_` for `-`; None leaves one out) and body."""
        self.send_response(code)
        for name, value in {"Content_Length": len(body), **headers}.items():
            if value is not None:
                self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(body)

    def hang_up(self) -> None:
        """End the connection in the middle of an answer."""
        self.wfile.flush()
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True


Route = Callable[[Handler], None]


class Server(ThreadingHTTPServer):
    """Routes by path, and the requests that came."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.routes: dict[str, Route] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{path}"

    def resumed(self) -> list[int]:
        """The bytes from which the requests so far asked for the rest of a file."""
        ranges = (headers.get("Range", "") for _, headers in self.requests)
        return [int(wanted.removeprefix("bytes=")[:-1]) for wanted in ranges if wanted.endswith("-")]

    def transfers(self) -> int:
        """How many of the requests so far asked for a file from its beginning to its end."""
        return sum("Range" not in headers for _, headers in self.requests)

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # clients of these tests hang up as they like


@contextmanager
def serving() -> Iterator[Server]:
    """A running server."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def status(code: int, body: bytes = b"", **headers: object) -> Route:
    """Always this answer."""
    return lambda handler: handler.reply(code, body, **headers)


def page(text: str, code: int = 200) -> Route:
    """Always this web page."""
    return status(code, text.encode(), Content_Type="text/html; charset=utf-8")


def in_turn(*routes: Route) -> Route:
    """A route for each request; the last one for all further ones."""
    left = list(routes)
    return lambda handler: (left.pop(0) if len(left) > 1 else left[0])(handler)


def replaced(first: Offer, second: Route) -> Route:
    """A file until it has dropped the connection as often as it shall, then another answer."""
    return lambda handler: (first if first.drops else second)(handler)


@dataclass
class Offer:
    """A file as a server offers it.

    Attributes:
        ranges: whether it serves parts.
        careful: whether it looks at If-Range.
        drops: for each request of the file or its rest, the bytes after which the connection ends (None: it holds);
            afterwards it holds.
        claimed: a Content-Length that is not the true one.
        chunked: sends no length at all.
        pause: seconds without a byte in the middle.
        rate: bytes a second.
    """

    data: bytes
    etag: str | None = '"1"'
    modified: str | None = None
    ranges: bool = True
    careful: bool = True
    drops: list[int | None] = field(default_factory=list)
    claimed: int | None = None
    chunked: bool = False
    pause: float = 0
    rate: float = 0

    def __call__(self, handler: Handler) -> None:
        wanted, condition = handler.headers.get("Range"), handler.headers.get("If-Range")
        start, end, code = 0, len(self.data), 200
        unchanged = not self.careful or condition is None or condition in (self.etag, self.modified)
        if wanted and self.ranges and unchanged:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start, end, code = int(first), min(int(last) + 1, end) if last else end, 206
        if start >= len(self.data):
            return handler.reply(416, Content_Range=f"bytes */{len(self.data)}")
        body = self.data[start:end]
        partial = code == 206 and end < len(self.data)
        handler.send_response(code)
        if self.chunked:
            handler.send_header("Transfer-Encoding", "chunked")
        else:
            handler.send_header("Content-Length", str(len(body) if self.claimed is None or partial else self.claimed))
        for name, value in (("ETag", self.etag), ("Last-Modified", self.modified)):
            if value is not None:
                handler.send_header(name, value)
        if code == 206:
            handler.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(self.data)}")
        handler.end_headers()
        first_bytes = wanted is not None and not wanted.endswith("-")
        self._send(handler, body, self.drops.pop(0) if self.drops and not first_bytes else None)

    def _send(self, handler: Handler, body: bytes, drop: int | None) -> None:
        piece = 8192
        middle = len(body) // 2 // piece * piece
        for start in range(0, len(body) if drop is None else drop, piece):
            part = body[start : start + piece] if drop is None else body[start : min(start + piece, drop)]
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part) if self.chunked else part)
            if self.rate:
                time.sleep(len(part) / self.rate)
            if self.pause and start == middle:
                handler.wfile.flush()
                time.sleep(self.pause)
        if self.chunked and drop is None:
            handler.wfile.write(b"0\r\n\r\n")
        if drop is not None or self.claimed is not None:
            handler.hang_up()
