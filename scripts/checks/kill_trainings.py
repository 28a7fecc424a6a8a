#!/usr/bin/env python
"""Kill a small training at random moments, resume it, and compare the result with that of a training left alone.

    python scripts/checks/kill_trainings.py -n 30            SDFlow on 64 drawn faces; results/reliability/kills.json

Each trial is a process of train.py that gets SIGKILL, which no program can catch, at a moment drawn uniformly from the
length of an unbroken training (every sixth while it starts), and a second process that resumes. It survives if that
ends with status 0, if weights, optimisers, random generators, log, previews and the exported editor are those of the
unbroken training, bit for bit, and if no temporary file is left.

Exit status: 0 all survived, 1 some did not, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import random
import resource
import shutil
import sys
import tempfile
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import utils  # noqa: F401 (before PyTorch, see utils/threads.py)

# isort: split
import torch
from tqdm import tqdm

from training.checkpoints import checkpoint_names, read_checkpoint
from utils.failures import explain_failures
from utils.files import write_text
from utils.options import CommandParser, output_file, value_of
from utils.paths import ROOT, displayed
from utils.ranges import Count, Seed

CONFIG = "configs/sdflow/avatars.yaml"
OVERRIDES = (
    "training.steps=40", "training.batch_size=4", "training.log_every=7", "training.preview_every=4",
    "training.checkpoint_every=3", "training.preview_images=2", "training.threads=1",
    "method.flow.hidden=[32]", "method.semantic_encoder.width=4", "data.faces.count=64", "validation.faces.count=4",
)  # fmt: skip
LIMIT = 600.0  # seconds after which a training counts as stuck


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Command line of kill_trainings.py."""
    parser = CommandParser(__doc__)
    parser.add_argument(
        "-n", "--count", type=value_of(Count), default=30, metavar="N", help="kills (default: %(default)s)"
    )
    parser.add_argument("--seed", type=value_of(Seed), default=0, help="of the moments (default: %(default)s)")
    parser.add_argument(
        "-o", "--output", type=output_file, default=ROOT / "results/reliability/kills.json", metavar="FILE",
        help="where the figures go (default: results/reliability/kills.json)",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    if options.count < 1:
        parser.error(f"--count {options.count}: must be at least 1")
    return options


def _train(arguments: list[str], log: str, limit: int = 0) -> None:
    """Body of a process: train.py with its output in a file, no file larger than the limit (0: none)."""
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    stream = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(stream, 1)
    os.dup2(stream, 2)
    import train  # the server that processes are forked from has read it already

    sys.exit(train.main(arguments))


class Trial:
    """A run folder and the processes that train in it.

    Args:
        output: file of what they print (default: beside the folder).
        limit: of the size of a file, in bytes; 0: none.
    """

    def __init__(self, folder: Path, cache: Path, output: Path | None = None, limit: int = 0) -> None:
        self.folder, self.cache, self.limit = folder, cache, limit
        self.output = output or folder.with_suffix(".txt")
        self.stepping = folder / "tensorboard"  # made when the first step begins
        caches = [f"{part}cache={cache}" for part in ("data.", "data.faces.", "validation.", "validation.faces.")]
        self.begin = ["--config", str(ROOT / CONFIG), "--run", str(folder), *OVERRIDES, *caches]

    def start(self) -> BaseProcess:
        """Begin the run, or resume it if it was begun."""
        begun = (self.folder / "config.yaml").is_file()
        arguments = ["--resume", str(self.folder)] if begun else self.begin
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["train"])
        arguments = [*arguments, "--quiet", "--device=cpu"]
        process = context.Process(target=_train, args=(arguments, str(self.output), self.limit))
        process.start()
        return process

    def finish(self) -> int:
        """Train to the end; returns the exit status."""
        process = self.start()
        process.join(LIMIT)
        if process.is_alive():
            process.kill()
            process.join()
        return process.exitcode if process.exitcode is not None else -1

    def kill_after(self, seconds: float, of_the_start: bool) -> bool:
        """Whether the training was killed before it ended; seconds count from its first step, or from the start."""
        process = self.start()
        while not of_the_start and process.is_alive() and not self.stepping.exists():
            process.join(0.01)
        process.join(seconds)
        process.kill()
        process.join()
        return process.exitcode != 0


def differences(one: Path, other: Path) -> list[str]:
    """Names of what two finished runs do not have in common, bit for bit."""
    found = []
    names = [checkpoint_names(folder / "checkpoints") for folder in (one, other)]
    if names[0] != names[1]:
        return [f"checkpoints {names[1]} instead of {names[0]}"]
    for name in names[0]:
        first, second = (read_checkpoint(folder / "checkpoints", name) for folder in (one, other))
        if not _equal(first.weights, second.weights):
            found.append(f"{name}: weights")
        found += [f"{name}: {key}" for key in first.state if not _equal(first.state[key], second.state.get(key))]
    pictures = [sorted(path.name for path in (folder / "previews").iterdir()) for folder in (one, other)]
    if pictures[0] != pictures[1]:
        return [*found, f"previews {pictures[1]} instead of {pictures[0]}"]
    files = ["log.jsonl", "editor.safetensors", "config.yaml", *(f"previews/{name}" for name in pictures[0])]
    found += [name for name in files if (one / name).read_bytes() != (other / name).read_bytes()]
    return found + [f"{path.name} is left" for path in other.rglob(".partial-*")]


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(_equal(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    return bool(one == other)


def attempt(trial: Trial, whole: Path, seconds: float, of_the_start: bool) -> tuple[str, str] | None:
    """Kill and resume: how far the training was, and what went wrong (empty: nothing); None if it ended before."""
    if not trial.kill_after(seconds, of_the_start):
        return None
    names = checkpoint_names(trial.folder / "checkpoints")
    reached = names[-1] if names else "before the first checkpoint"
    status = trial.finish()
    if status:
        return reached, f"status {status}: {trial.output.read_text(errors='replace')[-300:]}"
    return reached, "; ".join(differences(whole, trial.folder))


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    options = parse_arguments(arguments)
    draw = random.Random(options.seed)
    reached: dict[str, int] = {}
    failures: list[str] = []
    with tempfile.TemporaryDirectory(prefix="kills-") as place:
        cache = Path(place) / "cache"
        warm_up, whole = Trial(Path(place) / "first", cache), Trial(Path(place) / "whole", cache)
        starting = stepping = 0.0
        for trial in (warm_up, whole):  # the first one fills the cache
            began = time.time()
            if trial.finish():
                print(f"kill_trainings.py: {trial.output.read_text(errors='replace')[-300:]}", file=sys.stderr)
                return 2
            starting = trial.stepping.stat().st_ctime - began
            stepping = max(path.stat().st_mtime for path in trial.folder.glob("checkpoints/*")) - began - starting
        with tqdm(total=options.count, unit="kill") as bar:
            while sum(reached.values()) < options.count:
                trial = Trial(Path(place) / "killed", cache)
                of_the_start = sum(reached.values()) % 6 == 5
                moment = draw.uniform(0, starting if of_the_start else stepping)
                result = attempt(trial, whole.folder, moment, of_the_start)
                if result is not None:
                    reached[result[0]] = reached.get(result[0], 0) + 1
                    if result[1]:
                        failures.append(f"{moment:.2f} s, {result[0]}: {result[1]}")
                        bar.write(failures[-1])
                    bar.update()
                shutil.rmtree(trial.folder, ignore_errors=True)
                with contextlib.suppress(FileNotFoundError):
                    trial.output.unlink()
    tried = sum(reached.values())
    figures = {
        "command": f"python scripts/checks/kill_trainings.py -n {options.count} --seed {options.seed}",
        "tried": tried,
        "survived": tried - len(failures),
        "last checkpoint when killed": dict(sorted(reached.items())),
        "failures": failures,
    }
    write_text(options.output, json.dumps(figures, indent=2) + "\n")
    print(f"{tried - len(failures)} of {tried} killed trainings ended unharmed: {displayed(options.output)}")
    return 1 if failures else 0


if __name__ == "__main__":
    explain_failures()
    sys.exit(main())
