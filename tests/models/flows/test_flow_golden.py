"""The flow, its terms and the attribute rules against the numbers of the published code."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.check_golden import find_builder
from scripts.checks.golden.case import run_case

GOLDEN = Path(__file__).parents[2] / "golden"


@pytest.mark.parametrize(
    "name", ["nll", "modify_one_attribute", "editor", "sdflow_cnf_3", "sdflow_cnf_train", "styleflow_cnf"]
)
def test_recorded_numbers(name: str) -> None:
    result = run_case(GOLDEN / f"{name}.json", find_builder(name))
    assert result.passed, "\n".join(result.failures())
