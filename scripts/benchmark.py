#!/usr/bin/env python
"""Time this project against the published way of computing the same numbers, and against the speed of the hardware.

    python scripts/benchmark.py                                    all rows at FFHQ's sizes; about an hour on 2 cores
    python scripts/benchmark.py --only synthesis encoding          two rows
    python scripts/benchmark.py --only busy                        edit.py beside five busy loops, one thread and two
    python scripts/benchmark.py --quick                            all rows on small networks, to see that they run
    python scripts/benchmark.py --device cuda --json results.json --plot growth.png

Each row runs in its own process: the results of the published formulation (scripts/published) and of ours in float32
and bfloat16 are compared on the same weights and inputs, then all are timed in alternation. Peak memory is measured in
a separate process for each. The networks have random weights (1.6 GB, written to --folder once). Exit status: 0 all
measured, 1 a row failed or its results disagree, 2 wrong usage. A missed goal is no failure: goals are for an idle
machine.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.benchmarks import BUSY, ROW_NAMES
from utils.failures import explain_failures
from utils.options import CommandParser, add_device_option, output_file, output_folder, value_of
from utils.paths import ROOT, displayed
from utils.ranges import Depth, Processes


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Command line of benchmark.py."""
    parser = CommandParser(__doc__)
    parser.add_argument(
        "--only",
        nargs="+",
        choices=ROW_NAMES,
        metavar="NAME",
        help=f"measure only these rows, of {', '.join(ROW_NAMES)}",
    )
    parser.add_argument(
        "--quick", action="store_true", help="small networks and two rounds; the times say nothing about the real ones"
    )
    add_device_option(parser)
    parser.add_argument(
        "--threads", type=value_of(Processes), default=0, metavar="N", help="CPU threads (default: PyTorch's choice)"
    )
    parser.add_argument(
        "--rounds",
        type=value_of(Depth),
        metavar="N",
        help="timed rounds, of which the median counts (default: 5; with --quick 2)",
    )
    parser.add_argument("--no-memory", action="store_true", help="do not measure memory")
    parser.add_argument(
        "--json", type=output_file, metavar="FILE",
        help="write all measurements; other rows that the file already holds are kept",
    )  # fmt: skip
    parser.add_argument(
        "--plot",
        type=output_file,
        metavar="FILE",
        help="measure and plot how cost grows with batch, resolution and tolerance (PNG)",
    )
    parser.add_argument(
        "--folder",
        type=output_folder,
        default=ROOT / "output/benchmark",
        help="folder for the networks' files (default: output/benchmark)",
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    explain_failures()
    parse_arguments()  # --help and usage errors are reported before importing PyTorch

from scripts.benchmarks.busy import busy_line, measure_busy
from scripts.benchmarks.measure import Plan, machine, memory_of, time_row
from scripts.benchmarks.report import figure, line, table
from scripts.benchmarks.rows import ROWS, Row, growth
from utils.devices import pick_device
from utils.files import write_text
from utils.processes import in_subprocess


def measure(row: Row, plan: Plan, memory: bool) -> dict[str, Any]:
    """What `time_row` gives with the peak memory of each variant, or why it gives nothing."""
    try:
        result = in_subprocess(time_row, row.name, plan)
        if memory:
            result["memory"] = {variant: in_subprocess(memory_of, row.name, variant, plan) for variant in row.variants}
        return result
    except (RuntimeError, ArithmeticError, OSError, ValueError) as error:
        return {"name": row.name, "title": row.title, "error": f"{type(error).__name__}: {error}"}


def measure_beside_others(plan: Plan) -> dict[str, Any]:
    """What `measure_busy` gives, or why it gives nothing."""
    try:
        return measure_busy(plan.rounds, *((2, 1) if plan.small else ()))
    except (RuntimeError, OSError) as error:
        return {"name": BUSY, "title": "edit.py beside busy loops", "error": f"{type(error).__name__}: {error}"}


def with_older(results: dict[str, Any], path: Path) -> dict[str, Any]:
    """The results, and what an older file has beyond them; each row says when it was measured.

    Where no row of the table was measured, the file keeps the machine of those that it has.
    """
    for row in results["rows"]:
        row["date"] = results["machine"]["date"]
    older = json.loads(path.read_text()) if path.is_file() else {"rows": []}
    rows = {row["name"]: row for row in (*older["rows"], *results["rows"])}
    order = [row.name for row in ROWS]
    where = results["machine"] if results["rows"] else older.get("machine", results["machine"])
    return {
        **older,
        **results,
        "machine": where,
        "rows": sorted(rows.values(), key=lambda row: order.index(row["name"])),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    options = parse_arguments(arguments)
    try:
        device = str(pick_device(options.device))
    except ValueError as error:
        print(f"benchmark.py: {error}", file=sys.stderr)
        return 2
    rounds = options.rounds or (2 if options.quick else 5)
    folder = options.folder.resolve() / ("small" if options.quick else "ffhq")
    plan = Plan(options.quick, folder, device, options.threads, rounds)
    where = machine(plan)  # before the work: its load is that of others
    chosen = set(options.only or ROW_NAMES)
    if (chosen != {BUSY} or options.plot) and not (folder / "editor.safetensors").is_file():
        in_subprocess(plan.networks.write, folder)  # the peak of a process is passed on to those that it starts
    rows = []
    for row in ROWS:
        if row.name in chosen:
            rows.append(measure(row, plan, not options.no_memory))
            print(line(rows[-1]), file=sys.stderr, flush=True)
    results: dict[str, Any] = {"machine": where, "rows": rows}
    failed = [row for row in rows if "error" in row]
    if BUSY in chosen:
        results[BUSY] = measure_beside_others(plan)
        failed += [results[BUSY]] if "error" in results[BUSY] else []
    if options.plot:
        series = growth(plan.networks)
        points = [point for one in series for line_points in one.lines.values() for _, point in line_points]
        results["growth"] = [measure(point, plan, memory=False) for point in points]
        failed += [row for row in results["growth"] if "error" in row]
        figure(series, {row["name"]: row for row in results["growth"] if "error" not in row}, options.plot)
    if options.json:
        write_text(options.json, json.dumps(with_older(results, options.json), indent=1) + "\n")
    if rows:
        print(table(rows, where))
    if BUSY in results:
        print(busy_line(results[BUSY]))
    for failure in failed:
        print(f"{failure['name']}: {failure['error']}", file=sys.stderr)
    for path in filter(None, (options.json, options.plot)):
        print(displayed(path))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
