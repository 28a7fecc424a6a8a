#!/usr/bin/env python
"""Measure the peak memory of a training step of SDFlow by batch, resolution and memory-saving settings of the config.

    python scripts/benchmarks/memory.py                       FFHQ's sizes; a quarter of an hour on 2 cores
    python scripts/benchmarks/memory.py --quick               small networks, to see that it runs
    python scripts/benchmarks/memory.py --json memory.json --plot memory.png

Each point is measured in its own process, over two steps (the optimiser's state exists from the second on). The
networks have random weights, as in benchmark.py. Exit status: 0 all measured, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from models.domain import Domain
from scripts.benchmarks.measure import Plan, machine
from scripts.benchmarks.rows import FLOAT32, Setting, training_step
from scripts.benchmarks.timing import peak_memory
from utils.devices import pick_device
from utils.failures import explain_failures
from utils.files import write_text
from utils.options import CommandParser, add_device_option, output_file, output_folder
from utils.paths import ROOT, displayed
from utils.processes import in_subprocess

Settings = Mapping[str, Any]


def variants(resolution: int) -> dict[str, Settings]:
    """Config keys of the domain by what they are called; levels from an eighth of the resolution on are recomputed."""
    upper = max(resolution // 8, 8)
    return {
        "as it is": {},
        "recompute_from": {"recompute_from": upper},
        "recompute_from, synthesis_batch 1": {"recompute_from": upper, "synthesis_batch": 1},
        "the same in bfloat16": {"recompute_from": upper, "synthesis_batch": 1, "precision": "bfloat16"},
    }


@dataclass(frozen=True)
class _TrainingSetting(Setting):
    """A setting whose domain has a generator of the resolution that is measured, and further config keys."""

    settings: Settings = field(default_factory=dict)

    def domain(self, published: bool = False) -> Domain:
        domain = super().domain(published)
        domain.__dict__["generator"] = self.networks.generator(self.networks.sides[0])  # in place of the file's
        domain.settings = replace(domain.settings, **self.settings)
        domain.precision = domain.settings.precision
        return domain


def memory_of_step(plan: Plan, resolution: int, batch: int, settings: Settings) -> int | None:
    """Peak memory in bytes of this process after two training steps; meaningful in a process of its own."""
    with plan.setting() as given:
        networks = replace(given.networks, training_batch=batch, sides=(resolution, given.networks.sides[1]))
        setting = _TrainingSetting(networks, given.folder, given.scratch, given.device, settings)
        work = training_step(setting, FLOAT32)
        for _ in range(2):
            work.run()
        return peak_memory(setting.device)


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Command line of memory.py."""
    parser = CommandParser(__doc__)
    parser.add_argument("--quick", action="store_true", help="small networks")
    add_device_option(parser)
    parser.add_argument("--json", type=output_file, metavar="FILE", help="write everything measured")
    parser.add_argument("--plot", type=output_file, metavar="FILE", help="draw it (PNG)")
    parser.add_argument(
        "--folder", type=output_folder, default=ROOT / "output/benchmark", metavar="FOLDER",
        help="for the networks' files (default: output/benchmark)",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    try:
        options.device = str(pick_device(options.device))
    except ValueError as error:
        parser.error(str(error))
    return options


def table(points: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: a row for each resolution and batch."""
    names = list(dict.fromkeys(point["variant"] for point in points))
    lines = [f"| resolution | batch | {' | '.join(names)} |", "| --- " * (2 + len(names)) + "|"]
    for key in dict.fromkeys((point["resolution"], point["batch"]) for point in points):
        found = {p["variant"]: p["bytes"] for p in points if (p["resolution"], p["batch"]) == key}
        cells = [f"{found[name] / 1e9:.2f} GB" if found.get(name) else "–" for name in names]
        lines.append(f"| {key[0]}² | {key[1]} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def draw(points: Sequence[Mapping[str, Any]], full: int, batch: int, path: Path) -> None:
    """Two log-log panels: memory against the batch at full resolution, and against the resolution."""
    from models.evaluation.figures import PALETTE, plt, save  # matplotlib takes a second that --help need not wait for

    drawing, axes = plt.subplots(1, 2, figsize=(8.5, 3.4), layout="constrained", sharey=True)
    panels = (("batch", "resolution", full, f"{full}²"), ("resolution", "batch", batch, f"batch {batch}"))
    for axis, (across, fixed, value, title) in zip(axes, panels, strict=True):
        for colour, name in zip(PALETTE, dict.fromkeys(point["variant"] for point in points), strict=False):
            mine = [p for p in points if p["variant"] == name and p[fixed] == value and p["bytes"]]
            found = [(p[across], p["bytes"] / 1e9) for p in mine]
            axis.loglog(*zip(*sorted(found), strict=True), "o-", color=colour, ms=3.5, label=name)
        ticks = sorted({p[across] for p in points if p[fixed] == value})
        axis.set_xticks(ticks, [str(tick) for tick in ticks])
        axis.set_yticks([2, 4, 8, 16], ["2", "4", "8", "16"])
        axis.minorticks_off()
        axis.set_xlabel(across)
        axis.set_title(title, fontsize=9.5)
    axes[0].set_ylabel("peak memory, GB")
    axes[0].legend(fontsize=7)
    save(drawing, path, {"Title": "Memory of a training step"})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    options = parse_arguments(arguments)
    folder = options.folder.resolve() / ("small" if options.quick else "ffhq")
    plan = Plan(options.quick, folder, options.device)
    if not (folder / "editor.safetensors").is_file():
        in_subprocess(plan.networks.write, folder)
    full, batch = plan.networks.sides[0], 2
    places = [(full, count) for count in (1, 2, 4)] + [(full // 4, batch), (full // 2, batch)]
    cases = [(*place, name, settings) for place in places for name, settings in variants(place[0]).items()]
    points = []
    for resolution, count, name, settings in tqdm(cases, unit="case", dynamic_ncols=True):
        measured = in_subprocess(memory_of_step, plan, resolution, count, settings)
        points.append({"resolution": resolution, "batch": count, "variant": name, "settings": dict(settings),
                       "bytes": measured})  # fmt: skip
    if options.json:
        write_text(options.json, json.dumps({"machine": machine(plan), "points": points}, indent=1) + "\n")
    if options.plot:
        draw(points, full, batch, options.plot)
    print(table(points))
    for path in filter(None, (options.json, options.plot)):
        print(displayed(path))
    return 0


if __name__ == "__main__":
    explain_failures()
    sys.exit(main())
