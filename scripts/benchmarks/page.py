#!/usr/bin/env python
"""Write the tables of results/benchmark/README.md from the measurements beside it.

    python scripts/benchmarks/page.py

A table stands between `<!-- table NAME -->` and `<!-- end -->`; the text around it is kept. Reads cpu.json of
scripts/benchmark.py and accuracy.json of scripts/benchmarks/accuracy.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.benchmarks import BUSY
from scripts.benchmarks.busy import busy_line
from scripts.benchmarks.report import duration, rounds
from scripts.benchmarks.rows import BFLOAT16, FLOAT32, PUBLISHED
from utils.failures import explain_failures
from utils.files import write_text
from utils.options import CommandParser
from utils.paths import ROOT, displayed

PAGE = ROOT / "results/benchmark/README.md"


def speed_table(results: Mapping[str, Any]) -> str:
    """The rows with their goals, how many goals are missed, and where this was measured."""
    lines = ["| row | published | ours, float32 | ours, bfloat16 |", "| --- | --- | --- | --- |"]
    rows, where = results["rows"], results["machine"]
    for row in rows:
        cells = [row["title"], duration(row, PUBLISHED), _ours(row, FLOAT32), _ours(row, BFLOAT16)]
        lines.append(f"| {' | '.join(cells)} |")
    met = [row["ratio"][variant] >= goal for row in rows for variant, goal in row["goals"].items()]
    about = (
        f"{where['processor']} with {where['instructions']}, {where['cores']} cores, {where['threads']} threads, "
        f"torch {where['torch']}; medians of {rounds(rows)} rounds, with the fastest and the slowest "
        f"([all numbers](cpu.json), with dates and load). {met.count(False)} of {len(met)} goals are missed, in bold."
    )
    beside = [busy_line(results[BUSY]) + "."] if BUSY in results else []
    return "\n\n".join(["\n".join(lines), about, *beside])


def _ours(row: Mapping[str, Any], variant: str) -> str:
    """Time, then ratio and goal, in bold where it is missed."""
    if variant not in row["seconds"]:
        return "–"
    ratio, goal = row["ratio"][variant], row["goals"][variant]
    compared = f"{ratio:.2f}× ({goal:g})"
    return f"{duration(row, variant)}, {compared if ratio >= goal else f'**{compared}**'}"


def accuracy_table(measured: Mapping[str, Any]) -> str:
    """What the solver and bfloat16 cost, and each limit of the measurement."""
    solver, low = measured["solver"], measured["bfloat16"]
    faces = measured["faces"]
    rows = {
        "w_e, ours": solver["ours"],
        "w_e, published, face by face": solver["published"],
        f"w_e, published, {faces} faces at once": solver["published_batch"],
    }
    lines = [f"| distance to a float64 solution, {faces} faces, each attribute flipped | mean | largest |"]
    lines += ["| --- | --- | --- |"]
    lines += [f"| {name} | {value['mean']:.1e} | {value['largest']:.1e} |" for name, value in rows.items()]
    text = f"Pictures in bfloat16, {low['edits']:,} edits: PSNR {low['psnr']['mean']:.1f} dB on average. Limits:"
    limits = [f"- {limit}: {'met' if met else '**missed**'}" for limit, met in measured["limits"].items()]
    return "\n".join([*lines, "", text, "", *limits])


def filled(page: str, folder: Path) -> str:
    """The page with the tables of the measurements in this folder."""
    for name, source, make in (("speed", "cpu", speed_table), ("accuracy", "accuracy", accuracy_table)):
        table = make(json.loads((folder / f"{source}.json").read_text(encoding="utf-8")))
        before, _, rest = page.partition(f"<!-- table {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        if not end:
            raise ValueError(f"the page has no place for the table {name}")
        page = f"{before}<!-- table {name} -->\n\n{table}\n\n{end}{after}"
    return page


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = CommandParser(__doc__)
    parser.parse_args(arguments)
    write_text(PAGE, filled(PAGE.read_text(encoding="utf-8"), PAGE.parent))
    print(displayed(PAGE))


if __name__ == "__main__":
    explain_failures()
    main()
