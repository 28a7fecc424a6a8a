"""Who uses the page: one session for each open tab, with a folder that is removed with it."""

from __future__ import annotations

import secrets
import shutil
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from models.editing.requests.base import Request
from models.editing.studio import Edit, Face
from scripts.page_parts.limits import Limits


@dataclass
class Photo:
    """The photograph that a session works on.

    Attributes:
        name: safe, for files and the command.
        path: how the command names it.
        faces: by number of the studio.
    """

    data: bytes
    name: str
    path: str
    faces: dict[int, list[Face]] = field(default_factory=dict)
    chosen: int = 0
    forced: bool = False

    @property
    def count(self) -> int:
        """Faces found in it."""
        return max((len(faces) for faces in self.faces.values()), default=0)


@dataclass
class Wanted:
    """The edit that a session shows.

    Attributes:
        studio: its number.
        words: options of edit.py that ask for it.
        files: that they name, by name.
        edit: what was computed.
    """

    studio: int
    request: Request
    words: Sequence[str]
    files: Mapping[str, bytes]
    edit: Edit


@dataclass
class Session:
    """One open tab.

    Attributes:
        token: unguessable; names the session in addresses of its results.
        folder: for its files.
        lock: held while something of it is computed.
        second: photograph of the face whose parts, style or identity are taken; None: a sample face.
    """

    folder: Path
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    lock: threading.RLock = field(default_factory=threading.RLock)
    photo: Photo | None = None
    second: Photo | None = None
    wanted: Wanted | None = None
    results: dict[str, Path] = field(default_factory=dict)
    used: float = field(default_factory=time.monotonic)
    runs: int = 0

    def take(self, photo: Photo | None) -> None:
        """Work on another photograph; everything of the one before is deleted."""
        self.photo, self.wanted = photo, None
        self.clear()

    def clear(self) -> None:
        """Delete the session's files."""
        self.results = {}
        shutil.rmtree(self.folder, ignore_errors=True)

    def new_folder(self) -> Path:
        """An empty folder in place of all earlier ones."""
        self.clear()
        self.runs += 1
        folder = self.folder / str(self.runs)
        folder.mkdir(parents=True, mode=0o700)
        return folder


class Sessions:
    """All open tabs, by the key that gradio gives each; safe to be called from several threads.

    Args:
        folder: for the sessions' folders.
    """

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.folder, self.limits = folder, limits
        self._open: dict[str, Session] = {}
        self._lock = threading.Lock()

    def of(self, key: str) -> Session:
        """The session of a tab, opened at its first call."""
        with self._lock:
            session = self._open.get(key)
            if session is None:
                session = self._open[key] = Session(self.folder / secrets.token_hex(16))
            session.used = time.monotonic()
            forgotten = self._outdated()
        for old in forgotten:
            self.close(old)
        return session

    def close(self, key: str) -> None:
        """Forget a tab and delete its files."""
        with self._lock:
            session = self._open.pop(key, None)
        if session is not None:
            with session.lock:
                session.take(None)
                session.second = None

    def result(self, token: str, name: str) -> Path | None:
        """The file that a session offers under this name; None where there is none."""
        with self._lock:
            sessions = list(self._open.values())
        for session in sessions:
            if secrets.compare_digest(session.token.encode(), token.encode()):
                return session.results.get(name)
        return None

    def __len__(self) -> int:
        return len(self._open)

    def _outdated(self) -> list[str]:
        """Keys of sessions that were idle too long, or longest where there are too many."""
        order = sorted(self._open, key=lambda key: self._open[key].used)
        limit = time.monotonic() - 60 * self.limits.idle_minutes
        extra = len(order) - self.limits.sessions
        return [key for index, key in enumerate(order) if index < extra or self._open[key].used < limit]
