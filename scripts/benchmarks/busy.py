"""The row of a busy machine: edit.py beside programs that want the cores, with one thread and with two.

Threads that wait for each other by spinning take the time of those that they wait for: two of them needed four times as
long as one beside five busy loops on two cores, see `utils/threads.py`.
"""

from __future__ import annotations

import datetime
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from datasets.avatars import AvatarFaces
from models.stylegan2 import ops
from scripts.benchmarks import BUSY
from utils.images import to_pillow
from utils.paths import ROOT

FACES, LOOPS = 60, 5
LIMIT = 1.3  # seconds with two threads / seconds with one, at most
THREADS = ("1", "2")
# ends with the process that started it, whose id it is given
LOOP = "import os, sys; parent = int(sys.argv[1])\nwhile os.getppid() == parent: pass"


def measure_busy(rounds: int, faces: int = FACES, loops: int = LOOPS) -> dict[str, Any]:
    """Seconds of `edit.py --flip Male` on drawn faces, its start included, as JSON takes them.

    Raises:
        RuntimeError: edit.py failed.
    """
    times: dict[str, list[float]] = {threads: [] for threads in THREADS}
    with tempfile.TemporaryDirectory(prefix="benchmark-") as scratch:
        pictures = Path(scratch, "faces")
        pictures.mkdir()
        for index, face in enumerate(_faces(faces)):
            face.save(pictures / f"{index:02}.png")
        ops.status()  # builds the compiled operators where they are missing
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None  # of others
        with busy_loops(loops):
            for index in range(rounds):
                for threads in THREADS:
                    start = time.perf_counter()
                    _edit(pictures, Path(scratch, f"{index}-{threads}"), threads)
                    times[threads].append(time.perf_counter() - start)
    seconds = {threads: statistics.median(values) for threads, values in times.items()}
    return {
        "name": BUSY,
        "title": f"edit.py on {faces} drawn faces beside {loops} busy loops",
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "load": load,
        "limit": LIMIT,
        "rounds": times,
        "seconds": seconds,
        "spread": {threads: [min(values), max(values)] for threads, values in times.items()},
        "ratio": seconds["2"] / seconds["1"],
    }


@contextmanager
def busy_loops(count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """This many processes that never wait."""
    loops = [subprocess.Popen([sys.executable, "-c", LOOP, str(os.getpid())]) for _ in range(count)]
    try:
        yield loops
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def busy_line(row: Mapping[str, Any]) -> str:
    """The result as a sentence."""
    if "error" in row:
        return f"{row['title']}: {row['error']}"
    found = [f"{row['seconds'][n]:.1f} s ({row['spread'][n][0]:.1f}–{row['spread'][n][1]:.1f})" for n in THREADS]
    return (
        f"{row['title']}: {found[0]} with one thread, {found[1]} with two, {row['ratio']:.2f} times as long "
        f"(≤ {row['limit']:g}); medians of {len(row['rounds']['1'])} rounds"
    )


def _faces(count: int) -> Iterator[Any]:
    data = AvatarFaces(count, "test")
    return (to_pillow(data[index]["image"]) for index in range(count))


def _edit(pictures: Path, output: Path, threads: str) -> None:
    command = [sys.executable, str(ROOT / "edit.py"), str(pictures), "-o", str(output), "--aligned", "--flip", "Male"]
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "PYTHONPATH": str(ROOT)}
    result = subprocess.run([*command, "--device", "cpu"], capture_output=True, text=True, check=False, env=environment)
    if result.returncode:
        said = (result.stderr.strip().splitlines() or ["nothing"])[-1]
        raise RuntimeError(f"edit.py failed with status {result.returncode}: {said}")
