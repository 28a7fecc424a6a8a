"""Every command that a user calls answers --help from any folder, and without waiting for PyTorch."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from utils.paths import ROOT

COMMANDS = sorted(
    str(path.relative_to(ROOT))
    for path in (*ROOT.glob("*.py"), *ROOT.glob("scripts/*.py"))
    if "__main__" in path.read_text(encoding="utf-8")
)
SLOW = {"torch", "numpy", "scipy", "PIL", "matplotlib"}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_imports_nothing_slow(command: str, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}  # as set-up has it; here also in a copy that is not set up
    call = [sys.executable, "-X", "importtime", str(ROOT / command), "--help"]
    result = subprocess.run(call, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
    assert result.returncode == 0 and result.stdout.startswith("usage: "), result.stderr
    imported = {name.split(".")[0] for name in re.findall(r"^import time: .*\| +(\S+)$", result.stderr, re.MULTILINE)}
    assert "argparse" in imported and not imported & SLOW
