"""One process at a time in a folder of results: a second one is told who the first is."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from utils.files import write_text
from utils.paths import displayed

_LOCK, _OWNER = ".lock", ".lock-owner.json"
_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP}  # of some network file systems


class FolderInUse(ValueError):
    """Another process writes into the folder; the message names it."""


@contextlib.contextmanager
def only_writer(folder: str | Path, command: str) -> Iterator[None]:
    """Be the only process that writes into a folder, which is created if it is not there.

    The lock ends with the process, however that ends. File systems without locks are used without one.

    Args:
        command: name of the program, for the message that a second process gets.
    Raises:
        FolderInUse: another process has it.
        OSError: the folder cannot be written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / _LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise FolderInUse(f"{displayed(folder)} is in use: {_owner(folder)}") from None
    except NotImplementedError:
        pass
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    try:
        started = time.strftime("%Y-%m-%d %H:%M:%S")
        owner = {"command": command, "process": os.getpid(), "host": socket.gethostname(), "started": started}
        write_text(folder / _OWNER, json.dumps(owner) + "\n")
        yield
    finally:
        with contextlib.suppress(OSError):
            (folder / _OWNER).unlink(missing_ok=True)
        lock.release()


def _owner(folder: Path) -> str:
    """Who has the lock, in words."""
    try:
        owner = json.loads((folder / _OWNER).read_text(encoding="utf-8"))
        which = f"{owner['command']}, process {owner['process']} on {owner['host']}, started {owner['started']}"
    except (OSError, ValueError, LookupError, TypeError):  # it has only just begun
        which = "another process"
    return f"{which}, writes into it; wait until it has finished, or choose another folder"
