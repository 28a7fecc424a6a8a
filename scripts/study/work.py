"""Training and measuring the runs of a study, several at a time; what is finished is not done again."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

import train
from datasets import DATASETS
from datasets.latent_cache import LatentCache
from models.domain import Domain
from models.evaluation.beyond import everything
from models.evaluation.comparing import load_contestants, measured
from models.evaluation.faces import counterfactuals, images_of
from models.evaluation.protocol import TestSet, in_batches, prepare
from scripts.study.plan import Plan, Run
from utils.config import Section, load_config
from utils.files import write_text
from utils.paths import ROOT

PROBE_FACES = 4000
IDENTITY, SECONDS, LOG = "study.yaml", "seconds.txt", "study.log"


class StudyError(Exception):
    """A run that cannot go on."""


def finished(run: Run, folder: Path) -> bool:
    """Whether a run's result is there.

    Raises:
        StudyError: the folder holds a run of the same name and other settings.
    """
    place = folder / run.name
    if not (place / IDENTITY).is_file():
        return False
    if (place / IDENTITY).read_text() != run.identity:
        raise StudyError(
            f"{place}: was trained with other settings than configs/study.yaml has now; delete it, or give the study "
            f"another folder with --runs"
        )
    return any(place.glob("*.safetensors"))


def train_one(run: Run, folder: Path) -> None:
    """Train a run from its beginning or its last checkpoint; what it prints goes to its log.

    Raises:
        StudyError: it fails.
    """
    place, began = folder / run.name, time.monotonic()
    write_text(place / IDENTITY, run.identity)
    arguments = ["--config", run.config, "--run", str(place), *run.overrides]
    if any((place / "checkpoints").glob("step-*")):
        arguments = ["--resume", str(place)]
    with (place / LOG).open("a") as log, contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        status = train.main([*arguments, "--quiet"])
    if status:
        raise StudyError(f"{run.name}: training failed, see {place / LOG}")
    with (place / SECONDS).open("a") as seconds:
        seconds.write(f"{time.monotonic() - began:.1f}\n")


def prepare_codes(runs: Sequence[Run]) -> None:
    """Draw and encode the faces of all runs, which would otherwise be done in each."""
    domains: dict[str, Domain] = {}
    done = set()
    for run in runs:
        config = load_config(ROOT / run.config, run.overrides)
        path = str(config["domain"])
        domain = domains.setdefault(path, Domain.from_file(path))
        for part in ("data", "validation"):
            key = path, repr(config[part])
            data = None if key in done else DATASETS.build(config.section(part), domain=domain)
            if isinstance(data, LatentCache):
                data.prepare()
            done.add(key)


def test_set(plan: Plan, split: str) -> tuple[Domain, TestSet]:
    """Held-out faces with independent attributes: `validation` for tuning, `test` for everything reported."""
    domain = Domain.from_file(plan.values["domain"])
    count = plan.values[f"{split}_faces"]
    section = {
        "name": "avatar_faces", "split": split, "count": count, "side": domain.image_side, "correlation": 0.0,
        "cache": "cache/avatars",
    }  # fmt: skip
    faces = DATASETS.build(Section(section, "faces"))
    drawn = counterfactuals(faces, count, domain.attributes)
    return domain, prepare(domain, images_of(faces, count), drawn)


_SETS: dict[tuple[str, int], tuple[Domain, TestSet]] = {}  # of this process
_TRAIN: dict[str, tuple[Tensor, Tensor, Tensor]] = {}


def measure_one(run: Run, plan: Plan, split: str, folder: Path, into: Path) -> None:
    """Measure a run's editor; `models.evaluation.comparing.measured` finds it there again."""
    key = split, plan.values[f"{split}_faces"]
    if key not in _SETS:
        _SETS[key] = test_set(plan, split)
    domain, faces = _SETS[key]
    one = load_contestants([f"{run.method}={folder / run.name}"], domain.device)
    measured(one, domain, faces, plan.strengths, into, quiet=True)


def _start(threads: int) -> None:
    torch.set_num_threads(threads)


def in_parallel(tasks: Sequence[tuple[str, Callable[[], Any]]], jobs: int, threads: int, what: str) -> None:
    """Call picklable functions of no arguments in `jobs` processes, with a progress bar.

    Raises:
        StudyError: one of them; the others that run are waited for.
    """
    if not tasks:
        return
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(jobs, context, _start, (threads,)) as pool,
        tqdm(total=len(tasks), desc=what, unit="run", dynamic_ncols=True) as bar,
    ):
        waiting: dict[Future[Any], str] = {pool.submit(task): name for name, task in tasks}
        while waiting:
            done, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                bar.set_postfix_str(waiting.pop(future))
                bar.update()
                if future.exception() is not None:
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise future.exception()  # type: ignore[misc]


def train_all(runs: Sequence[Run], folder: Path, jobs: int, threads: int, what: str) -> None:
    """Train what is not trained yet, what is needed first."""
    for stage in ([needed for run in runs for needed in run.needs], list(runs)):
        todo = {run.name: run for run in stage if not finished(run, folder)}
        if todo:
            prepare_codes(list(todo.values()))
        in_parallel([(name, partial(train_one, run, folder)) for name, run in todo.items()], jobs, threads, what)


def measure_all(
    runs: Sequence[Run], plan: Plan, split: str, folder: Path, jobs: int, threads: int
) -> dict[str, dict[str, list[Any]]]:
    """Reference → method → outcomes of all runs, one a seed."""
    into = folder / "measured" / split
    domain, faces = test_set(plan, split)
    tasks = [(run.name, partial(measure_one, run, plan, split, folder, into)) for run in runs]
    done = {path.name.split("-")[0] for path in into.glob("*.npz")}
    editors = load_contestants([f"{run.method}={folder / run.name}" for run in runs], domain.device)
    todo = [task for task, one in zip(tasks, editors, strict=True) if one.metadata["hash"] not in done]
    in_parallel(todo, jobs, threads, f"measuring on {split} faces")
    return measured(editors, domain, faces, plan.strengths, into)


def measure_beyond(run: Run, plan: Plan, folder: Path, strength: float, into: Path) -> None:
    """Measure a run's editor with `models.evaluation.beyond` and write what comes out."""
    key = "test", plan.values["test_faces"]
    if key not in _SETS:
        _SETS[key] = test_set(plan, "test")
    domain, faces = _SETS[key]
    one = load_contestants([str(folder / run.name)], domain.device)[0]
    if "train" not in _TRAIN:
        data = DATASETS.build(Section(one.metadata["config"]["data"], "data"), domain=domain).prepare()
        count = min(len(data), PROBE_FACES)
        latent = data.numbers()[0][:count]
        decided = in_batches(lambda w: domain.judge_probabilities(domain.synthesise(w)), latent, device=domain.device)
        _TRAIN["train"] = latent, images_of(data, count), decided > 0.5
    found = everything(one.editor, domain, faces, _TRAIN["train"], strength)
    write_text(into / f"{run.name}.json", json.dumps(found))
