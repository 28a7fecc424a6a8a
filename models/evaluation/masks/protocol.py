"""Measuring editors of masks and styles; measurements are kept, so that a stopped run continues."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from models.domain import Domain
from models.evaluation import figures
from models.evaluation.contestants import Contestant, edits_masks
from models.evaluation.masks.faces import MaskTestSet
from models.evaluation.masks.figures import identity_figure, kinds_figure
from models.evaluation.masks.generation import SEEDS, generation, generation_references
from models.evaluation.masks.information import mask_information
from models.evaluation.masks.readings import Measured, answer, prefixed, read_codes, references, taken_apart
from models.evaluation.masks.report import markdown
from models.evaluation.masks.sheet import edits_sheet
from models.evaluation.masks.style import SHARES, style_edits, style_references
from models.evaluation.masks.summary import (
    bars,
    edits_summary,
    generation_summary,
    information_summary,
    style_summary,
    unchanged_summary,
)
from models.evaluation.masks.unchanged import unchanged
from models.parsing.agreement import confusions
from utils.files import write_atomically, write_text

_VERSION = 1  # of what is measured


def evaluate_masks(
    contestants: Sequence[Contestant],
    domain: Domain,
    test: MaskTestSet,
    record: Mapping[str, Any],
    folder: Path,
    quiet: bool = False,
) -> None:
    """Measure editors on the same faces and write report, figures and sheet.

    Args:
        contestants: the first takes masks: bars and sheet are its. Editors of attributes are measured on the requests
            that they can express.
        record: what the report says of the measurement; its `seed` (of bootstrap, random z and probes) is used.
    """
    seed = record["seed"]
    names = _names(contestants)
    key = _digest(domain, test, seed)
    shared = _kept(
        folder / f"measured/references-{key}.npz", "faces", 2 * len(test.requests) + 4, quiet,
        partial(_references, domain, test),
    )  # fmt: skip
    measured = {}
    for name, one in zip(names, contestants, strict=True):
        path = folder / f"measured/{one.metadata['hash']}-{key}.npz"
        steps = len(test.requests) + (len(SHARES) + SEEDS + 4) * edits_masks(one.editor)
        measured[name] = _kept(path, name, steps, quiet, partial(measure, one, domain, test, seed))
    masks = {
        name: measured[name] for name, one in zip(names, contestants, strict=True) if edits_masks(one.editor)
    }
    summary: dict[str, Any] = {
        "record": dict(record),
        "editors": {
            name: {key: one.metadata.get(key) for key in ("file", "hash", "config")}
            for name, one in zip(names, contestants, strict=True)
        },
        "missing": test.missing,
        "edits": edits_summary(test.requests, measured, shared, seed),
        "style": style_summary(masks, shared, test, seed),
        "generation": generation_summary(masks, shared, test, seed),
        "information": information_summary(masks, test, seed),
        "borne by": {} if test.probed is None else dict(test.probed.names),
        "unchanged": unchanged_summary(masks),
    }
    summary["bars"] = {name: bars(summary, name) for name in masks}
    texts = {key: str(value) for key, value in record.items()}
    write_text(folder / "report.json", json.dumps(summary, indent=1))
    write_text(folder / "report.md", markdown(summary))
    figures.save(kinds_figure(summary), folder / "kinds.png", texts)
    if person := identity_figure(summary):
        figures.save(person, folder / "identity.png", texts)
    edits_sheet(contestants[0].editor, domain, test, folder)


def measure(one: Contestant, domain: Domain, test: MaskTestSet, seed: int, report: Callable[[int], object]) -> Measured:
    """All measurements of one editor.

    Args:
        report: called with the number of steps done, for a progress bar.
    """
    editor, faces = one.editor, test.faces
    before = taken_apart(editor, domain, faces.latent, faces.image)
    measured: Measured = {}
    for request in test.requests:
        latent = answer(editor, domain, request, before)
        if latent is not None:
            measured |= prefixed(request.kind, read_codes(domain, faces, request, latent))
        report(1)
    if edits_masks(editor):
        measured |= unchanged(editor, domain, faces, before)
        report(1)
        measured |= style_edits(editor, domain, test, before)
        report(len(SHARES))
        measured |= generation(editor, domain, test, before, seed)
        report(SEEDS)
        measured |= mask_information(editor, domain, test, before, seed)
        report(3)
    return measured


def _references(domain: Domain, test: MaskTestSet, report: Callable[[int], object]) -> Measured:
    faces = test.faces
    measured = references(domain, faces, test.requests, report)
    measured |= style_references(domain, test)
    report(2)
    measured |= generation_references(domain, test)
    measured["crossed.confusion"] = confusions(faces.mask, faces.found[faces.others]).int().numpy()
    report(2)
    return measured


def _names(contestants: Sequence[Contestant]) -> list[str]:
    """The methods' names; those of several runs of one method are numbered."""
    methods = [one.method for one in contestants]
    return [
        method if methods.count(method) == 1 else f"{method} ({methods[: index + 1].count(method)})"
        for index, method in enumerate(methods)
    ]


def _digest(domain: Domain, test: MaskTestSet, seed: int) -> str:
    """Hash of all that decides the measurements beside the editor."""
    contents = hashlib.sha256(json.dumps([_VERSION, seed, test.missing, test.faces.side]).encode())
    tensors = [test.faces.image, test.faces.mask, test.faces.others, test.style]
    for request in test.requests:
        tensors += [request.target, request.truth]
    if test.probed is not None:
        tensors += [test.probed.image, test.probed.truth, test.probed.own_truth]
    for tensor in tensors:
        if tensor is not None:
            contents.update(tensor.numpy().tobytes())
    networks = domain.fingerprints(("generator", "encoder", "judge", "identity", "parser"))
    contents.update(json.dumps(networks, sort_keys=True).encode())
    return contents.hexdigest()[:12]


def _kept(
    path: Path, what: str, steps: int, quiet: bool, compute: Callable[[Callable[[int], object]], Measured]
) -> Measured:
    """Measurements of a file, computed where there is none yet."""
    if not path.is_file():
        with tqdm(total=steps, unit="step", desc=f"measuring {what}", dynamic_ncols=True, disable=quiet) as bar:
            arrays: dict[str, Any] = dict(compute(bar.update))
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        write_atomically(path, lambda temporary: temporary.write_bytes(buffer.getvalue()))
    with np.load(path, allow_pickle=False) as stored:
        return dict(stored)
