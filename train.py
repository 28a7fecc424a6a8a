#!/usr/bin/env python
"""Train SDFlow, or any other method or part of a domain, from a config.

    python train.py --config configs/sdflow/avatars.yaml                  train; results in runs/<run of the config>
    python train.py --config configs/sdflow/avatars.yaml training.steps=50 training.batch_size=8
    python train.py --resume runs/sdflow-avatars                          continue after a stop or a crash, bit for bit
    python train.py --resume RUN domain=CONFIG                            the same, with networks that have moved there
    python train.py --config configs/sdflow/ffhq.yaml --dry-run           print config, networks and sizes, do not train

Exit status: 0 done, 1 stopped (interrupted, a loss was not finite, data went bad, the disk is full), 2 wrong usage, or
another training writes into the run folder.
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

from utils.failures import explain_failures
from utils.options import CommandParser, add_device_option, not_empty, output_folder


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Command line of train.py."""
    parser = CommandParser(__doc__, prog="train.py")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--config", type=not_empty, metavar="FILE", help="config of the run, such as configs/sdflow/avatars.yaml"
    )
    source.add_argument(
        "--resume",
        type=output_folder,
        metavar="RUN",
        help="run folder to continue from its last checkpoint, with the config saved there",
    )
    parser.add_argument(
        "overrides", nargs="*", metavar="KEY=VALUE", help="override a key of the config: training.steps=50"
    )
    parser.add_argument(
        "--run", type=output_folder, metavar="FOLDER", help="run folder (default: runs/<run of the config>)"
    )
    add_device_option(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="build everything, print config, networks and sizes, then exit"
    )
    parser.add_argument("--quiet", action="store_true", help="do not show a progress bar")
    options = parser.parse_intermixed_args(arguments)
    keys = [override.partition("=")[0] for override in options.overrides]
    for key in keys:
        if keys.count(key) > 1:
            parser.error(f"{key[:60]} is given twice; it takes one value")
    if options.resume and options.run:
        parser.error("--run: a run that goes on stays in its folder, the one that --resume names")
    return options


if __name__ == "__main__":
    explain_failures()
    parse_arguments()  # --help and usage errors are reported before importing PyTorch

import numpy as np
import torch
import yaml

from datasets import DATASETS
from datasets.alignment_check import report_alignment
from datasets.pictures import Prepares, UnreadablePictures, check_pictures
from models.domain import Domain
from models.editing.aligners import build_aligner
from models.editors.relocation import relocated
from training.checkpoints import checkpoint_names, remove_incomplete, weights_names
from training.dry_run import describe
from training.loop import Interrupted, NonFiniteLoss, Trainer, UnreadableItem
from training.methods import METHODS
from training.settings import SECTIONS, TrainingSettings
from utils.config import ConfigError, Section, check_arguments, load_config, nearest
from utils.devices import keep_freed_memory, pick_device
from utils.failures import described, exit_status, ran_out_of_memory
from utils.files import remove_litter, write_text
from utils.locks import only_writer
from utils.paths import ROOT, displayed, resolve
from utils.ranges import Text
from utils.weights import WeightsError


def read_config(options: argparse.Namespace) -> Section:
    """The resolved config: the named domain file is read into it, so that it stands alone.

    Raises:
        ConfigError: unreadable, no section, or a section that is unknown.
    """
    if options.resume:
        path = options.resume / "config.yaml"
        if not path.is_file():
            raise ConfigError(f"{displayed(options.resume)}: no run to resume (it has no config.yaml)")
        places = [override for override in options.overrides if override.startswith("domain=")]
        config = load_config(path, [override for override in options.overrides if override not in places])
        place = places[-1].removeprefix("domain=") if places else None  # where the networks lie now
        config["domain"] = relocated(config.section("domain"), path.parent, config=place).plain()
    else:
        config = new_config(options.config, options.overrides)
    for key in config:
        if key not in SECTIONS:
            raise ConfigError(f"{config.where(key)}: no such section{nearest(key, SECTIONS)}")
    return config


def new_config(path: str, overrides: list[str]) -> Section:
    """The config of a file, with that of its domain in it."""
    of_domain = [override for override in overrides if override.startswith("domain.")]
    config = load_config(path, [override for override in overrides if override not in of_domain])
    if not isinstance(config.get("domain"), str):
        return load_config(path, overrides)
    domain = load_config(resolve(config["domain"]), [override.removeprefix("domain.") for override in of_domain])
    config["domain"] = domain.plain()
    config.sources.update({f"domain.{key}": source for key, source in domain.sources.items()})
    return config


def _run(run: Text | int) -> None:
    """The key of a config beside its sections."""


def run_folder(options: argparse.Namespace, config: Section) -> Path:
    """Where the run's files go.

    Raises:
        ConfigError: a new run would write into the folder of an old one.
        FolderInUse: that one has not ended yet.
    """
    if options.resume:
        given: Path = options.resume
        return given
    name = check_arguments(Section({"run": config.get("run", "unnamed")}, "", config.sources), _run)["run"]
    folder = options.run or ROOT / "runs" / str(name)
    if checkpoint_names(folder / "checkpoints") and not options.dry_run:
        with only_writer(folder, "train.py"):
            pass
        raise ConfigError(
            f"{displayed(folder)} already holds a run: continue it with --resume {displayed(folder)}, "
            "choose another folder with --run, or delete it"
        )
    return folder


def build_trainer(config: Section, folder: Path, device: torch.device, quiet: bool) -> tuple[Trainer, Domain]:
    """Config → domain, data, method → trainer."""
    settings = TrainingSettings.from_section(config.section("training"))
    if settings.threads:
        torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    random.seed(settings.seed)
    np.random.seed(settings.seed % 2**32)  # no method draws from these two, but a checkpoint holds them
    domain = Domain(config.section("domain"), device)
    build_aligner(domain)  # not for the training, but what is trained will name it
    method = METHODS.build(config.section("method"), domain=domain)
    data = DATASETS.build(config.section("data"), domain=domain)
    validation = DATASETS.build(config.section("validation"), domain=domain) if "validation" in config else None
    for name, source in (("data", data), ("validation", validation)):
        side = getattr(getattr(source, "faces", source), "side", None)
        if side not in (None, domain.image_side):
            raise ConfigError(f"{name}: faces of {side} pixels a side, but domain.image_side is {domain.image_side}")
    return Trainer(method, data, settings, folder, config.plain(), device, validation, quiet), domain


def train(trainer: Trainer, folder: Path, resume: bool) -> None:
    """Prepare the data, then begin or resume the run; this process is the only one that writes into the folder.

    Raises:
        FolderInUse: another training does.
        OSError: it cannot be written.
        DamagedCheckpoint, FileNotFoundError, WeightsError: see `Trainer.resume`.
        NonFiniteLoss, Interrupted: see `Trainer.run`.
    """
    with only_writer(folder, "train.py"):
        remove_litter(folder, recursive=True)
        remove_incomplete(trainer.checkpoints)
        for data in (trainer.data, trainer.validation):
            if isinstance(data, Prepares):
                data.prepare(checked=True)
        if not resume:
            config = yaml.safe_dump(trainer.config, sort_keys=False, allow_unicode=True)
            write_text(folder / "config.yaml", config)
        elif weights_names(trainer.checkpoints) or any(folder.glob("*.safetensors")):
            step = trainer.resume()
            for reason in trainer.passed_over:
                print(f"train.py: {reason}; it is put aside as damaged-…, going back to step {step}", file=sys.stderr)
            print(f"resuming {displayed(folder)} after step {step}")
        else:  # stopped before it had saved anything
            print(f"{displayed(folder)} has no checkpoint yet: starting from the beginning")
        trainer.run()


def way_on(folder: Path) -> str:
    """How to continue after a stop."""
    if not (folder / "config.yaml").is_file():
        return "the same command begins again"
    return f"what was saved before is intact, continue with: python train.py --resume {displayed(folder)}"


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status: 0 done, 1 stopped, 2 wrong usage."""
    options = parse_arguments(arguments)
    keep_freed_memory()
    folder = Path()
    try:
        config = read_config(options)
        folder = run_folder(options, config)
        trainer, domain = build_trainer(config, folder, pick_device(options.device), options.quiet)
        check_pictures(trainer.data, trainer.validation)
        if not options.resume:  # the look takes its time, and what it found was said
            cure = "how to align them: datasets/README.md"
            report_alignment("train.py", domain, trainer.data, trainer.validation, cure=cure)
        if options.dry_run:
            print(describe(trainer, domain))
            return 0
        train(trainer, folder, bool(options.resume))
    except UnreadablePictures as error:
        print(f"train.py: {error.message(folder)}", file=sys.stderr)
        return 2
    except (ConfigError, WeightsError, FileNotFoundError, ValueError) as error:
        print(f"train.py: {described(error)}", file=sys.stderr)
        return 2
    except NonFiniteLoss as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 1
    except UnreadableItem as stop:
        print(f"train.py: {stop}", file=sys.stderr)
        if checkpoint_names(trainer.checkpoints):
            print(f"everything is saved. Continue with: python train.py --resume {displayed(folder)}", file=sys.stderr)
        return 1
    except Interrupted as stop:
        print(f"{stop}; everything is saved. Continue with: python train.py --resume {displayed(folder)}")
        return 1
    except OSError as error:
        print(f"train.py: {described(error)}; {way_on(folder)}", file=sys.stderr)
        return exit_status(error)
    except KeyboardInterrupt:
        print(f"train.py: interrupted; {way_on(folder)}", file=sys.stderr)
        return 1
    except (MemoryError, RuntimeError) as error:
        if not ran_out_of_memory(error):
            raise
        remedy = "take fewer pictures at once (training.accumulate=2, or a smaller training.batch_size)"
        print(f"train.py: out of memory: {remedy}; {way_on(folder)}", file=sys.stderr)
        return 1
    print(f"done: results in {displayed(folder)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
