"""S²-Flow's networks, palette and mask edits against the numbers of the published code."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from models.parsing.donors import choose_donor
from scripts.check_golden import find_builder
from scripts.checks.golden.case import run_case
from scripts.checks.golden.parsing import donor_records

GOLDEN = Path(__file__).parents[2] / "golden"
CONSTANTS = json.loads((GOLDEN / "s2flow_mask_edits.json").read_text(encoding="utf-8"))["constants"]
RECORDS = donor_records(CONSTANTS["choice_attributes"])


# The flow alone (s2flow_cnf) takes longer and is SDFlow's with another width: `edits` has its solves.
@pytest.mark.parametrize("name", ["palette", "mask_edits", "mask_encoder", "segmentor", "edits"])
def test_recorded_numbers(name: str) -> None:
    result = run_case(GOLDEN / f"s2flow_{name}.json", find_builder(f"s2flow_{name}"))
    assert result.passed, "\n".join(result.failures())


@pytest.mark.parametrize("choice", CONSTANTS["choice_of_neighbour"], ids=lambda c: f"{c['edit']}-{c['seed']}")
def test_recorded_choice_of_a_neighbour(choice: dict) -> None:
    neighbours = list(CONSTANTS["choice_attributes"]["neighbours"][str(choice["base"])])
    edit = choice["edit"].replace("eyebrows", "brows")
    donor = choose_donor(edit, choice["base"], neighbours, RECORDS, np.random.RandomState(choice["seed"]))
    assert donor is not None and donor.face == choice["chosen"] and neighbours == choice["neighbours_after"]


@pytest.mark.parametrize("case", CONSTANTS["impossible"], ids=lambda c: f"{c['edit']}: {c['why']}")
def test_recorded_impossible_edit(case: dict) -> None:
    random = np.random.RandomState(0)
    assert choose_donor(case["edit"], case["base"], list(case["neighbours"]), RECORDS, random) is None
