"""One sentence on what went wrong, for errors that are no mistake in the program: disks, permissions, memory."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from utils.paths import displayed

_MEANINGS = {
    errno.ENOSPC: "the disk is full",
    getattr(errno, "EDQUOT", -1): "the disk quota is used up",
    errno.EFBIG: "the file would be larger than allowed here (see 'ulimit -f')",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "operation not permitted",
}

# No disk answers these better a second time.
_WRONG_NAMES = (
    None, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP, errno.ENAMETOOLONG
)  # fmt: skip


def described(error: BaseException) -> str:
    """`file: reason` of an error of the operating system; of another error, what it says."""
    if not isinstance(error, OSError) or error.errno is None:
        return str(error) or type(error).__name__
    reason = _MEANINGS.get(error.errno) or error.strerror or os.strerror(error.errno)
    return f"{displayed(os.fsdecode(error.filename))}: {reason}" if error.filename else reason


def exit_status(error: BaseException) -> int:
    """1 where the computer failed a command (a disk, a permission), 2 where the command was wrong."""
    return 1 if isinstance(error, OSError) and error.errno not in _WRONG_NAMES else 2


@contextlib.contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Errors of the operating system that come from within name `path`: writing to an open file names none."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            error.filename, error.filename2 = str(path), None
        raise


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a tensor did not fit into the memory of the computer or of its GPU."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # PyTorch's, of a GPU
        return True
    return isinstance(error, RuntimeError) and "allocate memory" in str(error)
