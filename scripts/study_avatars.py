#!/usr/bin/env python
"""The study of editors on drawn faces: SDFlow and its peers, its ablation, and the effect of correlated training faces.

    python scripts/study_avatars.py                   everything; hours on 2 cores, continues where it was stopped
    python scripts/study_avatars.py --only comparison ablation
    python scripts/study_avatars.py --without AdaTrans         leave out one method
    python scripts/study_avatars.py --quick -o output/study    a trial run of all stages in a few minutes

configs/study.yaml lists what is trained. Stages, each of which needs those before it:

faces         the faces themselves: what true edits keep of them, how far attributes correlate; trains nothing
tuning        settings of each method on validation faces, the same number of trials each, with a seed of their own
comparison    all methods, the study's seeds, at the middle correlation of the training faces
ablation      one more loss each time; weights of L_kd and L_mi
beyond        information left in z, agreement of the semantics with the judge, consistency and cost of edits
correlation   the comparison at the other correlations

Finished runs (--runs) and measurements are kept. Results: a JSON file a stage, figures and report.md; the section
"What it means" of an existing report.md is kept.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from utils.failures import explain_failures
from utils.options import CommandParser, not_empty, output_folder, value_of
from utils.paths import ROOT
from utils.ranges import Between

STAGES = ("faces", "tuning", "comparison", "ablation", "beyond", "correlation")
BASELINE = "SDFlow"


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Command line of study_avatars.py."""
    parser = CommandParser(__doc__)
    parser.add_argument("--only", nargs="+", choices=STAGES, metavar="STAGE", help=f"some of {', '.join(STAGES)}")
    parser.add_argument(
        "--without", type=not_empty, nargs="+", default=[], metavar="METHOD", help="methods to leave out"
    )
    parser.add_argument("--quick", action="store_true", help="a trial run: few faces, two steps a training")
    parser.add_argument(
        "--jobs", type=value_of(Annotated[int, Between(1, 256)]), default=os.cpu_count() or 1, metavar="N",
        help="parallel processes (default: one a core)",
    )  # fmt: skip
    parser.add_argument(
        "--study", type=not_empty, default=ROOT / "configs/study.yaml", metavar="FILE",
        help="config of the study (default: configs/study.yaml)",
    )  # fmt: skip
    parser.add_argument(
        "--runs", type=output_folder, metavar="FOLDER", help="folder of the trained runs (default: runs/study)"
    )
    parser.add_argument(
        "-o", "--output", type=output_folder, default=ROOT / "results/avatars/study", metavar="FOLDER",
        help="output folder (default: results/avatars/study)",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    if options.quick and options.output == ROOT / "results/avatars/study":
        parser.error("--quick: results of a trial run do not go to results/avatars/study; use -o output/study")
    return options


if __name__ == "__main__":
    explain_failures()
    parse_arguments()  # --help and usage errors are reported before importing PyTorch

from models.evaluation.comparison import LEAKAGE_AT, Comparison, estimate, less
from models.evaluation.counterfactual import truth_rows
from models.evaluation.curves import Outcomes
from models.evaluation.sheets import comparison_sheet
from scripts.study import figures, report
from scripts.study.parallel import in_parallel
from scripts.study.plan import Plan, Run, StudyError, by_method
from scripts.study.work import (
    beyond_path,
    contestants,
    measure_all,
    measure_beyond,
    strongest_correlation,
    test_set,
    train_all,
)
from utils.config import ConfigError, load_config
from utils.failures import described, exit_status
from utils.files import write_text
from utils.paths import displayed
from utils.weights import WeightsError


class Study:
    """A plan, and the folders and processes for carrying it out."""

    def __init__(self, plan: Plan, runs: Path, output: Path, jobs: int) -> None:
        self.plan, self.runs, self.output, self.jobs = plan, runs, output, jobs
        self.results: dict[str, Any] = {}

    def stage(self, name: str) -> dict[str, Any]:
        """A stage's results, of this call or read from its file."""
        if name not in self.results:
            path = self.output / f"{name}.json"
            if not path.is_file():
                raise StudyError(f"{displayed(path)} does not exist: run the stage '{name}' first")
            self.results[name] = json.loads(path.read_text(encoding="utf-8"))
            if self.results[name]["record"] != self._record()["record"]:
                raise StudyError(f"{displayed(path)} was made with other settings: run the stage '{name}' again")
        return self.results[name]

    def keep(self, name: str, result: dict[str, Any]) -> None:
        """Write a stage's results."""
        self.results[name] = result
        write_text(self.output / f"{name}.json", json.dumps(result))

    def train(self, runs: Sequence[Run], what: str) -> None:
        train_all(runs, self.runs, self.jobs, self.plan.threads, what)

    def compared(self, runs: Sequence[Run], split: str = "test") -> dict[str, Comparison]:
        """Reference → the runs' comparison."""
        outcomes = measure_all(runs, self.plan, split, self.runs, self.jobs, self.plan.threads)
        return {reference: Comparison(methods) for reference, methods in outcomes.items()}

    def chosen(self) -> dict[str, dict[str, Any]]:
        """Method → the settings that tuning chose."""
        return {method: entry["chosen"] for method, entry in self.stage("tuning")["methods"].items()}

    def faces(self) -> None:
        """What true edits and no edit keep of the test faces; the strongest correlation of attributes in training."""
        domain, faces = test_set(self.plan, "test")
        count = self.plan.values["train_faces"]
        strongest = {str(value): strongest_correlation(value, count) for value in self.plan.correlations}
        rows = truth_rows(faces, domain, seed=0)
        self.keep("faces", self._record() | {"true edits": rows, "strongest correlations": strongest})

    def tuning(self) -> None:
        """Try each method's search space."""
        trials = {method: self.plan.trials(method) for method in self.plan.methods}
        runs = [run for entries in trials.values() for _, run in entries]
        self.train(runs, "tuning")
        found: dict[str, Any] = {}
        outcomes = measure_all(
            [Run(run.name, run.name, run.config, run.overrides, run.needs) for run in runs],
            self.plan, "validation", self.runs, self.jobs, self.plan.threads,
        )["inversion"]  # fmt: skip
        comparison = Comparison(outcomes, resamples=2)
        for method, entries in trials.items():
            scores, order = [], []
            for setting, run in entries:
                kept, identity = (
                    float(comparison.area(run.name, "average", quantity)[0].mean())
                    for quantity in ("preservation", "identity")
                )
                reach = float(comparison.curves[run.name][0]["average"].flipped.mean(1).max())
                score = (kept + identity) / 2
                # settings that do not reach 95 % rank behind all that do, by the accuracy they reach
                order.append(reach - 1 if score != score else score)
                scores.append({"setting": setting, "kept": _number(kept), "identity": _number(identity),
                               "reaches": reach, "score": _number(score)})  # fmt: skip
            found[method] = {"trials": scores, "chosen": entries[order.index(max(order))][0]}
        self.keep("tuning", self._record() | {"faces": self.plan.values["validation_faces"], "methods": found})

    def comparison(self) -> None:
        """All methods at the main correlation."""
        runs = self.plan.comparison(self.chosen(), self.plan.main)
        self.train(runs, "comparison")
        found = self.compared(runs)
        domain, faces = test_set(self.plan, "test")
        result = self._record() | {
            "references": {reference: one.summary(BASELINE) for reference, one in found.items()}
        }
        self.keep("comparison", result)
        strengths = {method: found["inversion"].strength_shown(method) for method in by_method(runs)}
        comparison_sheet(contestants(runs, self.runs, domain), domain, faces, strengths, self.output)

    def ablation(self) -> None:
        """Fig. 5, and the balance of L_kd and L_mi."""
        steps, sweep = self.plan.ablation(self.chosen()), self.plan.sweep(self.chosen())
        self.train([*steps, *sweep], "ablation")
        found = self.compared(steps)
        balance = self.compared(sweep)["inversion"]
        names = list(self.plan.values["ablation"])
        self.keep("ablation", self._record() | {
            "references": {reference: one.summary(names[-1]) for reference, one in found.items()},
            "steps": {reference: _steps(one, names) for reference, one in found.items()},
            "sweep": balance.summary(),
        })  # fmt: skip

    def correlation(self) -> None:
        """The comparison at every correlation, against the inversion."""
        result: dict[str, Any] = {}
        outcomes: dict[str, list[Outcomes]] = {}
        for value in self.plan.correlations:
            runs = self.plan.comparison(self.chosen(), value)
            self.train(runs, f"correlation {value}")
            found = self.compared(runs)["inversion"]
            result[str(value)] = found.summary(BASELINE)
            outcomes |= {f"{method}, {value}": seeds for method, seeds in found.outcomes.items()}
        ends = self.plan.correlations[0], self.plan.correlations[-1]
        changes = _changes(Comparison(outcomes), list(self.plan.methods), *ends)
        self.keep("correlation", self._record() | {"correlations": result, "ends": ends, "changes": changes})

    def beyond(self) -> None:
        """Measures of section 'beyond the paper' for each run of the comparison, the ablation and the sweep."""
        chosen = self.chosen()
        between = list(self.plan.values["ablation"])[1:-1]  # the first and the last are StyleFlow and SDFlow
        sweep = self.plan.sweep(chosen)
        runs = self.plan.comparison(chosen, self.plan.main)
        runs += [run for run in self.plan.ablation(chosen) if run.method in between] + sweep
        comparison, ablation = self.stage("comparison"), self.stage("ablation")
        strengths: dict[str, list[float]] = {}
        for found in (comparison["references"]["inversion"], ablation["references"]["inversion"], ablation["sweep"]):
            for method, one in found["methods"].items():
                begins_above = one["curves"]["average"]["begins"] > LEAKAGE_AT
                nearest = (min if begins_above else max)(self.plan.strengths)
                strengths[method] = [nearest if value is None else value for value in one["strength_at_0.95"]]
        tasks: dict[Path, tuple[str, Callable[[], None]]] = {}
        paths: dict[str, list[Path]] = {}
        for method, entries in by_method(runs).items():
            for run, strength in zip(entries, strengths[method], strict=True):
                path = beyond_path(run, self.plan, self.runs, strength)
                paths.setdefault(method, []).append(path)
                if not path.is_file():
                    tasks[path] = run.name, partial(measure_beyond, run, self.plan, self.runs, strength)
        in_parallel(list(tasks.values()), self.jobs, self.plan.threads, "beyond the paper")
        found = {method: [json.loads(path.read_text()) for path in entries] for method, entries in paths.items()}
        balance = {run.method: found.pop(run.method) for run in sweep}
        self.keep("beyond", self._record() | {"methods": found, "sweep": balance})

    def _record(self) -> dict[str, Any]:
        values = self.plan.values
        keys = ("domain", "main", "seeds", "train_faces", "test_faces", "strengths")
        return {"record": {key: values[key] for key in keys} | {"methods": list(self.plan.methods)}}


def _steps(comparison: Comparison, names: Sequence[str]) -> dict[str, Any]:
    """What each step of the ablation adds to the one before: step → curve → quantity → difference of areas."""
    quantities = {"average": ("preservation", "identity"), "all at once": ("identity",)}
    return {
        after: {
            curve: {
                quantity: estimate(*less(*(comparison.area(name, curve, quantity) for name in (after, before))))
                for quantity in entries
            }
            for curve, entries in quantities.items()
        }
        for before, after in itertools.pairwise(names)
    }


def _changes(comparison: Comparison, methods: Sequence[str], first: float, last: float) -> dict[str, Any]:
    """What training at the last correlation instead of the first does to each method: method → quantity → change of its
    area, and the baseline's change less this one."""
    result: dict[str, Any] = {method: {} for method in methods}
    for quantity in ("preservation", "identity", "distance"):
        changes = {
            method: less(*(comparison.area(f"{method}, {value}", "average", quantity) for value in (last, first)))
            for method in methods
        }
        for method, own in changes.items():
            difference = estimate(*less(changes[BASELINE], own))
            result[method][quantity] = {"change": estimate(*own), "baseline_less_this": difference}
    return result


def _number(value: float) -> float | None:
    return value if value == value else None  # NaN: not reached


def main(arguments: list[str] | None = None) -> int:
    """Run the command: 0 done, 1 a run failed, 2 wrong usage."""
    options = parse_arguments(arguments)
    runs = options.runs or ROOT / ("output/study-runs" if options.quick else "runs/study")
    began = time.monotonic()
    try:
        plan = Plan(load_config(options.study), options.quick, str(runs.resolve()), 1, options.without)
        study = Study(plan, runs.resolve(), options.output.resolve(), options.jobs)
        stages = [stage for stage in STAGES if options.only is None or stage in options.only]
        for stage in stages:
            getattr(study, stage)()
        figures.draw(study.output, stages)
        report.write(study.output)
    except StudyError as error:
        print(f"study_avatars.py: {error}", file=sys.stderr)
        return 1
    except (ConfigError, WeightsError, ValueError, OSError) as error:
        print(f"study_avatars.py: {described(error)}", file=sys.stderr)
        return exit_status(error)
    except KeyboardInterrupt:
        print("study_avatars.py: stopped; the same command continues", file=sys.stderr)
        return 1
    print(f"{displayed(study.output / 'report.md')}; {(time.monotonic() - began) / 60:.0f} minutes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
