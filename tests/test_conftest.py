"""What the tests say of themselves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from utils.paths import ROOT


def test_a_missing_optional_package_is_named_at_the_end(tmp_path: Path) -> None:
    text = "import pytest\ndef test_a(): pytest.importorskip('nosuch', reason='not installed: nosuch (pip)')\n"
    (tmp_path / "test_some.py").write_text(text + text.replace("test_a", "test_b"))
    words = [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", "--rootdir", str(tmp_path), str(tmp_path)]
    shown = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True).stdout
    assert shown.count("skipped because not installed: nosuch (pip)") == 1 and "2 skipped" in shown
