#!/usr/bin/env python
"""Give edit.py and a training a folder of good, odd and broken pictures, and see whether each is dealt with by name.

    python scripts/checks/broken_pictures.py -n 100          results in results/reliability/broken_pictures.json

The folder holds every format and mode that Pillow can write and read, headers that claim sizes they do not have, broken
metadata, what is no picture at all, what is no file at all, and N files with random damage. edit.py runs on it in a
process of its own, and so does a dry run of train.py. A picture survives if both edit.py edits it and the training
would take it, or both name it with the reason; pictures that are good must be edited, pictures that nothing can read
must be named. A traceback, or another exit status than the one promised, fails them all.

Exit status: 0 all survived, 1 some did not, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from PIL import Image

from scripts.checks.broken_picture_samples import Sample, make_folder
from utils.failures import explain_failures
from utils.files import write_text
from utils.options import CommandParser, output_file, value_of
from utils.paths import ROOT, displayed
from utils.ranges import Count, Seed

PATIENCE = 3600  # seconds
FACE = ROOT / "pretrained/avatars/samples/face-01.png"


@dataclass
class Answer:
    """What a command made of the folder.

    Attributes:
        named: picture → reason.
        fault: what is wrong with the answer as a whole; empty: nothing.
    """

    named: dict[str, str]
    fault: str = ""


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Command line of broken_pictures.py."""
    parser = CommandParser(__doc__)
    parser.add_argument(
        "-n", "--count", type=value_of(Count), default=100, metavar="N",
        help="pictures with random damage (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--seed", type=value_of(Seed), default=0, help="of the damage (default: %(default)s)")
    parser.add_argument(
        "-o", "--output", type=output_file, default=ROOT / "results/reliability/broken_pictures.json", metavar="FILE",
        help="where the figures go (default: results/reliability/broken_pictures.json)",
    )  # fmt: skip
    return parser.parse_args(arguments)


def edit_all(pictures: Path, place: Path) -> Answer:
    """Edit the folder; what failed without being named on the terminal has no reason."""
    output = place / "edits"
    words = (str(pictures), "-o", str(output), "--flip", "Smiling", "--force", "--quiet", "--device=cpu")
    errors, fault = _run("edit.py", words, 1)
    if fault:
        return Answer({}, fault)
    named = {}
    for entry in json.loads((output / "report.json").read_text(encoding="utf-8"))["faces"]:
        name = str(Path(entry["input"]).relative_to(pictures))
        if entry["status"] == "failed":
            named[name] = entry["reason"] if f"edit.py: {entry['input']}: {entry['reason']}" in errors else ""
        elif not all((output / file).is_file() for file in entry["outputs"].values()):
            named[name] = ""
    return Answer(named)


def begin_training(pictures: Path, place: Path) -> Answer:
    """A dry run with the folder as data, which a second one without what it named must take."""
    config = {
        "domain": str(ROOT / "configs/domains/avatars.yaml"),
        "data": {
            "name": "latent_cache", "cache": str(place / "cache"),
            "faces": {"name": "image_folder", "folder": str(pictures), "side": 64},
        },
        "method": {"name": "linear"},
        "training": {"steps": 0, "batch_size": 4},
    }  # fmt: skip
    (place / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    words = ("--config", str(place / "config.yaml"), "--run", str(place / "run"), "--dry-run", "--device=cpu")
    errors, fault = _run("train.py", words, 2)
    listed = place / "run/unreadable_pictures.txt"  # where there are too many for the terminal
    lines = listed.read_text(encoding="utf-8").splitlines() if listed.is_file() else errors
    start = f"{displayed(pictures)}/"
    named = dict(line.strip().removeprefix(start).split(": ", 1) for line in lines if line.strip().startswith(start))
    for name in named:
        (pictures / name).unlink()
    return Answer(named, fault or _run("train.py", words, 0)[1])


def _run(command: str, words: Sequence[str], promised: int) -> tuple[list[str], str]:
    """Lines on the error stream of a command, and what is wrong with them or with its exit status."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(ROOT / command), *words], env=environment, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, errors="replace", timeout=PATIENCE, check=False,
    )  # fmt: skip
    lines = [line for line in done.stderr.splitlines() if line.strip() and "%|" not in line]  # progress bars
    strays = [line for line in lines if not line.startswith((f"{command}: ", "  "))]
    if done.returncode != promised:
        return lines, f"{command}: status {done.returncode} instead of {promised}: {done.stderr.strip()[-300:]}"
    return lines, f"{command}: {len(strays)} lines that are nobody's: {strays[-1][:300]}" if strays else ""


def verdict(sample: Sample, edit: Answer, training: Answer) -> str:
    """What is wrong with how a picture was dealt with; empty if nothing is."""
    reasons = [answer.named.get(sample.name) for answer in (edit, training)]
    if "" in reasons:
        return "forgotten, or without a reason"
    too_small = (reasons[0] or "").startswith("too small: ")  # for a face to edit; a training takes any size
    if not too_small and (reasons[0] is None) != (reasons[1] is None):
        return f"edit.py says {reasons[0] or 'good'}, train.py {reasons[1] or 'good'}"
    if sample.expected == "named" and reasons[0] is None:
        return "taken for a picture"
    return f"not read: {reasons[0]}" if sample.expected == "edited" and reasons[0] is not None else ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    options = parse_arguments(arguments)
    with tempfile.TemporaryDirectory(prefix="pictures-") as name:
        place = Path(name).resolve()
        with Image.open(FACE) as face:
            samples = make_folder(place / "pictures", face.convert("RGB"), options.count, options.seed)
        edit = edit_all(place / "pictures", place)
        training = begin_training(place / "pictures", place)
    faults = [answer.fault for answer in (edit, training) if answer.fault]
    wrong = {sample.name: fault for sample in samples if (fault := verdict(sample, edit, training))}
    survived = 0 if faults else len(samples) - len(wrong)
    failures = faults + [f"{name}: {fault}" for name, fault in wrong.items()]
    figures = {
        "command": f"python scripts/checks/broken_pictures.py -n {options.count} --seed {options.seed}",
        "tried": len(samples),
        "survived": survived,
        "edited": len(samples) - len(edit.named),
        "named": len(edit.named),
        "reasons": dict(Counter(_kind(reason) for reason in edit.named.values()).most_common()),
        "failures": failures,
    }
    write_text(options.output, json.dumps(figures, indent=2, ensure_ascii=False) + "\n")
    for line in failures:
        print(line)
    print(f"{survived} of {len(samples)} pictures were edited or named: {displayed(options.output)}")
    return 0 if survived == len(samples) else 1


def _kind(reason: str) -> str:
    """The reason without what differs from picture to picture."""
    return reason.partition(" (")[0].partition(":")[0]


if __name__ == "__main__":
    explain_failures()
    sys.exit(main())
