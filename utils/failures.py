"""One sentence on what went wrong, for what is no mistake in the program: disks, permissions, memory, Ctrl-C."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

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
    named = isinstance(error, OSError) and error.errno is not None and error.filename
    return f"{displayed(os.fsdecode(named))}: {_reason(error)}" if named else _reason(error)


def unwritable(error: OSError, otherwise: str | Path) -> str:
    """`file: cannot be written: reason`.

    Args:
        otherwise: what could not be written, where the error names no file.
    """
    return f"{displayed(os.fsdecode(error.filename or otherwise))}: cannot be written: {_reason(error)}"


def _reason(error: BaseException) -> str:
    if not isinstance(error, OSError) or error.errno is None:
        return str(error) or type(error).__name__
    return _MEANINGS.get(error.errno) or error.strerror or os.strerror(error.errno)


def exit_status(error: BaseException) -> int:
    """1 where the computer failed a command (a disk, a permission), 2 where the command was wrong."""
    return 1 if isinstance(error, OSError) and error.errno not in _WRONG_NAMES else 2


def explain_failures() -> None:
    """Let this process end with one sentence, not with a traceback, at Ctrl-C and at errors of a disk.

    For programs, as their first act: Ctrl-C may come while PyTorch is imported.
    """
    command, usual = Path(sys.argv[0]).name, sys.excepthook

    def explain(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if isinstance(error, KeyboardInterrupt):
            print(f"{command}: interrupted", file=sys.stderr)
        elif isinstance(error, OSError) and exit_status(error) == 1:
            print(f"{command}: {described(error)}", file=sys.stderr)
        else:
            usual(kind, error, trace)

    sys.excepthook = explain


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
