"""The tables of the page on speed are those of the files beside it."""

from __future__ import annotations

import copy
import json

import pytest

from scripts.benchmarks.page import PAGE, filled, speed_table


def test_the_page_is_that_of_the_files() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == filled(page, PAGE.parent), "python scripts/benchmarks/page.py writes its tables again"
    with pytest.raises(ValueError, match="no place for the table speed"):
        filled("# Speed\n", PAGE.parent)


def test_medians_come_with_their_spread_and_missed_goals_are_bold() -> None:
    results = json.loads((PAGE.parent / "cpu.json").read_text())
    row = copy.deepcopy(next(row for row in results["rows"] if row["name"] == "flow-editing"))
    row["seconds"], row["ratio"] = {"published": 3.9, "float32": 0.9999}, {"float32": 3.9}
    row["spread"] = {"published": [3.5, 12.0], "float32": [0.5, 1.25]}
    row["rounds"] = dict.fromkeys(row["seconds"], [1.0] * 5)
    text = speed_table({**results, "rows": [row]})
    assert "| 3.90 s (3.50–12.00) | 1000 ms (500–1250), **3.90× (4)** | – |" in text
    assert "medians of 5 rounds" in text and "1 of 1 goals" in text
