#!/usr/bin/env python
"""Let a small training meet full disks of many sizes, make room, resume it, and compare it with one that had room.

    python scripts/checks/full_disks.py -n 10                results in results/reliability/full_disks.json

Each trial is a process of train.py whose run folder is a file system in memory (tmpfs) that is too small by a share
that differs from trial to trial; where this user may not mount one (only root on Linux may), a limit of the size of
each file takes its place. It survives if the process ends with status 1 and one sentence that names a file, if what was
saved before is whole, and if the resumed run, with room, ends like the one that always had it, bit for bit.

Exit status: 0 all survived, 1 some did not, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from scripts.checks.kill_trainings import Trial, differences
from utils.failures import explain_failures
from utils.files import write_text
from utils.options import CommandParser, output_file, value_of
from utils.paths import ROOT, displayed
from utils.ranges import Count


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Command line of full_disks.py."""
    parser = CommandParser(__doc__)
    parser.add_argument(
        "-n", "--count", type=value_of(Count), default=10, metavar="N", help="disks (default: %(default)s)"
    )
    parser.add_argument(
        "-o", "--output", type=output_file, default=ROOT / "results/reliability/full_disks.json", metavar="FILE",
        help="where the figures go (default: results/reliability/full_disks.json)",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    if options.count < 1:
        parser.error(f"--count {options.count}: must be at least 1")
    return options


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[bool]:
    """A file system of `size` bytes at `folder`; yields whether it could be mounted."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)]
    mounted = shutil.which("mount") is not None and subprocess.run(command, capture_output=True).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)
        shutil.rmtree(folder, ignore_errors=True)


def attempt(place: Path, whole: Trial, size: int) -> tuple[str, str]:
    """Train on a disk of `size` bytes, then with room: how the first ended, and what went wrong (empty: nothing)."""
    disk = place / "disk"
    with small_disk(disk, size) as mounted:
        trial = Trial(disk / "run", whole.cache, place / "disk.txt", 0 if mounted else size // 4)
        trial.output.write_text("")
        status, said = trial.finish(), trial.output.read_text(errors="replace")
        sentence = next((line for line in said.splitlines() if line.startswith("train.py: ")), "")
        if status != 1 or str(trial.folder) not in sentence or "Traceback" in said:
            return sentence, f"status {status}: {said[-300:]}"
        if mounted:
            subprocess.run(["mount", "-o", "remount,size=1g", str(disk)], check=True)
        trial.limit = 0
        status = trial.finish()
        if status:
            return sentence, f"resumed: status {status}: {trial.output.read_text(errors='replace')[-300:]}"
        return sentence, "; ".join(differences(whole.folder, trial.folder))


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    options = parse_arguments(arguments)
    met: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory(prefix="disks-") as folder:
        place = Path(folder)
        whole = Trial(place / "whole", place / "cache", place / "whole.txt")
        if whole.finish():
            print(f"full_disks.py: {whole.output.read_text(errors='replace')[-300:]}", file=sys.stderr)
            return 2
        needed = sum(path.stat().st_size for path in whole.folder.rglob("*") if path.is_file())
        for trial in tqdm(range(options.count), unit="disk"):
            size = needed * (trial + 1) // (options.count + 1)
            sentence, wrong = attempt(place, whole, size)
            said = sentence.replace(str(place / "disk"), "RUN")
            met.append({"kilobytes": size // 1024, "said": said, "wrong": wrong})
    survived = sum(not entry["wrong"] for entry in met)
    figures = {
        "command": f"python scripts/checks/full_disks.py -n {options.count}",
        "tried": options.count,
        "survived": survived,
        "disks": met,
    }
    write_text(options.output, json.dumps(figures, indent=2) + "\n")
    print(f"{survived} of {options.count} trainings went on after a full disk: {displayed(options.output)}")
    return 0 if survived == options.count else 1


if __name__ == "__main__":
    explain_failures()
    sys.exit(main())
