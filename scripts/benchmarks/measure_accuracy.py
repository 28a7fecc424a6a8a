#!/usr/bin/env python
"""What speed costs in accuracy, on the shipped editor of drawn faces.

    python scripts/benchmarks/measure_accuracy.py                    1000 edits
    python scripts/benchmarks/measure_accuracy.py --count 100 --json accuracy.json

Two measures: how far an edited code w_e is from a float64 solution of the flow, by the published solver (dopri5, 1e-5)
and by ours; and what bfloat16 changes in the picture (PSNR against float32) and in the judge's decisions. Exit status:
0 within the limits, 1 not, 2 wrong usage. Limits: ours no farther from the solution than the published solver in the
mean; every picture at 40 dB or more; no decision changed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.benchmarks.accuracy import bfloat16_effect, solver_errors
from utils.devices import pick_device
from utils.files import write_text
from utils.options import add_device_option

PSNR_LIMIT = 40.0


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Command line of measure_accuracy.py."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--count", type=int, default=1000, metavar="N", help="edits in bfloat16 (default: 1000)")
    parser.add_argument("--faces", type=int, default=50, metavar="N", help="faces of the solver's error (default: 50)")
    add_device_option(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured")
    options = parser.parse_args(arguments)
    if min(options.count, options.faces) < 1:
        parser.error("--count and --faces count from 1")
    try:
        options.device = pick_device(options.device)
    except ValueError as error:
        parser.error(str(error))
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    options = parse_arguments(arguments)
    solver = solver_errors(options.faces, options.device).summary()
    for name, value in solver.items():
        print(f"w_e, {name:<9}  relative error: mean {value['mean']:.1e}, largest {value['largest']:.1e}")
    low = bfloat16_effect(options.count, options.device)
    print(
        f"bfloat16, {low['edits']} edits: PSNR mean {low['psnr']['mean']:.1f} dB, least {low['psnr']['least']:.1f} dB; "
        f"{low['changed']} of {low['decisions']} decisions changed, in {low['edits_changed']} edits"
    )
    if options.json:
        write_text(options.json, json.dumps({"solver": solver, "bfloat16": low}, indent=1) + "\n")
    exact = solver["ours"]["mean"] <= solver["published"]["mean"]
    return 0 if exact and low["psnr"]["least"] >= PSNR_LIMIT and not low["changed"] else 1


if __name__ == "__main__":
    sys.exit(main())
