"""Programs that end with one sentence: Ctrl-C at any time, disks that cannot be written."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from utils.failures import described, unwritable
from utils.paths import ROOT

_INTERRUPTED = """import os, signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # shells let programs in the background ignore it
os.kill(os.getpid(), signal.SIGINT)
"""
_START = "import errno, sys\nfrom utils.failures import explain_failures\nexplain_failures()\n"
_COMMANDS = [
    path
    for pattern in ("*.py", "scripts/**/*.py")
    for path in sorted(ROOT.glob(pattern))
    if '__name__ == "__main__"' in path.read_text(encoding="utf-8") and path.name != "set_up.py"
]


def ended(tmp_path: Path, program: str) -> subprocess.CompletedProcess[str]:
    path = tmp_path / "program.py"
    path.write_text(_START + program)
    return subprocess.run([sys.executable, str(path)], capture_output=True, text=True, cwd=ROOT, timeout=60)


@pytest.mark.parametrize("path", _COMMANDS, ids=lambda path: path.name)
def test_every_command_explains_from_its_first_act(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    guard = text.index('if __name__ == "__main__":\n')
    assert text[guard:].splitlines()[1].strip() == "explain_failures()"


def test_a_full_disk(tmp_path: Path) -> None:
    result = ended(tmp_path, "raise OSError(errno.ENOSPC, 'No space left on device', '/disk/results.json')")
    assert result.returncode == 1
    assert result.stderr == "program.py: /disk/results.json: the disk is full\n"


def test_ctrl_c(tmp_path: Path) -> None:
    result = ended(tmp_path, _INTERRUPTED)
    assert result.returncode in (-signal.SIGINT, 130)
    assert result.stderr == "program.py: interrupted\n"


@pytest.mark.parametrize("program", ["1 / 0", "open('/no/such/file')"])
def test_mistakes_of_a_program_keep_their_traceback(tmp_path: Path, program: str) -> None:
    assert "Traceback" in ended(tmp_path, program).stderr


def test_reasons() -> None:
    assert described(OSError(28, "No space left on device", "/a/b")) == "/a/b: the disk is full"
    assert described(OSError(28, "No space left on device")) == "the disk is full"
    assert unwritable(OSError(30, "Read-only file system"), "/a/b") == (
        "/a/b: cannot be written: the file system is read-only"
    )
    assert unwritable(OSError("unknown"), "/a") == "/a: cannot be written: unknown"
