"""One process at a time: locks that the operating system gives back when their holder dies."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

if sys.platform == "win32":
    import msvcrt

    def _take(stream: IO[bytes]) -> bool:
        try:
            msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _take(stream: IO[bytes]) -> bool:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _is_still(stream: IO[bytes], path: Path) -> bool:
    """Whether the file that was opened is the one that has the name now."""
    try:
        return os.path.samestat(os.fstat(stream.fileno()), path.stat())
    except FileNotFoundError:
        return False


@contextmanager
def exclusive(path: Path, waiting: Callable[[], object] = lambda: None, poll: float = 0.2) -> Iterator[None]:
    """Hold the lock file `path`, which is made and removed again; waits as long as another process holds it.

    Args:
        waiting: called once, as soon as it turns out that somebody else holds the lock.
        poll: seconds between two tries.
    Raises:
        OSError: the file cannot be made, or the file system has no locks.
    """
    told = False
    while True:
        stream = path.open("ab")
        try:
            while not _take(stream):
                if not told:
                    waiting()
                    told = True
                time.sleep(poll)
            if _is_still(stream, path):  # its holder may have removed the file while we waited for it
                break
        except BaseException:
            stream.close()
            raise
        stream.close()
    try:
        yield
    finally:
        with suppress(OSError):  # Windows removes no open file: there it stays, empty and unlocked
            path.unlink()
        stream.close()
