"""A stand-in of the Hugging Face Hub on loopback: the plain file API, as far as fetching a file needs it."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest

_FILE = re.compile(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")
_MODEL = re.compile(r"/api/models/([^/]+/[^/]+)/revision/(.+)")


@dataclass
class Repository:
    """Commits and the branches that point at them; gated: closed to everybody here."""

    gated: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes], branch: str = "main") -> str:
        """A new commit of these files; returns its name."""
        digest = hashlib.sha1(repr((len(self.commits), sorted(files.items()))).encode()).hexdigest()
        self.commits[digest], self.branches[branch] = files, digest
        return digest

    def upload(self, folder: Path) -> str:
        """A commit of the files of a folder, as `hf upload` makes it."""
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        return self.commit({path.relative_to(folder).as_posix(): path.read_bytes() for path in files})


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self._serve(body=False)

    def do_GET(self) -> None:
        self._serve(body=True)

    def log_message(self, format: str, *values: object) -> None:
        pass

    def _serve(self, body: bool) -> None:
        path = unquote(self.path.partition("?")[0])
        self.server.requests.append(f"{self.command} {path}")
        found = _MODEL.fullmatch(path) or _FILE.fullmatch(path)
        repository = self.server.repositories.get(found[1]) if found else None
        if self.server.status:
            return self._reply(self.server.status, body=body)
        if found is None or repository is None:
            return self._reply(401, {"X-Error-Code": "RepoNotFound"}, body=body)
        commit = repository.branches.get(found[2], found[2])
        if commit not in repository.commits:
            return self._reply(404, {"X-Error-Code": "RevisionNotFound"}, body=body)
        files = repository.commits[commit]
        if found.re is _MODEL:  # a gated repository shows its files' names
            siblings = [{"rfilename": name, "size": len(data), "blobId": "0"} for name, data in files.items()]
            content = {"id": found[1], "modelId": found[1], "sha": commit, "siblings": siblings}
            return self._reply(200, {"Content-Type": "application/json"}, json.dumps(content).encode(), body)
        if repository.gated:
            return self._reply(401, {"X-Error-Code": "GatedRepo"}, body=body)
        if found[3] not in files:
            return self._reply(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit}, body=body)
        data = files[found[3]]
        etag = hashlib.sha256(data).hexdigest()
        self._reply(200, {"ETag": f'"{etag}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}, data, body)

    def _reply(self, code: int, headers: dict[str, str] | None = None, data: bytes = b"", body: bool = True) -> None:
        with suppress(ConnectionError):
            self.send_response(code)
            for name, value in {**(headers or {}), "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            if body:
                self.wfile.write(data)


class Hub(ThreadingHTTPServer):
    """Repositories, and the requests that came; `status` is the answer to all of them, unless it is 0."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[str, Repository] = {}
        self.requests: list[str] = []
        self.status = 0

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def repository(self, name: str = "alice/faces") -> Repository:
        return self.repositories.setdefault(name, Repository())

    def end(self) -> None:
        """From now on nobody answers."""
        self.shutdown()
        self.server_close()


@contextmanager
def hub_for_tests(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Iterator[Hub]:
    """A running hub that this process takes for the real one, and an empty cache."""
    pytest.importorskip("huggingface_hub", reason='not installed: huggingface_hub (pip install ".[hub]")')
    from huggingface_hub import constants

    from utils import hub

    server = Hub()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    monkeypatch.setattr(constants, "ENDPOINT", server.endpoint)  # what HF_ENDPOINT sets, read when it is imported
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(cache / "no-token"))
    hub._listing.cache_clear()
    try:
        yield server
    finally:
        hub._listing.cache_clear()
        server.end()
        thread.join()
