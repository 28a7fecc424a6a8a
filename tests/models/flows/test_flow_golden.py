"""The flow, its terms and the attribute rules against the numbers of the published code."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.golden.case import run_case
from scripts.golden.flows import CASES, cnf

GOLDEN = Path(__file__).parents[2] / "golden"


@pytest.mark.parametrize("name", ["nll", "modify_one_attribute", "editor", "sdflow_cnf_3", "sdflow_cnf_train"])
def test_recorded_numbers(name: str) -> None:
    result = run_case(GOLDEN / f"{name}.json", CASES.get(name, cnf))
    assert result.passed, "\n".join(result.failures())
