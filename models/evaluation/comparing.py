"""Measuring many editors of one domain on the same faces; measurements are kept, so that a stopped run continues."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.domain import Domain
from models.editors.base import attribute_editor
from models.evaluation import comparison_figures, comparison_report, figures
from models.evaluation.comparison import LEAKAGE_AT, Comparison
from models.evaluation.contestants import Contestant
from models.evaluation.curves import Outcomes
from models.evaluation.faces import TestSet, inversion_keeps
from models.evaluation.sheets import comparison_sheet
from models.evaluation.sweep import swept
from utils.config import ConfigError
from utils.files import write_atomically, write_text

REFERENCES = ("inversion", "photo")
_VERSION = 2  # of what `Sweep` measures


def measured(
    contestants: Sequence[Contestant],
    domain: Domain,
    faces: TestSet,
    strengths: Sequence[float],
    folder: Path,
    quiet: bool = False,
) -> dict[str, dict[str, list[Outcomes]]]:
    """Reference → method → outcomes, one a run. They are kept in the folder and not measured again."""
    results: dict[str, dict[str, list[Outcomes]]] = {reference: {} for reference in REFERENCES}
    for one in contestants:
        path = measured_path(one, domain, faces, strengths, folder)
        if not path.is_file():
            _save(path, swept(attribute_editor(one.editor), domain, faces, strengths, one.method, quiet=quiet))
        for reference, found in _load(path).items():
            results[reference].setdefault(one.method, []).append(found)
    return results


def measured_path(
    one: Contestant, domain: Domain, faces: TestSet, strengths: Sequence[float], folder: Path
) -> Path:
    """File of a run's outcomes, named by a hash of all that decides them."""
    contents = hashlib.sha256(json.dumps([_VERSION, *(float(strength) for strength in strengths)]).encode())
    tensors = [faces.image, *faces.decisions.values()]  # no computed numbers: their last bits may differ between calls
    for tensor in [*tensors, *([] if faces.counterfactual is None else [faces.counterfactual])]:
        contents.update(tensor.numpy().tobytes())
    networks = domain.fingerprints(("generator", "encoder", "judge", "identity"))
    contents.update(json.dumps(networks, sort_keys=True).encode())
    return folder / f"{one.metadata['hash']}-{contents.hexdigest()[:12]}.npz"


def _save(path: Path, outcomes: Mapping[str, Outcomes]) -> None:
    arrays: dict[str, Any] = {}
    for reference, one in outcomes.items():
        for key, value in vars(one).items():
            if value is not None:
                arrays[f"{reference}.{key}"] = np.asarray(value)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_atomically(path, lambda temporary: temporary.write_bytes(buffer.getvalue()))


def _load(path: Path) -> dict[str, Outcomes]:
    with np.load(path, allow_pickle=False) as stored:
        return {
            reference: Outcomes(
                attributes=tuple(str(name) for name in stored[f"{reference}.attributes"]),
                strengths=tuple(float(strength) for strength in stored[f"{reference}.strengths"]),
                reference=stored[f"{reference}.reference"],
                decisions=stored[f"{reference}.decisions"],
                identity=stored[f"{reference}.identity"],
                distance=stored.get(f"{reference}.distance"),
            )
            for reference in REFERENCES
        }


def choose_baseline(contestants: Sequence[Contestant], chosen: str | None, usual: str) -> str | None:
    """The method that differences are taken to: the chosen one, or the usual one if it is compared; else None.

    Raises:
        ConfigError: the chosen one is not compared.
    """
    methods = list(dict.fromkeys(one.method for one in contestants))
    if chosen is not None and chosen not in methods:
        raise ConfigError(f"--baseline: '{chosen}' is not among those compared: {', '.join(methods)}")
    if chosen is None and usual not in methods:
        print(f"{usual} is not compared, so no differences are computed; --baseline takes one of {', '.join(methods)}")
        return None
    return chosen or usual


def compare(
    contestants: Sequence[Contestant],
    domain: Domain,
    faces: TestSet,
    record: Mapping[str, Any],
    baseline: str | None,
    anchors: bool,
    folder: Path,
) -> None:
    """Measure the editors on the same faces and write report, figures and sheet.

    Args:
        record: what the report says of the measurement; its `strengths` and `seed` (of the resampling) are used.
        baseline: the method that differences are taken to.
        anchors: draw published points, too.
    """
    results = measured(contestants, domain, faces, record["strengths"], folder / "measured")
    found = {reference: Comparison(outcomes, record["seed"]) for reference, outcomes in results.items()}
    runs: dict[str, list[dict[str, Any]]] = {}
    for one in contestants:
        entry = {"file": one.metadata["file"], "hash": one.metadata["hash"], "config": one.metadata.get("config")}
        runs.setdefault(one.method, []).append(entry)
    inversion = found["inversion"]
    sheet = "The first faces of the set, each method's first run at the strength of 95 % average accuracy."
    for method in runs:
        if inversion.strength(method, LEAKAGE_AT)[0] is None:
            sheet += f" {method} has none: its edits are at d = {inversion.strength_shown(method):g}."
    report: dict[str, Any] = {
        "record": dict(record),
        "baseline": baseline,
        "runs": runs,
        "inversion keeps": inversion_keeps(faces, domain),
        "sheet": sheet,
        "references": {reference: comparison.summary(baseline) for reference, comparison in found.items()},
    }
    texts = {key: str(value) for key, value in record.items()}
    write_text(folder / "report.json", json.dumps(report, indent=1))
    write_text(folder / "report.md", comparison_report.markdown(report))
    curves = comparison_figures.curve_figure(report["references"], anchors)
    figures.save(curves, folder / "curves.png", texts)
    matrices = {method: inversion.leakage(method) for method in runs}
    figures.save(figures.leakage_figure(matrices, domain.attributes), folder / "leakage.png", texts)
    comparison_sheet(contestants, domain, faces, {method: inversion.strength_shown(method) for method in runs}, folder)
