#!/usr/bin/env python
"""Train all networks of the avatar domain in stages and write them to pretrained/avatars/.

    python scripts/build_avatars.py                              all stages that are not up to date
    python scripts/build_avatars.py --dry-run                    list the stages to be trained, and why
    python scripts/build_avatars.py --stages judge teacher       only these
    python scripts/build_avatars.py --force generator            train again from scratch, and what depends on it

Each stage runs `python train.py --config …` in its own run folder; the generator is then calibrated
(scripts/avatars/calibrate_generator.py). A stage is up to date when its weight file is in pretrained/avatars/ and was
trained with the present config and the present networks. Ctrl-C stops at any time; the next call continues from there.
Training times are recorded in pretrained/avatars/build.json. At the end the networks are measured
(scripts/avatars/measure_domain.py). Exit status: 0 done, 1 stopped, 2 wrong usage.

stage            config                                needs
judge            configs/avatars/judge.yaml
teacher          configs/avatars/teacher.yaml
identity         configs/avatars/identity.yaml
generator_start  configs/avatars/generator_start.yaml  teacher
generator        configs/avatars/generator.yaml        teacher, generator_start
encoder          configs/avatars/encoder.yaml          generator, teacher, identity
parser           configs/avatars/parser.yaml           generator, encoder
sdflow           configs/sdflow/avatars_balanced.yaml  generator, encoder, teacher
s2flow           configs/s2flow/avatars.yaml           generator, encoder, teacher, identity, parser
id_swap          configs/id_swap/avatars.yaml          generator, encoder, teacher, identity

The result of generator_start stays in its run folder; it is trained only when the generator is.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.failures import explain_failures
from utils.options import CommandParser

# Settings that change what is shown or kept of a training, not what comes out of it.
_DISPLAY = (
    "log_every", "preview_every", "preview_images", "checkpoint_every", "keep_checkpoints", "workers", "threads"
)  # fmt: skip


@dataclass(frozen=True)
class Stage:
    """A training whose result is one network of the domain.

    Attributes:
        name: of the stage.
        config: file for train.py.
        part: section of the domain's config that says the network's sizes; also the stem of the run's weight file.
        needs: stages whose networks this one is trained with.
        half: ship its matrices and kernels in 16 bits.
        intermediate: its result stays in the run folder; it is trained only where a stage that needs it is.
        calibrated: scripts/avatars/calibrate_generator.py goes over its result before it ships.
        ships_as: stem of the weight file that ships; by default `part`.
    """

    name: str
    config: str
    part: str
    needs: tuple[str, ...] = ()
    half: bool = False
    intermediate: bool = False
    calibrated: bool = False
    ships_as: str = ""


STAGES = (
    Stage("judge", "configs/avatars/judge.yaml", "judge", half=True),
    Stage("teacher", "configs/avatars/teacher.yaml", "teacher", half=True),
    Stage("identity", "configs/avatars/identity.yaml", "identity", half=True),
    Stage("generator_start", "configs/avatars/generator_start.yaml", "generator", ("teacher",), intermediate=True),
    Stage("generator", "configs/avatars/generator.yaml", "generator", ("teacher", "generator_start"), calibrated=True),
    Stage("encoder", "configs/avatars/encoder.yaml", "encoder", ("generator", "teacher", "identity"), half=True),
    Stage("parser", "configs/avatars/parser.yaml", "parser", ("generator", "encoder"), half=True),
    Stage("sdflow", "configs/sdflow/avatars_balanced.yaml", "editor", ("generator", "encoder", "teacher")),
    Stage(
        "s2flow", "configs/s2flow/avatars.yaml", "editor", ("generator", "encoder", "teacher", "identity", "parser"),
        half=True, ships_as="s2flow",
    ),  # fmt: skip
    Stage(
        "id_swap", "configs/id_swap/avatars.yaml", "editor", ("generator", "encoder", "teacher", "identity"),
        half=True, ships_as="id_swap",
    ),  # fmt: skip
)
BY_NAME = {stage.name: stage for stage in STAGES}


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Command line of build_avatars.py."""
    parser = CommandParser(__doc__)
    names = list(BY_NAME)
    parser.add_argument(
        "--stages", nargs="+", choices=names, default=names, metavar="STAGE", help="train only these (default: all)"
    )
    parser.add_argument(
        "--force",
        nargs="+",
        choices=names,
        default=[],
        metavar="STAGE",
        help="train these from scratch even if they are up to date",
    )
    parser.add_argument("--dry-run", action="store_true", help="list the stages to be trained, then exit")
    parser.add_argument("--no-measure", action="store_true", help="do not run measure_domain.py at the end")
    options = parser.parse_args(arguments)
    outside = [name for name in options.force if name not in options.stages]
    if outside:
        parser.error(f"--force {outside[0]}: not among --stages {' '.join(options.stages)}")
    return options


if __name__ == "__main__":
    explain_failures()
    parse_arguments()  # --help and usage errors are reported before importing PyTorch

from training.checkpoints import checkpoint_names
from utils.config import ConfigError, load_config
from utils.failures import described, exit_status
from utils.files import write_text
from utils.paths import ROOT, displayed
from utils.weights import WeightsError, load_weights, save_weights


def what_counts(config: Mapping[str, Any], stage: Stage) -> dict[str, Any]:
    """The recipe of a run's weights: its resolved config without folders, display, and the weights it started from."""

    def without_cache(section: Any) -> Any:
        if not isinstance(section, Mapping):
            return section
        return {key: without_cache(value) for key, value in section.items() if key != "cache"}

    domain = config.get("domain", {})
    sizes = {
        BY_NAME[name].part: without_cache(domain.get(BY_NAME[name].part, {})) for name in (stage.name, *stage.needs)
    }
    return {
        "attributes": list(domain.get("attributes", [])),
        "image_side": domain.get("image_side"),
        "networks": sizes,
        "data": without_cache(config.get("data")),
        "method": {key: value for key, value in config.get("method", {}).items() if not key.startswith("initial")},
        "training": {key: value for key, value in config.get("training", {}).items() if key not in _DISPLAY},
    }


def differences(old: Any, new: Any, key: str = "") -> list[str]:
    """`dotted.key: old → new` for every leaf that differs, tuples being lists and numbers as keys text, as in JSON."""
    old, new = _plain(old), _plain(new)
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        found = []
        for name in sorted({*old, *new}):
            found += differences(old.get(name), new.get(name), f"{key}.{name}" if key else name)
        return found
    return [] if old == new else [f"{key}: {old!r} → {new!r}"]


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


def file_hash(path: Path) -> str:
    """Short hash of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def minutes_between_files(folder: Path) -> float:
    """Length of a run that train.py was called for by hand: from its config to its last checkpoint."""
    last = checkpoint_names(folder / "checkpoints")[-1]
    ended = (folder / "checkpoints" / f"{last}.safetensors").stat().st_mtime
    return max(ended - (folder / "config.yaml").stat().st_mtime, 0.0) / 60


class Build:
    """State of the build: configs, runs, exported weights and the record of what was made with what.

    Args:
        root: folder that holds configs/, runs/ and pretrained/.
        train: command that trains, before its `--config` or `--resume`.
        calibrate: command that calibrates, before the weight file and `-o` with the new one.
    """

    def __init__(self, root: Path, train: tuple[str, ...], calibrate: tuple[str, ...] = ()) -> None:
        self.root, self.train, self.calibrate = root, train, calibrate
        self.folder = root / "pretrained/avatars"
        self.record_path = self.folder / "build.json"
        self.record: dict[str, Any] = {}
        if self.record_path.is_file():
            self.record = json.loads(self.record_path.read_text("utf-8"))

    def config(self, stage: Stage) -> dict[str, Any]:
        """The resolved config of a stage, as train.py stores it."""
        config = load_config(self.root / stage.config)
        if isinstance(config.get("domain"), str):
            config["domain"] = load_config(self.root / config["domain"]).plain()
        return config.plain()

    def run_folder(self, stage: Stage) -> Path:
        """Where train.py puts the stage's run."""
        return self.root / "runs" / str(self.config(stage)["run"])

    def weights(self, stage: Stage) -> Path:
        """Where the stage's result ships, or stays."""
        if stage.intermediate:
            return self.run_folder(stage) / f"{stage.part}.safetensors"
        return self.folder / f"{stage.ships_as or stage.part}.safetensors"

    def inputs(self, stage: Stage) -> dict[str, str]:
        """Hashes of the weight files that the stage is trained with, of those that exist."""
        paths = {name: self.weights(BY_NAME[name]) for name in stage.needs}
        return {name: file_hash(path) for name, path in paths.items() if path.is_file()}

    def why(self, stage: Stage) -> str | None:
        """Why the stage is to be trained, or None where it is done."""
        path = self.weights(stage)
        if not path.is_file():
            return "no weights yet"
        try:
            made_with = load_weights(path)[1].get("config")
        except WeightsError as error:
            return str(error)
        if made_with is None:
            return "the weights do not say which config made them"
        changed = differences(what_counts(made_with, stage), what_counts(self.config(stage), stage))
        if changed:
            return "config changed: " + "; ".join(changed[:3]) + (f"; {len(changed) - 3} more" if changed[3:] else "")
        noted = self.record.get(stage.name, {}).get("inputs", {})
        now = self.inputs(stage)
        newer = [name for name in noted if name in now and noted[name] != now[name]]
        return f"trained with an earlier {', '.join(newer)}" if newer else None

    def set_aside(self, folder: Path) -> Path:
        """Rename a run folder, so that a new run can take its place; nothing is deleted."""
        number = 1
        while (aside := folder.with_name(f"{folder.name}.old-{number}")).exists():
            number += 1
        folder.rename(aside)
        return aside

    def continues(self, stage: Stage, folder: Path) -> bool:
        """Whether a run folder holds a run of the present config."""
        if not checkpoint_names(folder / "checkpoints") or not (folder / "config.yaml").is_file():
            return False
        old = load_config(folder / "config.yaml").plain()
        return not differences(what_counts(old, stage), what_counts(self.config(stage), stage))

    def make(self, stage: Stage, force: bool) -> int:
        """Train a stage, or finish its training, and ship the result; returns train.py's exit status."""
        folder = self.run_folder(stage)
        entry = self.record.setdefault(stage.name, {"minutes": 0.0})
        inputs = self.inputs(stage)
        going_on = not force and self.continues(stage, folder) and entry.get("inputs", inputs) == inputs
        if not going_on:
            if folder.exists():
                print(f"   the earlier run is kept in {displayed(self.set_aside(folder))}")
            entry["minutes"] = 0.0
        elif not entry["minutes"]:
            entry["minutes"] = minutes_between_files(folder)
        entry["inputs"] = inputs
        began = time.monotonic()
        command = [*self.train, *(("--resume", str(folder)) if going_on else ("--config", stage.config))]
        print(f"   {' '.join(command[1:])}", flush=True)
        status = run(command, self.root)
        entry["minutes"] = round(entry["minutes"] + (time.monotonic() - began) / 60, 2)
        entry["cores"] = os.cpu_count()
        self.save_record()
        if status:
            return status
        made = folder / f"{stage.part}.safetensors"
        if not made.is_file():
            print(f"build_avatars.py: {displayed(folder)} ended without {made.name}", file=sys.stderr)
            return 1
        if stage.calibrated:
            trained, made = made, made.with_stem(f"{stage.part}-calibrated")
            if status := run([*self.calibrate, str(trained), "-o", str(made)], self.root):
                return status
        if not stage.intermediate:
            ship(made, self.weights(stage), stage.half)
        entry["weights"] = file_hash(self.weights(stage))
        self.save_record()
        print(f"   {displayed(self.weights(stage))}, {entry['minutes']:.1f} minutes")
        return 0

    def save_record(self) -> None:
        """Write build.json."""
        write_text(self.record_path, json.dumps(self.record, indent=2) + "\n")


def ship(made: Path, target: Path, half: bool) -> None:
    """Copy a weight file; with `half`, matrices and kernels are stored in 16 bits (they are loaded as 32 again)."""
    state, metadata = load_weights(made)
    if half:  # vectors stay as they are: running variances may be too small for 16 bits; so does what codes start from
        state = {
            key: value.half() if value.is_floating_point() and value.dim() > 1 and key != "latent_avg" else value
            for key, value in state.items()
        }
    save_weights(target, state, metadata)


def run(command: list[str], folder: Path) -> int:
    """Run a command to its end, also through Ctrl-C, which reaches it as well and makes it save; its exit status."""
    with subprocess.Popen(command, cwd=folder) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                print("\nwaiting for the training to save its state …", flush=True)


def plan(build: Build, chosen: list[str], forced: list[str]) -> dict[str, str]:
    """Stages to be trained, in order, with the reason; stages that use a retrained one follow it."""
    reasons: dict[str, str] = {}
    for stage in STAGES:
        if stage.name not in chosen:
            continue
        earlier = [name for name in stage.needs if name in reasons]
        reason = "forced" if stage.name in forced else build.why(stage)
        if reason is None and earlier:
            reason = f"{', '.join(earlier)} will be new"
        users = [other for other in STAGES if stage.name in other.needs and other.name in chosen]
        if stage.intermediate and not earlier and stage.name not in forced:
            reason = reason if any(user.name in forced or build.why(user) for user in users) else None
        if reason is not None:
            reasons[stage.name] = reason
    return reasons


def main(arguments: list[str] | None = None, build: Build | None = None) -> int:
    """Run the command; returns its exit status: 0 done, 1 stopped, 2 wrong usage."""
    options = parse_arguments(arguments)
    train, calibrate = ROOT / "train.py", ROOT / "scripts/avatars/calibrate_generator.py"
    build = build or Build(ROOT, (sys.executable, str(train)), (sys.executable, str(calibrate)))
    try:
        reasons = plan(build, options.stages, options.force)
        for name in options.stages:
            print(f"{name:<15} {'train: ' + reasons[name] if name in reasons else 'done'}")
        if options.dry_run:
            return 0
        for number, name in enumerate(reasons, 1):
            print(f"\n== {number}/{len(reasons)} {name}", flush=True)
            status = build.make(BY_NAME[name], force=name in options.force)
            if status:
                print(f"stopped at {name}; the same command continues from there", file=sys.stderr)
                return 1
    except (ConfigError, WeightsError, OSError) as error:
        print(f"build_avatars.py: {described(error)}", file=sys.stderr)
        return exit_status(error)
    total = sum(entry["minutes"] for entry in build.record.values())
    print(f"\nall stages done: {', '.join(options.stages)} ({total:.0f} minutes of training in all)")
    if options.no_measure:
        return 0
    return run([sys.executable, str(ROOT / "scripts/avatars/measure_domain.py")], ROOT)


if __name__ == "__main__":
    sys.exit(main())
