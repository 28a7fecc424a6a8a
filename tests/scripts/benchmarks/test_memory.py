"""Peak memory of a training step, in processes of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.benchmarks import memory
from scripts.benchmarks.measure import Plan
from utils.processes import in_subprocess


def test_memory_of_a_training_step(plan: Plan, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Recomputing must save something where the maps are most of it; a table and a figure say so."""
    full = plan.networks.sides[0]
    settings = memory.variants(full)
    names = "as it is", "recompute_from, synthesis_batch 1"
    held = [in_subprocess(memory.memory_of_step, plan, full, 48, settings[name]) for name in names]
    assert 200e6 < held[1] < held[0] - 20e6
    points = [
        {"resolution": side, "batch": batch, "variant": name, "bytes": held[0]}
        for side, batch in ((full, 1), (full, 2), (full // 2, 2))
        for name in names
    ]
    text = memory.table(points)
    assert f"| {full}² | 2 |" in text and names[1] in text
    memory.draw(points, full, 2, tmp_path / "memory.png")
    assert (tmp_path / "memory.png").stat().st_size > 5000
    with pytest.raises(SystemExit):
        memory.parse_arguments(["--device", "nonsense"])
    assert "nonsense" in capsys.readouterr().err
