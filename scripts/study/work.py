"""Training and measuring the runs of a study, several at a time; what is finished is not done again."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import time
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

import train
from datasets import DATASETS
from datasets.avatars import ATTRIBUTES, AvatarFaces
from datasets.pictures import Prepares
from models.domain import Domain
from models.editors.base import attribute_editor
from models.evaluation.beyond import everything
from models.evaluation.comparing import measured, measured_path
from models.evaluation.contestants import Contestant, load_contestants
from models.evaluation.faces import TestSet, faces_of
from scripts.study.parallel import in_parallel
from scripts.study.plan import Plan, Run, StudyError
from utils.config import Section, load_config
from utils.files import write_text
from utils.paths import ROOT

IDENTITY, SECONDS, LOG = "study.yaml", "seconds.txt", "study.log"
_VERSION = 2  # of what `measure_beyond` writes


def finished(run: Run, folder: Path) -> bool:
    """Whether a run's result is there.

    Raises:
        StudyError: the folder holds a run of the same name and other settings.
    """
    place = folder / run.name
    if not (place / IDENTITY).is_file():
        return False
    if (place / IDENTITY).read_text(encoding="utf-8") != run.identity():
        raise StudyError(
            f"{place}: was trained with other settings than configs/study.yaml has now; delete it, or choose another "
            f"folder with --runs"
        )
    return (place / SECONDS).is_file()


def train_one(run: Run, folder: Path) -> None:
    """Train a run from scratch or from its last checkpoint; its output goes to its log.

    Raises:
        StudyError: it fails.
    """
    place, began = folder / run.name, time.monotonic()
    write_text(place / IDENTITY, run.identity())
    arguments = ["--config", run.config, "--run", str(place), *run.overrides]
    if any((place / "checkpoints").glob("step-*")):
        arguments = ["--resume", str(place)]
    with (place / LOG).open("a") as log, contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        status = train.main([*arguments, "--quiet"])
    if status:
        raise StudyError(f"{run.name}: training failed, see {place / LOG}")
    write_text(place / SECONDS, f"{time.monotonic() - began:.1f}\n")  # written last: it marks the run as finished


def prepare_codes(runs: Sequence[Run]) -> None:
    """Draw and encode the faces of all runs once, instead of in each run."""
    domains: dict[str, Domain] = {}
    done = set()
    for run in runs:
        config = load_config(ROOT / run.config, run.overrides)
        path = str(config["domain"])
        domain = domains.setdefault(path, Domain.from_file(path))
        for part in ("data", "validation"):
            key = path, repr(config[part])
            data = None if key in done else DATASETS.build(config.section(part), domain=domain)
            if isinstance(data, Prepares):
                data.prepare()
            done.add(key)


@cache
def held_out(domain_file: str, split: str, count: int, with_truth: bool = True) -> tuple[Domain, TestSet]:
    """Faces with independent attributes that no editor learned from, prepared once in a process.

    Args:
        with_truth: draw the counterfactuals, too.
    """
    domain = Domain.from_file(domain_file)
    section = {
        "name": "avatar_faces", "split": split, "count": count, "side": domain.image_side, "correlation": 0.0,
        "cache": "cache/avatars",
    }  # fmt: skip
    faces = DATASETS.build(Section(section, "faces")).prepare()
    return domain, faces_of(faces, domain, count, with_truth)


def test_set(plan: Plan, split: str) -> tuple[Domain, TestSet]:
    """The plan's held-out faces: `validation` for tuning, `test` for everything reported."""
    return held_out(plan.values["domain"], split, plan.values[f"{split}_faces"])


def strongest_correlation(copula: float, count: int) -> dict[str, Any]:
    """The two attributes of the training faces that correlate most, as present or absent, and how far.

    Args:
        copula: strength of the faces' copula.
        count: training faces.
    """
    faces = AvatarFaces(count, "editor_train", correlation=copula)
    present = np.stack([faces.factors(index).values() for index in range(count)]) > 0.5
    found = np.corrcoef(present.T)
    pairs = itertools.combinations(range(len(ATTRIBUTES)), 2)
    first, second = max(pairs, key=lambda pair: abs(found[pair]))
    return {"attributes": [ATTRIBUTES[first], ATTRIBUTES[second]], "correlation": float(found[first, second])}


def contestants(runs: Sequence[Run], folder: Path, domain: Domain) -> list[Contestant]:
    """The runs' editors.

    Raises:
        StudyError: one of another latent space than the faces' codes.
    """
    found = load_contestants([(run.method, folder / run.name) for run in runs], domain.device)
    prints = domain.fingerprints()
    for one in found:
        if any(one.metadata["fingerprints"][part] != value for part, value in prints.items()):
            raise StudyError(f"{one.metadata['file']}: an editor of another latent space than the study's; delete it")
    return found


def measure_one(run: Run, plan: Plan, split: str, folder: Path, into: Path) -> None:
    """Measure a run's editor; `models.evaluation.comparing.measured` finds it there again."""
    domain, faces = test_set(plan, split)
    one = contestants([run], folder, domain)
    measured(one, domain, faces, plan.strengths, into, quiet=True)


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
    editors = contestants(runs, folder, domain)
    paths = [measured_path(one, domain, faces, plan.strengths, into) for one in editors]
    todo = [task for task, path in zip(tasks, paths, strict=True) if not path.is_file()]
    in_parallel(todo, jobs, threads, f"measuring on {split} faces")
    return measured(editors, domain, faces, plan.strengths, into)


def beyond_path(run: Run, plan: Plan, folder: Path, strength: float) -> Path:
    """File of a run's measures, named by a hash of its editor and of how it was measured."""
    editor = (folder / run.name / "editor.safetensors").read_bytes()
    how = json.dumps(
        [_VERSION, strength, *(plan.values[key] for key in ("test_faces", "probe_faces", "domain"))]
    )
    return folder / "beyond" / f"{run.name}-{hashlib.sha256(editor + how.encode()).hexdigest()[:12]}.json"


def measure_beyond(run: Run, plan: Plan, folder: Path, strength: float) -> None:
    """Measure a run's editor with `models.evaluation.beyond` and write what comes out."""
    domain, faces = test_set(plan, "test")
    count = plan.values["probe_faces"]
    _, learned = held_out(plan.values["domain"], "validation", count, with_truth=False)  # no editor learned from them
    one = contestants([run], folder, domain)[0]
    train = learned.latent, learned.image, learned.decisions["inversion"]
    found = everything(attribute_editor(one.editor), domain, faces, train, strength)
    write_text(beyond_path(run, plan, folder, strength), json.dumps(found))
