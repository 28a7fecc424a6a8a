"""Writing files atomically: they are complete or do not exist."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from utils.processes import Process

_TEMPORARY = re.compile(r"\.partial-(?:([0-9a-f]{8})-(\d+)-(\d+)-)?[a-z0-9_]{8}(?:\.\w+)?")
_ABANDONED = 24 * 3600  # seconds after which a file of a process that cannot be asked counts as left behind


def write_atomically(path: str | Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, flush it, then rename it: a crash leaves no torn file.

    The temporary file's name says which process writes it, so that `remove_litter` knows whether it is still used.

    Raises:
        OSError: it cannot be written; `filename` is `path`.
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        process = Process.current()
        prefix = f".partial-{process.machine}-{process.number}-{process.born}-"
        handle, name = tempfile.mkstemp(prefix=prefix, suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        write(temporary)
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.chmod(0o644)
        os.replace(temporary, path)
    except OSError as error:
        error.filename, error.filename2 = str(path), None  # the user does not know the temporary one
        raise
    except Exception as error:
        if (reason := _system_error(error, path)) is None:
            raise
        raise reason from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _system_error(error: Exception, path: Path) -> OSError | None:
    """What an error of safetensors or of `torch.save`, which are none of the system's, says of the disk."""
    numbered = re.search(r"\(os error (\d+)\)", str(error))
    if numbered:
        return OSError(int(numbered[1]), os.strerror(int(numbered[1])), str(path))
    if "inline_container" in str(error) or "PytorchStreamWriter" in str(error):
        return OSError(errno.EIO, "it could not be written whole; is the disk full?", str(path))
    return None


def remove_litter(folder: str | Path, recursive: bool = False) -> None:
    """Remove temporary files of processes that were killed while they wrote into a folder.

    Those of living processes stay. So do, for a day, those of other machines (and containers), whose processes cannot
    be asked. Files that cannot be removed, and a folder that is not there, are passed over.

    Args:
        recursive: in sub-folders, too.
    """
    pattern = "**/.partial-*" if recursive else ".partial-*"
    with contextlib.suppress(OSError):
        for path in Path(folder).glob(pattern):
            with contextlib.suppress(OSError):
                if _is_litter(path):
                    path.unlink()


def _is_litter(path: Path) -> bool:
    """Whether the file is a temporary one that nobody writes any more."""
    named = _TEMPORARY.fullmatch(path.name)
    if named is None or not path.is_file():
        return False
    machine, number, born = named.groups()
    lives = Process(machine, int(number), int(born)).lives() if machine else None
    if lives is None:
        return time.time() - path.stat().st_mtime > _ABANDONED
    return not lives


def write_text(path: str | Path, text: str) -> None:
    """Atomic `Path.write_text` in UTF-8."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
