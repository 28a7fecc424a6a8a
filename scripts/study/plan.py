"""What a study trains: `configs/study.yaml` as runs with names, configs and what they need."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import yaml

from utils.config import ConfigError, Section, load_config, nearest
from utils.paths import ROOT

_KEYS = ("domain", "correlations", "main", "seeds", "train_faces", "validation_faces", "test_faces", "probe_faces",
         "strengths", "helpers", "methods", "ablation", "sweep")  # fmt: skip
_METHOD_KEYS = ("config", "overrides", "helper", "search", "seed", "fitted")
TUNING_SEED = 100  # not one of the study's: settings are not chosen on the runs that are reported


class StudyError(Exception):
    """A run that cannot go on."""


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        name: its folder's.
        method: what reports call it.
        overrides: what differs from the config, as `train.py` takes it.
        needs: runs that must be finished before.
    """

    name: str
    method: str
    config: str
    overrides: tuple[str, ...]
    needs: tuple[Run, ...] = ()

    def identity(self) -> str:
        """All that decides the result; a folder of the same name with another identity is another study's."""
        config = load_config(ROOT / self.config, self.overrides)
        config["domain"] = load_config(ROOT / config["domain"]).plain()
        for key in ("classifier", "density"):  # where they lie does not matter, what they are stands in `needs`
            config.get("method", {}).pop(key, None)
        return yaml.safe_dump([config.plain(), [run.identity() for run in self.needs]], sort_keys=True)


def slug(text: str) -> str:
    """A method's name as part of a folder's."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


class Plan:
    """All runs of a study.

    Args:
        section: `configs/study.yaml`.
        quick: its quick form.
        folder: of the runs, relative to the project; helpers' files are looked for there.
        threads: of each training.
        without: methods to leave out; what the ablation starts and ends with cannot be.
    Raises:
        ConfigError: a key or a method that there is not.
    """

    def __init__(
        self, section: Section, quick: bool, folder: str, threads: int, without: Sequence[str] = ()
    ) -> None:
        values = section.plain()
        short = dict(section.section("quick"))
        values.pop("quick")
        _check(section, values, _KEYS, "")
        if missing := [key for key in _KEYS if key not in values]:
            raise ConfigError(f"{section.where()}: a study needs the key '{missing[0]}'")
        methods = section.section("methods")
        for name in methods:
            _check(section, methods.section(name), _METHOD_KEYS, f"methods.{name}.")
        if missing := [key for key in ("overrides", "search", "sweep") if key not in short]:
            raise ConfigError(f"{section.where('quick')}: the quick form needs the key '{missing[0]}'")
        for name in without:
            if name not in values["methods"]:
                raise ConfigError(f"--without: no method '{name}' in the study{nearest(name, list(values['methods']))}")
            if values["methods"].pop(name)["config"] in values["ablation"].values():
                raise ConfigError(f"--without: the ablation needs {name}")
        self.trial: dict[str, Any] = {}
        if quick:
            self.trial = short.pop("overrides")
            for method in values["methods"].values():
                method["search"] = method["search"][: short["search"]]
            short.pop("search")
            values["sweep"] = values["sweep"][: short.pop("sweep")]
            values |= short
        self.values, self.folder, self.threads = values, folder, threads
        self.methods: dict[str, dict[str, Any]] = values["methods"]
        self.main: float = values["main"]
        self.correlations: list[float] = values["correlations"]
        self.seeds: list[int] = values["seeds"]
        self.strengths: tuple[float, ...] = tuple(values["strengths"])

    def _overrides(self, correlation: float, seed: int, *more: Mapping[str, Any]) -> tuple[str, ...]:
        settings: dict[str, Any] = {
            "domain": self.values["domain"],
            "data.faces.count": self.values["train_faces"],
            "data.faces.correlation": correlation,
            "training.seed": seed,
            "training.threads": self.threads,
        }
        for one in more:
            settings |= one
        fitted = settings.get("training.steps") == 0
        settings |= self.trial
        if fitted:
            settings["training.steps"] = 0
        return tuple(f"{key}={json.dumps(value)}" for key, value in settings.items())

    def helper(self, name: str, correlation: float, seed: int) -> Run:
        """A network that some editor learns from."""
        entry = self.values["helpers"][name]
        overrides = self._overrides(correlation, seed, entry.get("overrides", {}))
        return Run(f"{slug(name)}-c{correlation}-s{seed}", name, entry["config"], overrides)

    def run(self, method: str, chosen: Mapping[str, Any], correlation: float, seed: int, mark: str = "") -> Run:
        """A run of a compared method with the chosen settings of its search space."""
        entry = self.methods[method]
        needs, more = [], [dict(entry.get("overrides", {})), dict(chosen)]
        for helper, key in entry.get("helper", {}).items():
            needs.append(self.helper(helper, correlation, seed))
            more.append({key: f"{self.folder}/{needs[-1].name}/{helper}.safetensors"})
        seed_key = entry.get("seed", "training.seed")
        if seed_key not in (None, "training.seed"):
            more.append({seed_key: seed})
        if entry.get("fitted"):
            more.append({"training.steps": 0})
        name = f"{slug(method)}{mark}-c{correlation}-s{seed}"
        overrides = self._overrides(correlation, seed, *more)
        return Run(name, method, entry["config"], overrides, tuple(needs))

    def seeds_of(self, method: str) -> list[int]:
        """The study's seeds, or one where nothing is random."""
        return self.seeds if self.methods[method].get("seed", "training.seed") is not None else self.seeds[:1]

    def trials(self, method: str) -> list[tuple[dict[str, Any], Run]]:
        """Each setting of a method's search space with its run."""
        return [
            (dict(setting), self.run(method, setting, self.main, TUNING_SEED, f"-tuning{index}"))
            for index, setting in enumerate(self.methods[method]["search"])
        ]

    def comparison(self, chosen: Mapping[str, Mapping[str, Any]], correlation: float) -> list[Run]:
        """All methods and seeds at one correlation of the training faces."""
        return [
            self.run(method, chosen[method], correlation, seed)
            for method in self.methods
            for seed in self.seeds_of(method)
        ]

    def ablation(self, chosen: Mapping[str, Mapping[str, Any]]) -> list[Run]:
        """All steps of the ablation and seeds."""
        runs = [
            Run(f"ablation-{slug(name)}-s{seed}", name, config, self._overrides(self.main, seed))
            for name, config in self.values["ablation"].items()
            for seed in self.seeds
        ]
        return self._as_trained(runs, chosen)

    def sweep(self, chosen: Mapping[str, Mapping[str, Any]]) -> list[Run]:
        """SDFlow at each balance of its losses, one seed."""
        config, seed = self.values["ablation"][list(self.values["ablation"])[-1]], self.seeds[0]
        runs = []
        for setting in self.values["sweep"]:
            title = ", ".join(f"{key.split('.')[-1]} {value:g}" for key, value in setting.items())
            runs.append(Run(f"sweep-{slug(title)}-s{seed}", title, config, self._overrides(self.main, seed, setting)))
        return self._as_trained(runs, chosen)

    def _as_trained(self, runs: Sequence[Run], chosen: Mapping[str, Mapping[str, Any]]) -> list[Run]:
        """The runs; those that the comparison trains, too, with its folders."""
        names = {run.identity(): run.name for run in self.comparison(chosen, self.main)}
        return [replace(run, name=names.get(run.identity(), run.name)) for run in runs]


def _check(section: Section, values: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    for key in values:
        if key not in known:
            raise ConfigError(f"{section.where(where + key)}: a study has no such key{nearest(key, known)}")


def by_method(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Method → its runs."""
    result: dict[str, list[Run]] = {}
    for run in runs:
        result.setdefault(run.method, []).append(run)
    return result
