"""The benchmark's command on small networks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scripts import benchmark
from scripts.benchmarks import BUSY, ROW_NAMES
from scripts.benchmarks.measure import Disagreement, Plan, time_row
from scripts.benchmarks.rows import FLOAT32, PUBLISHED, ROWS


def test_command(plan: Plan, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Table and JSON of one row, with memory, each part in a process of its own."""
    report = tmp_path / "results.json"
    options = ["--quick", "--only", "flow-editing", "--threads", "1", "--device", "cpu"]
    assert benchmark.main([*options, "--rounds", "1", "--json", str(report), "--folder", str(plan.folder.parent)]) == 0
    results = json.loads(report.read_text())
    assert [row["name"] for row in results["rows"]] == ["flow-editing"]
    assert {"date", "processor", "threads", "torch", "operators", "networks"} <= set(results["machine"])
    held = results["rows"][0]["memory"]
    assert set(held) == {PUBLISHED, FLOAT32} and all(100e6 < value < 5e9 for value in held.values())
    assert "| w → z → w_e, batch 8 |" in capsys.readouterr().out
    again = {"machine": {"date": "later"}, "rows": [{"name": "encoding"}]}
    merged = benchmark.with_older(again, report)
    assert [row["name"] for row in merged["rows"]] == ["encoding", "flow-editing"]  # the table's order
    assert merged["rows"][0]["date"] == "later" != merged["rows"][1]["date"] == results["machine"]["date"]


def test_a_failed_row_is_told_and_ends_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(function: object, *arguments: object) -> None:
        if function is time_row:
            raise Disagreement("encoding: codes differ")

    monkeypatch.setattr(benchmark, "in_subprocess", fails)
    assert benchmark.main(["--quick", "--only", "encoding", "--folder", str(tmp_path)]) == 1
    assert "codes differ" in capsys.readouterr().out


def test_the_rows_are_those_that_help_names() -> None:
    assert (*(row.name for row in ROWS), BUSY) == ROW_NAMES


def test_unknown_rows_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        benchmark.main(["--only", "sinthesis"])
    assert "synthesis-gradient" in capsys.readouterr().err
