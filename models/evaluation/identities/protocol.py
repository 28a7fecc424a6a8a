"""Measuring editors that exchange identities."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from models.domain import Domain
from models.evaluation.contestants import Contestant
from models.evaluation.estimates import Estimate, Resamples
from models.evaluation.identities.faces import SwapTestSet
from models.evaluation.identities.leakage import leakage
from models.evaluation.identities.readings import INVERTED, PERSON, SCENE, Measured, of_editor, references
from models.evaluation.identities.report import markdown
from models.evaluation.identities.sheet import swap_sheet
from models.evaluation.information import PROBES
from utils.files import write_text

_STEPS = 6  # of an editor
_MIXED = "styles mixed"


def evaluate_identities(
    contestants: Sequence[Contestant],
    domain: Domain,
    test: SwapTestSet,
    record: Mapping[str, Any],
    folder: Path,
    quiet: bool = False,
) -> None:
    """Measure editors on the same pairs; writes report.md, report.json and sheet.png. Bars and sheet are of the first.

    Args:
        record: what the report says of the measurement; its `seed` (of bootstrap and probes) is used.
    """
    seed = record["seed"]
    with tqdm(total=domain.styles + 3 + _STEPS * len(contestants), unit="step", disable=quiet) as bar:
        others = references(domain, test, bar.update)
        editors: dict[str, Measured] = {}
        for one in contestants:
            name = one.method if one.method not in editors else f"{one.method} ({len(editors) + 1})"
            editors[name] = of_editor(one.editor, domain, test, bar.update)
            editors[name] |= leakage(one.editor, domain, test, seed)
            bar.update()
    resamples = Resamples(len(test), seed)
    pictures = {**editors, **others}
    random = None if test.asked is None else np.abs(test.asked - test.asked[test.others]).mean(0)
    summary: dict[str, Any] = {
        "record": dict(record),
        "editors": {
            name: {key: one.metadata.get(key) for key in ("file", "hash", "config")}
            for name, one in zip(editors, contestants, strict=True)
        },
        "missing": test.missing,
        "attributes": list(domain.attributes),
        "nuisances": [] if test.reader is None else list(test.reader.names),
        "pictures": {name: _pictures(found, resamples, random) for name, found in pictures.items()},
        "vectors": {name: _vectors(found, resamples) for name, found in editors.items()},
        "leakage": {name: _leakage(found, resamples) for name, found in editors.items()},
        "facts": {} if test.probed is None else {key: list(names) for key, names in test.probed.names.items()},
    }
    summary["bars"] = bars(summary, pictures, next(iter(editors)))
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "report.json", json.dumps(summary, indent=1))
    write_text(folder / "report.md", markdown(summary))
    swap_sheet(contestants[0].editor, domain, test, folder)


def _pictures(found: Measured, resamples: Resamples, random: np.ndarray | None) -> dict[str, Any]:
    """Estimates for JSON; errors as shares of those of a random face."""
    values: dict[str, Any] = {
        "to A": resamples.mean(found["to_person"]).json(),
        "to B": resamples.mean(found["to_scene"]).json(),
        "to a stranger": resamples.mean(found["to_stranger"]).json(),
        "A wins": resamples.mean(found["to_person"] > found["to_scene"]).json(),
        "A first": resamples.mean(found["rank"] == 0).json(),
        "A among five": resamples.mean(found["rank"] < 5).json(),
        "agrees": [resamples.mean(column).json() for column in found["agrees"].T],
    }
    if "distance" in found:
        values["distance"] = resamples.mean(found["distance"]).json()
    if "error" in found and random is not None:
        values["error"] = [resamples.mean(column).json() for column in (found["error"] / random).T]
    return values


def _vectors(found: Measured, resamples: Resamples) -> dict[str, Any]:
    names = ("rebuilt.identity", "rebuilt.distance", "varied", "same.person", "two.people")
    values: dict[str, Any] = {name: resamples.mean(found[name]).json() for name in names if name in found}
    return values | ({"frechet": float(found["frechet"])} if "frechet" in found else {})


def _leakage(found: Measured, resamples: Resamples) -> dict[str, Any]:
    """Mean over the facts: vector → facts → probe → bits and share of right answers."""
    if not any(name.startswith("probe.") for name in found):
        return {}
    return {
        vector: {
            facts: {
                kind: {
                    what: Estimate.average(
                        [resamples.mean(column) for column in found[f"probe.{vector}.{facts}.{kind}.{what}"].T]
                    ).json()
                    for what in ("bits", "right")
                }
                for kind in PROBES
            }
            for facts in ("people", "scenes")
        }
        for vector in ("identity vector", "attribute vector")
    }


def bars(summary: Mapping[str, Any], pictures: Mapping[str, Measured], name: str) -> list[dict[str, Any]]:
    """What an editor should reach, and what it reached; a value is None where it cannot be measured."""
    own, known, vectors = pictures[name], summary["pictures"], summary["vectors"][name]
    ceiling = pictures[INVERTED]["to_person"].mean() if INVERTED in pictures else None
    others = [found for key, found in pictures.items() if key in (PERSON, SCENE) or key.startswith(_MIXED)]
    nearest = min((float(found["distance"].mean()) for found in others if "distance" in found), default=None)
    rows = [
        ("share of pairs in which A is nearer than B", known[name]["A wins"]["value"], 0.95, True),
        (
            "cosine to A as a share of that of the true hybrid, inverted",
            None if ceiling is None else float(own["to_person"].mean() / ceiling), 0.75, True,
        ),
        ("decisions that are B's, least attribute", float(own["agrees"].mean(0).min()), 0.93, True),
        (
            "distance to the truth as a share of the best of both inversions and all mixtures",
            None if nearest is None else float(own["distance"].mean() / nearest), 1.0, False,
        ),
        ("identity vectors of one person, mean cosine", _value(vectors.get("same.person")), 0.9, True),
        ("identity vectors of two people, mean cosine", _value(vectors["two.people"]), 0.3, False),
    ]  # fmt: skip
    return [
        {
            "name": title, "value": value, "bound": bound, "least": least,
            "met": value is not None and (value >= bound if least else value <= bound),
        }
        for title, value, bound, least in rows
    ]  # fmt: skip


def _value(entry: Mapping[str, Any] | None) -> float | None:
    return None if entry is None else float(entry["value"])
