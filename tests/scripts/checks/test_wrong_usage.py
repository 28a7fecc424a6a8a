"""Wrong calls of all commands: what counts as an answer, and a few calls in processes of their own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scripts.checks.wrong_usage import Usage, attempt, placed, prepare, usages, verdict
from utils.paths import ROOT

USAGE = Usage("train.py", ())


@pytest.mark.parametrize(
    ("status", "errors", "fault"),
    [
        (2, "train.py: x.yaml: a key\n", ""),
        (2, "usage: train.py\n       [-h]\ntrain.py: error: a key\n", ""),
        (1, "train.py: a key\n", "status 1"),
        (0, "", "status 0"),
        (2, "", "no message"),
        (2, "one\ntwo\n", "2 lines"),
        (2, "x" * 2000, "2000 characters"),
        (-11, "", "signal 11"),
        (1, "Traceback (most recent call last):\n  File\nKeyError: 5\n", "traceback, KeyError: 5"),
        (None, "", "no end"),
    ],
)
def test_only_one_line_with_the_right_status_survives(status: int | None, errors: str, fault: str) -> None:
    found = verdict(USAGE, status, errors)
    assert fault in found and bool(found) == bool(fault)


def test_there_are_wrong_calls_of_every_command() -> None:
    tried = {usage.command for usage in usages()}
    assert len(list(usages())) >= 200
    top = {str(path.relative_to(ROOT)) for folder in (ROOT, ROOT / "scripts") for path in folder.glob("*.py")}
    assert top - {"scripts/__init__.py", "scripts/set_up.py", "scripts/tour.py"} <= tried  # the last: a notebook


def test_names_of_prepared_files_become_paths(tmp_path: Path) -> None:
    places = prepare(tmp_path)
    assert placed("FILE/x", places) == str(tmp_path / "FILE/x")
    assert placed("data={folder: FOLDER, table: FILE}", places).startswith(f"data={{folder: {tmp_path / 'FOLDER'},")
    assert placed("PROFILE", places) == "PROFILE"


@pytest.mark.parametrize(
    ("command", "words"),
    [("train.py", ("--resume", "FILE")), ("evaluate.py", ("--strengths", "nan")), ("scripts/download.py", ("",))],
)
def test_some_survive(command: str, words: tuple[str, ...], tmp_path: Path) -> None:
    assert attempt(Usage(command, words), prepare(tmp_path), tmp_path)["fault"] == ""


def test_the_committed_results_are_of_these_calls() -> None:
    found = json.loads((ROOT / "results/reliability/wrong_usage.json").read_text(encoding="utf-8"))
    assert found["tried"] == len(list(usages())) == found["survived"]
    assert {usage["command"] for usage in found["usages"]} == {usage.command for usage in usages()}
