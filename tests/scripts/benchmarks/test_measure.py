"""Rows of the benchmark: results are compared before anything is timed."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch

from scripts.benchmarks import measure, rows
from scripts.benchmarks.measure import Disagreement, Plan, time_row
from scripts.benchmarks.rows import BFLOAT16, FLOAT32, PUBLISHED, ROWS, Row, Setting, Work


def test_errors_are_relative_and_psnr_is_of_the_span() -> None:
    value = torch.tensor([0.0, 3.0, 4.0])
    assert measure.relative_error(value * 1.01, value) == pytest.approx(0.01, rel=1e-4)
    assert measure.relative_error(value * math.nan, value) == math.inf
    assert measure.relative_error(value[:2], value) == math.inf
    assert measure.psnr(value + 0.04, value) == pytest.approx(40, rel=1e-4)
    assert measure.psnr(value * math.nan, value) == -math.inf


@pytest.mark.parametrize("variant, factor", [(FLOAT32, 1.001), (BFLOAT16, 1.2), (FLOAT32, math.nan)])
def test_disagreement_is_an_error(plan: Plan, monkeypatch: pytest.MonkeyPatch, variant: str, factor: float) -> None:
    """Ours, made wrong by a factor, gets no time."""

    def wrong(setting: Setting, which: str) -> Work:
        work = rows.synthesis(setting, which)
        right = work.outputs
        if which == variant:
            work = replace(work, outputs=lambda: {name: value * factor for name, value in right().items()})
        return work

    row = next(row for row in ROWS if row.name == "synthesis")
    monkeypatch.setattr(measure, "ROWS", (replace(row, build=wrong),))
    with pytest.raises(Disagreement, match="picture"):
        time_row("synthesis", plan)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_rows_agree_and_are_measured(plan: Plan, row: Row) -> None:
    result = json.loads(json.dumps(time_row(row.name, plan)))
    variants = [PUBLISHED, *row.goals]
    assert list(result["seconds"]) == list(result["rounds"]) == variants
    assert all(value > 0 and math.isfinite(value) for value in result["seconds"].values())
    for variant in row.goals:
        assert result["ratio"][variant] == result["seconds"][PUBLISHED] / result["seconds"][variant]
        floor = result["flop"][variant] / result["matmul_flop_per_second"][variant]
        assert 0 < result["share_of_floor"][variant] == pytest.approx(floor / result["seconds"][variant])
    assert result["relative_error"] and (BFLOAT16 in row.goals) == bool(result["psnr"])
