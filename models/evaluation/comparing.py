"""Measuring many editors of one domain on the same faces; what was measured is kept, so that a stop costs little."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from models.domain import Domain
from models.editors.base import AttributeEditor, attribute_editor
from models.editors.loading import load_editor
from models.editors.targets import Flip
from models.evaluation.curves import Outcomes
from models.evaluation.sweep import Sweep, TestSet
from utils.config import ConfigError
from utils.files import write_atomically
from utils.images import to_pillow
from utils.paths import expanded
from utils.sheets import SheetWriter

REFERENCES = ("inversion", "photo")
_VERSION = 2  # of what `Sweep` measures


@dataclass
class Contestant:
    """One run of one method."""

    method: str
    editor: AttributeEditor
    domain: Domain
    metadata: dict[str, Any]


def named_run(text: str) -> tuple[str | None, str]:
    """`NAME=RUN` as name and path; a path that is there is no name, whatever it holds.

    Raises:
        ConfigError: a name that tables and figures cannot show.
    """
    name, separator, path = text.partition("=")
    if not separator or expanded(text).exists():
        return None, text
    if not name.strip() or not name.isprintable() or set(name) & set("|$"):
        raise ConfigError(f"--compare {text!r}: NAME=RUN takes a name without |, $ and line breaks")
    return name.strip(), path


def load_contestants(runs: Sequence[tuple[str | None, str | Path]], device: torch.device) -> list[Contestant]:
    """Editors of (name, path) pairs; without a name the editor's title is the method's.

    Raises:
        WeightsError: no editor there.
        ConfigError: editors of different domains, the same file twice, or runs of different settings as one method.
    """
    found: list[Contestant] = []
    for name, path in runs:
        editor, domain, metadata = load_editor(path, device)
        one = Contestant(editor.title if name is None else name, attribute_editor(editor), domain, metadata)
        first = next((other for other in found if other.method == one.method), one)
        if any(other.method == one.method and other.metadata["hash"] == metadata["hash"] for other in found):
            raise ConfigError(f"{metadata['file']}: given twice as a run of {one.method}")
        if name is None and _settings(one) != _settings(first):
            raise ConfigError(
                f"{first.metadata['file']} and {metadata['file']} are both {one.method}, but differ in more than their "
                f"seeds; name them: FIRST={first.metadata['file']} SECOND={metadata['file']}"
            )
        found.append(one)
        if _place(one) != _place(found[0]):
            raise ConfigError(
                f"{metadata['file']}: an editor of another latent space than {found[0].metadata['file']}; "
                f"only editors of one domain can be compared"
            )
        if len(found) > 1:  # the first one's draw for all
            domain.forget("generator", "encoder")
    return found


def _place(one: Contestant) -> tuple[Any, ...]:
    prints = one.metadata["fingerprints"]
    return prints["generator"], prints["encoder"], one.domain.attributes


def _settings(one: Contestant) -> Any:
    """A run's config without what may differ between seeds: names of folders and the seeds themselves."""
    config = json.loads(json.dumps(one.metadata.get("config") or {}))
    config.pop("run", None)
    for part in ("training", "method"):
        config.get(part, {}).pop("seed", None)
    for key in ("classifier", "density"):
        config.get("method", {}).pop(key, None)
    return config


def measured(
    contestants: Sequence[Contestant],
    domain: Domain,
    faces: TestSet,
    strengths: Sequence[float],
    folder: Path,
    quiet: bool = False,
) -> dict[str, dict[str, list[Outcomes]]]:
    """Reference → method → outcomes, one a run. Each run's stay in the folder and are not measured again."""
    results: dict[str, dict[str, list[Outcomes]]] = {reference: {} for reference in REFERENCES}
    for one in contestants:
        path = measured_path(one, domain, faces, strengths, folder)
        if not path.is_file():
            total = len(faces) * (len(domain.attributes) + 1) * len(strengths)
            with tqdm(total=total, unit="edit", desc=f"editing with {one.method}", disable=quiet) as bar:
                outcomes = Sweep(one.editor, domain, faces, bar.update).run(strengths)
            _save(path, outcomes)
        for reference, found in _load(path).items():
            results[reference].setdefault(one.method, []).append(found)
    return results


def measured_path(
    one: Contestant, domain: Domain, faces: TestSet, strengths: Sequence[float], folder: Path
) -> Path:
    """Where a run's outcomes are kept: named by all that decides them."""
    contents = hashlib.sha256(json.dumps([_VERSION, *(float(strength) for strength in strengths)]).encode())
    tensors = [faces.image, *faces.decisions.values()]  # no computed numbers: their last bits are not the same twice
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


@torch.no_grad()
def sheet(
    contestants: Sequence[Contestant], domain: Domain, faces: TestSet, strengths: Mapping[str, float], folder: Path,
    count: int = 3,
) -> None:  # fmt: skip
    """Fig. 3 of the paper as `sheet.png`: the first faces of the set, a row each method, a column each attribute.

    Args:
        strengths: of each method's flips.
    """
    latent, image = (rows[:count].to(domain.device) for rows in (faces.latent, faces.image))
    decisions = faces.decisions["inversion"][:count].to(domain.device)
    first = {one.method: one for one in reversed(contestants)}
    names = list(domain.attributes)
    writer = SheetWriter(folder, ["photo", "inversion", *names, "all at once"], rows=count * len(first))
    rows: dict[str, list[torch.Tensor]] = {}
    for method in dict.fromkeys(one.method for one in contestants):
        columns = [faces.image, faces.inversion]
        for edit in [*([name] for name in names), names]:
            targets = {name: Flip(strengths[method]) for name in edit}
            columns.append(domain.synthesise(first[method].editor.edit(latent, image, targets, decisions)).cpu())
        rows[method] = columns
    for index in range(len(image)):
        for method, columns in rows.items():
            label = f"face {index + 1}, {method}, d = {strengths[method]:.2f}"
            writer.add(label, [to_pillow(column[index]) for column in columns])
    writer.flush()
