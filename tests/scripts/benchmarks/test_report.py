"""The benchmark's figure."""

from __future__ import annotations

from pathlib import Path

from scripts.benchmarks import rows
from scripts.benchmarks.report import figure
from scripts.benchmarks.rows import FLOAT32, PUBLISHED
from scripts.benchmarks.stand_ins import StandIns


def test_growth_is_drawn(tmp_path: Path) -> None:
    series = rows.growth(StandIns.small())
    assert [one.quantity for one in series] == ["batch", "resolution", "tolerance"]
    assert [value for value, _ in series[1].lines["synthesis"]] == [8, 16, 32, 64, 128]
    names = [row.name for one in series for points in one.lines.values() for _, row in points]
    assert len(set(names)) == len(names)
    measured = {name: {"seconds": {PUBLISHED: 2.0, FLOAT32: 1.0}} for name in names}
    figure(series, measured, tmp_path / "growth.png")
    assert (tmp_path / "growth.png").read_bytes()[:4] == b"\x89PNG"
