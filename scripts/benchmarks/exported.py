#!/usr/bin/env python
"""Time the shipped editor's exported files against PyTorch: one face, one thread, the CPU.

    python scripts/benchmarks/exported.py output/export --json results/export/cpu.json

FOLDER is what export_onnx.py wrote. Prints the size of each file and its median time; both solve the flow in the same
steps.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
from functools import partial
from pathlib import Path

import utils  # noqa: F401  before PyTorch

# isort: split

import torch

from models.editors.loading import load_editor
from models.exporting.folder import DESCRIPTION, example_values
from models.exporting.onnx_files import OnnxFile
from models.exporting.parts import plan_of
from models.flows.unrolled import unroll
from scripts.benchmarks.timing import alternate
from utils.failures import explain_failures
from utils.files import write_text
from utils.options import CommandParser, input_folder, output_file, value_of
from utils.ranges import Count


@torch.no_grad()
def rows(folder: Path, rounds: int) -> list[dict[str, object]]:
    """File, megabytes, and median milliseconds of ONNX Runtime and of PyTorch."""
    torch.set_num_threads(1)
    description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    editor, domain, _ = load_editor()
    unroll(editor, description["flow"]["steps"])
    plan, found = plan_of(editor, domain), []
    values = example_values(plan, domain, 1)
    for call, step in zip((*plan.invert, *plan.edit), (*description["invert"], *description["edit"]), strict=True):
        given = {name: values[value].numpy() for name, value in step["inputs"].items()}
        run = OnnxFile(folder / step["file"], threads=1)
        times = alternate({"onnx": partial(run, given), "pytorch": partial(call, values)}, domain.device, rounds, 3)
        milliseconds = {name: round(1000 * statistics.median(one), 1) for name, one in times.items()}
        size = round((folder / step["file"]).stat().st_size / 1e6, 1)
        found.append({"file": step["file"], "megabytes": size, **milliseconds})
    return found


def main() -> int:
    """Run the command; returns its exit status."""
    parser = CommandParser(__doc__)
    parser.add_argument("folder", type=input_folder, metavar="FOLDER", help="of export_onnx.py on the shipped editor")
    parser.add_argument("--rounds", type=value_of(Count), default=50, metavar="N", help="(default: 50)")
    parser.add_argument("--json", type=output_file, metavar="FILE", help="write the figures")
    options = parser.parse_args()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    found = rows(options.folder, options.rounds)
    for row in found:
        print(f"| `{row['file']}` | {row['megabytes']} | {row['onnx']} | {row['pytorch']} |")
    if options.json:
        about = {"cores": os.cpu_count(), "load before": load, "rounds": options.rounds}
        write_text(options.json, json.dumps({"machine": about, "rows": found}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    explain_failures()
    sys.exit(main())
