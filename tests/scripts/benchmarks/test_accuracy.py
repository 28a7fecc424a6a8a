"""What speed costs in accuracy, on a few avatars."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from scripts.benchmarks import accuracy
from scripts.benchmarks.accuracy import SolverErrors, bfloat16_effect, solver_errors


def test_accuracy_on_a_few_avatars() -> None:
    errors = solver_errors(2, torch.device("cpu"))
    for error in vars(errors).values():
        assert error.shape == (10,) and (error < 1e-2).all() and (error > 0).all()
    assert errors.published.ne(errors.published_batch).any()  # a batch shares its steps
    torch.manual_seed(1)
    again = solver_errors(2, torch.device("cpu"))  # the probes are seeded
    assert again.summary() == errors.summary() and again.published.equal(errors.published)
    low = bfloat16_effect(7, torch.device("cpu"))
    assert low["edits"] == 7 and low["decisions"] == 35
    assert 30 < low["psnr"]["least"] <= low["psnr"]["mean"] < 100


@pytest.mark.parametrize(
    "ours, psnr, changed, missed", [(1, 41, 0, None), (3, 41, 0, "w_e"), (1, 39, 0, "PSNR"), (1, 41, 4, "4 of 5000")]
)
def test_missed_limits_are_told(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    ours: float,
    psnr: float,
    changed: int,
    missed: str | None,
) -> None:
    """The exit status is 1 where a limit is missed, and the limit is named."""
    errors = SolverErrors(torch.tensor([4e-6]), torch.tensor([2e-6]), torch.tensor([ours * 1e-6]))
    low = {"edits": 1000, "psnr": {"mean": 50.0, "least": float(psnr)}, "decisions": 5000, "changed": changed}
    monkeypatch.setattr(accuracy, "solver_errors", lambda *_: errors)
    monkeypatch.setattr(accuracy, "bfloat16_effect", lambda *_: low)
    assert accuracy.main(["--json", str(tmp_path / "accuracy.json")]) == (1 if missed else 0)
    printed = capsys.readouterr()
    lines = [line for line in printed.out.splitlines() if line.startswith("MISSED: ")]
    assert len(lines) == bool(missed) == ("exit status is 1" in printed.err) and (not missed or missed in lines[0])
    assert list(json.loads((tmp_path / "accuracy.json").read_text())["limits"].values()).count(False) == bool(missed)
