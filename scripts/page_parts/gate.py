"""The only door to the page's server: everything that the page does not need is answered with 404.

gradio opens many addresses: files by path, a proxy that fetches other machines' files, an API beside the page. Here
stands what is let through, so that a new version of gradio adds nothing. Uploads and results are served here, not by
gradio: an upload gets a folder of its own that nobody can guess, a result is looked up by name and never by path.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from scripts.page_parts.limits import Limits
from scripts.page_parts.names import safe_name
from scripts.page_parts.sessions import Sessions

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_API = "/gradio_api"
_EXACT = {
    *("/", "/config", "/config/", "/theme.css", "/favicon.ico", "/manifest.json", "/robots.txt", "/login", "/login/"),
    *("/logout", f"{_API}/login_check", f"{_API}/user", f"{_API}/app_id", f"{_API}/startup-events", f"{_API}/cancel"),
    *(f"{_API}/queue/join", f"{_API}/queue/data", f"{_API}/reset"),
}
_BELOW = ("/assets/", "/static/", "/svelte/", f"{_API}/heartbeat/")
_FILE = f"{_API}/file="
_PROGRESS = f"{_API}/upload_progress"
_RESULTS = "/results/"
_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".gif": "image/gif"}
_NOTHING = b"<svg xmlns='http://www.w3.org/2000/svg' width='1' height='1'/>"
_BODY_LIMIT = 200_000  # bytes of a call, which holds numbers and names only
_KEPT_SECONDS = 600  # of an upload that nothing was done with


class Refused(Exception):
    """A request that is not served: status and sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Uploads:
    """Files that were uploaded and wait to be read, each in a folder that nobody can guess.

    Args:
        folder: gradio's, so that gradio lets its components take them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()

    def add(self, name: str, data: bytes) -> Path:
        """Keep a file until it is taken."""
        self.forget_old()
        path = self.folder / secrets.token_hex(24) / safe_name(name, data)
        path.parent.mkdir(parents=True, mode=0o700)
        path.write_bytes(data)
        return path

    def is_own(self, path: object) -> bool:
        """Whether this is the path that an upload was answered with."""
        if not isinstance(path, str):
            return False
        pattern = rf"{re.escape(str(self.folder))}{re.escape(os.sep)}[0-9a-f]{{48}}{re.escape(os.sep)}[^/\\]+"
        return re.fullmatch(pattern, path) is not None

    def take(self, path: object) -> bytes | None:
        """The bytes of an upload, which is deleted; None if there is none of this path."""
        with self._lock:
            if not self.is_own(path) or not os.path.isfile(str(path)):
                return None
            data = Path(str(path)).read_bytes()
            shutil.rmtree(Path(str(path)).parent, ignore_errors=True)
        return data

    def forget_old(self) -> None:
        """Delete uploads that nobody took."""
        for folder in self.folder.iterdir():
            try:
                if len(folder.name) == 48 and time.time() - folder.stat().st_mtime > _KEPT_SECONDS:
                    shutil.rmtree(folder, ignore_errors=True)
            except FileNotFoundError:  # taken meanwhile
                pass


class Gate:
    """ASGI middleware, see the module.

    Args:
        hosts: names under which the page may be asked for; none: any. A page elsewhere that makes its own name point
            to this machine is refused by it.
    """

    def __init__(self, app: App, uploads: Uploads, sessions: Sessions, limits: Limits, hosts: Sequence[str]) -> None:
        self.app, self.uploads, self.sessions, self.limits, self.hosts = app, uploads, sessions, limits, set(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, let it through or refuse it."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        try:
            await self._serve(scope, receive, send)
        except Refused as refusal:
            await _answer(send, refusal.status, {"detail": str(refusal)})

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._check_host(scope)
        path, method = str(scope["path"]), scope["method"]
        if path == f"{_API}/upload" and method == "POST":
            await self._check_login(scope)
            await self._upload(scope, receive, send)
        elif path.startswith(_RESULTS) and method in ("GET", "HEAD"):
            await self._check_login(scope)
            await self._result(path, send)
        elif path == _PROGRESS and method == "GET":  # the browser asks; what counts is the answer to the upload
            await _answer(send, 200, b'data: {"msg": "done"}\n\n', "text/event-stream")
        elif path.startswith(_FILE):
            await self._check_login(scope)
            await self._preview(unquote(path.removeprefix(_FILE)), send)
        elif path == f"{_API}/queue/join":
            await self._call(scope, receive, send)
        elif path in _EXACT or (path.startswith(_BELOW) and ".." not in path):
            await self.app(scope, receive, send)
        else:
            raise Refused(404, "Not found.")

    def _check_host(self, scope: Scope) -> None:
        given = _header(scope, b"host")
        name = given.rsplit(":", 1)[0] if not given.endswith("]") else given
        if self.hosts and name not in self.hosts:
            raise Refused(403, "Unknown host.")

    async def _check_login(self, scope: Scope) -> None:
        """Ask gradio whether the request comes from somebody who gave the password."""
        status = 0

        async def nothing() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def heard(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)

        question = {**scope, "method": "GET", "path": f"{_API}/login_check", "raw_path": b"", "query_string": b""}
        await self.app(question, nothing, heard)
        if status != 200:
            raise Refused(401, "Log in first.")

    async def _call(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a call through whose files are uploads of this page: no other path, no address."""
        body = await self._body(receive, _BODY_LIMIT)
        try:
            call = json.loads(body)
        except (ValueError, RecursionError):
            raise Refused(400, "Not JSON.") from None
        for entry in _dictionaries(call):
            if "path" in entry and entry["path"] is not None and not self.uploads.is_own(entry["path"]):
                raise Refused(403, "No such upload.")
            entry.pop("url", None)
        body = json.dumps(call).encode()
        headers = [(key, value) for key, value in scope["headers"] if key != b"content-length"]
        scope = {**scope, "headers": [*headers, (b"content-length", str(len(body)).encode())]}
        told = False

        async def again() -> Message:
            nonlocal told
            if told:
                return await receive()
            told = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self.app(scope, again, send)

    async def _upload(self, scope: Scope, receive: Receive, send: Send) -> None:
        from starlette.formparsers import MultiPartException, MultiPartParser

        length = _header(scope, b"content-length")
        most = self.limits.megabytes * 10**6 + 10_000  # the second: of the form
        if length.isdecimal() and int(length) > most:
            raise Refused(413, f"The file is larger than {self.limits.megabytes} MB.")
        body = await self._body(receive, most)

        async def stream() -> Any:
            yield body

        try:
            from starlette.datastructures import Headers, UploadFile

            form = await MultiPartParser(Headers(scope=scope), stream(), max_files=1, max_fields=4).parse()
            files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
            paths = [str(self.uploads.add(file.filename or "", await file.read())) for file in files]
        except (MultiPartException, KeyError, ValueError, AssertionError):
            raise Refused(400, "No form with a file.") from None
        if not paths:
            raise Refused(400, "No file.")
        await _answer(send, 200, paths)

    async def _body(self, receive: Receive, most: int) -> bytes:
        """The whole body, within the limits of size and time."""

        async def read() -> bytes:
            body, more = bytearray(), True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Refused(400, "Cut off.")
                body += message.get("body", b"")
                more = message.get("more_body", False)
                if len(body) > most:
                    raise Refused(413, f"The file is larger than {self.limits.megabytes} MB.")
            return bytes(body)

        try:
            return await asyncio.wait_for(read(), self.limits.seconds)
        except (TimeoutError, asyncio.TimeoutError):
            raise Refused(408, "The upload took too long.") from None

    async def _preview(self, path: str, send: Send) -> None:
        """An upload, for the one who has sent it; an empty picture where it was taken meanwhile."""
        if not self.uploads.is_own(path):
            raise Refused(403, "No such upload.")
        kind = _TYPES.get(Path(path).suffix, "application/octet-stream")
        try:
            data = await asyncio.to_thread(Path(path).read_bytes)
        except OSError:
            data, kind = _NOTHING, "image/svg+xml"
        await _answer(send, 200, data, kind)

    async def _result(self, path: str, send: Send) -> None:
        token, _, name = path.removeprefix(_RESULTS).partition("/")
        file = self.sessions.result(token, name)
        try:
            data = await asyncio.to_thread(file.read_bytes) if file is not None else None
        except FileNotFoundError:  # the session ended
            data = None
        if file is None or data is None:
            raise Refused(404, "Not found.")
        await _answer(send, 200, data, _TYPES.get(file.suffix, "application/octet-stream"), name)


def _dictionaries(value: Any) -> Iterator[dict[str, Any]]:
    """All dictionaries in what was read from JSON."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield one
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one


def _header(scope: Scope, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


async def _answer(send: Send, status: int, content: Any, kind: str = "application/json", name: str = "") -> None:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    headers = [
        (b"content-type", kind.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    ]
    if name:
        headers.append((b"content-disposition", f"attachment; filename*=UTF-8''{quote(name)}".encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
