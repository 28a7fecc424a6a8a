"""Measuring a row: outputs compared first, then all variants timed in turn; memory in a process of each variant."""

from __future__ import annotations

import datetime
import math
import os
import platform
import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.stylegan2 import ops
from scripts.benchmarks.rows import BFLOAT16, FLOAT32, GRADIENT_PSNR, PUBLISHED, ROWS, Row, Setting, Work, growth
from scripts.benchmarks.stand_ins import StandIns
from scripts.benchmarks.timing import alternate, matmul_rate, peak_memory
from utils.devices import keep_freed_memory

_DTYPES = {FLOAT32: torch.float32, BFLOAT16: torch.bfloat16}


class Disagreement(ArithmeticError):
    """Ours gives another result than the published formulation: there is nothing to compare the times of."""


@dataclass(frozen=True)
class Plan:
    """How to measure.

    Attributes:
        small: try the benchmark out on small networks.
        folder: of the networks' files, see `StandIns.write`.
        device: name of the device.
        threads: CPU threads; 0 leaves PyTorch's choice.
        rounds: of which the median counts.
    """

    small: bool
    folder: Path
    device: str
    threads: int = 0
    rounds: int = 5

    @property
    def networks(self) -> StandIns:
        """The networks to measure on."""
        return StandIns.small() if self.small else StandIns.ffhq()

    @contextmanager
    def setting(self) -> Iterator[Setting]:
        """This process as the commands would set it up, with a folder that is gone afterwards."""
        keep_freed_memory()
        if self.threads:
            torch.set_num_threads(self.threads)
        with tempfile.TemporaryDirectory(prefix="benchmark-") as scratch:
            yield Setting(self.networks, self.folder, Path(scratch), torch.device(self.device))


def row_named(name: str, plan: Plan) -> Row:
    """A row of the table or a point of a series."""
    points = [row for series in growth(plan.networks) for line in series.lines.values() for _, row in line]
    return next(row for row in (*ROWS, *points) if row.name == name)


def relative_error(ours: Tensor, published: Tensor) -> float:
    """‖ours − published‖ / ‖published‖; infinite where shapes differ or ours is no number."""
    if ours.shape != published.shape:
        return math.inf
    error = float((ours.double() - published.double()).norm() / published.double().norm())
    return error if math.isfinite(error) else math.inf


def psnr(ours: Tensor, published: Tensor) -> float:
    """Peak signal-to-noise ratio in dB, the peak being the span of the published values (2 for a full picture)."""
    if ours.shape != published.shape or not torch.isfinite(ours).all():
        return -math.inf
    error = (ours.double() - published.double()).square().mean()
    span = published.double().max() - published.double().min()
    return float(10 * torch.log10(span.square() / error))


def compare(row: Row, works: dict[str, Work]) -> dict[str, dict[str, float]]:
    """By variant and output, the relative error in float32 and the PSNR in bfloat16 of the last runs.

    Raises:
        Disagreement: beyond the row's tolerance.
    """
    published = works[PUBLISHED].outputs()
    found: dict[str, dict[str, float]] = {}
    for variant in row.goals:
        ours = works[variant].outputs()
        measure = psnr if variant == BFLOAT16 else relative_error
        found[variant] = {name: measure(ours[name], value) for name, value in published.items()}
        for name, value in found[variant].items():
            least = GRADIENT_PSNR if name.startswith("gradient") else row.psnr
            if variant == BFLOAT16 and not value >= least:
                raise Disagreement(f"{row.name}, {variant}: {name} has a PSNR of {value:.1f} dB, not {least:g}")
            if variant != BFLOAT16 and not value <= row.tolerance:
                raise Disagreement(f"{row.name}: {name} differs by {value:.1e}, tolerance {row.tolerance:.0e}")
    return found


def time_row(name: str, plan: Plan) -> dict[str, Any]:
    """Times, ratios and shares of the floor of a row, as JSON takes them.

    Raises:
        Disagreement: the results differ.
    """
    row = row_named(name, plan)
    with plan.setting() as setting:
        works = {variant: row.build(setting, variant) for variant in row.variants}
        for work in works.values():
            work.run()
        agreement = compare(row, works)
        side = 256 if plan.small else 2048 if setting.device.type == "cpu" else 8192
        rates = {variant: matmul_rate(_DTYPES[variant], setting.device, side) for variant in row.goals}
        runs: dict[str, Callable[[], Any]] = {variant: work.run for variant, work in works.items()}
        times = alternate(runs, setting.device, plan.rounds)
        units = {variant: work.units for variant, work in works.items()}
        seconds = {variant: statistics.median(values) / units[variant] for variant, values in times.items()}
        flop = {variant: works[variant].flop() / units[variant] for variant in row.goals}
    return {
        "name": row.name,
        "title": row.title,
        "goals": dict(row.goals),
        "rounds": {variant: [value / units[variant] for value in values] for variant, values in times.items()},
        "seconds": seconds,
        "spread": {v: [min(values) / units[v], max(values) / units[v]] for v, values in times.items()},
        "ratio": {variant: seconds[PUBLISHED] / seconds[variant] for variant in row.goals},
        "flop": flop,
        "matmul_flop_per_second": rates,
        "share_of_floor": {v: flop[v] / rates[v] / seconds[v] for v in row.goals},
        "relative_error": agreement[FLOAT32],
        "psnr": agreement.get(BFLOAT16, {}),
        "memory": {},
    }


def memory_of(name: str, variant: str, plan: Plan) -> int | None:
    """Peak memory in bytes of this process after two runs of a variant; meaningful in a process of its own."""
    with plan.setting() as setting:
        work = row_named(name, plan).build(setting, variant)
        for _ in range(2):  # an optimiser's state is there from the second step on
            work.run()
        return peak_memory(setting.device)


def machine(plan: Plan) -> dict[str, Any]:
    """What the numbers depend on besides the code."""
    device = torch.device(plan.device)
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": plan.threads or torch.get_num_threads(),
        "load": [round(value, 2) for value in os.getloadavg()] if hasattr(os, "getloadavg") else None,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else plan.device,
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "operators": _operators(device.type),
        "networks": plan.networks.domain["name"],
    }


def _operators(device: str) -> str:
    """Form of the custom operators, with the reason where it is not the compiled one."""
    form, reason = ops.status()[device]
    return form if form == "compiled" else f"{form} ({reason})"


def _processor() -> str:
    """The CPU's name where the system tells it."""
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text().splitlines() if listing.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
