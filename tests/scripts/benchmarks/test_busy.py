"""edit.py beside busy loops."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scripts import benchmark
from scripts.benchmarks import busy


def test_the_row_runs_in_miniature(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the command, on two faces beside one loop; the other rows of the file stay, with their machine."""
    report = tmp_path / "cpu.json"
    report.write_text(json.dumps({"machine": {"cores": 64}, "rows": [{"name": "encoding"}]}))
    options = ["--quick", "--only", "busy", "--rounds", "1", "--device", "cpu", "--folder", str(tmp_path / "none")]
    assert benchmark.main([*options, "--json", str(report)]) == 0
    assert "edit.py on 2 drawn faces beside 1 busy loops: " in capsys.readouterr().out
    results = json.loads(report.read_text())
    assert results["machine"] == {"cores": 64} and results["rows"] == [{"name": "encoding"}]
    row = results["busy"]
    assert row["limit"] == 1.3 and row["ratio"] == row["seconds"]["2"] / row["seconds"]["1"] > 0
    assert {len(times) for times in row["rounds"].values()} == {1} and row["spread"]["1"][0] == row["seconds"]["1"]
    assert not (tmp_path / "none").exists()  # it needs no stand-ins


def test_a_failure_is_told_and_ends_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(busy, "ROOT", tmp_path)  # where no edit.py is
    assert benchmark.main(["--quick", "--only", "busy", "--device", "cpu"]) == 1
    assert "busy: RuntimeError: edit.py failed with status 2: " in capsys.readouterr().err


def test_loops_end() -> None:
    with busy.busy_loops(2) as loops:
        assert [loop.poll() for loop in loops] == [None, None]
    assert all(loop.returncode for loop in loops)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_loops_end_with_the_process_that_started_them() -> None:
    start = f"subprocess.Popen([sys.executable, '-c', {busy.LOOP!r}, str(os.getpid())], stdout=subprocess.DEVNULL)"
    call = [sys.executable, "-c", f"import os, subprocess, sys; print({start}.pid)"]
    number = int(subprocess.run(call, capture_output=True, check=True).stdout)
    status = Path(f"/proc/{number}/status")
    for _ in range(300):
        if not status.exists() or "zombie" in status.read_text():
            return
        time.sleep(0.1)
    raise AssertionError("a loop outlives its parent")
