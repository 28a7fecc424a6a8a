"""Measuring one editor, beside a baseline, and writing what comes out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from models.domain import Domain
from models.editors.base import AttributeEditor
from models.editors.sdflow import SDFlowEditor
from models.evaluation import figures
from models.evaluation.counterfactual import edit_rows, truth_rows
from models.evaluation.curves import summary
from models.evaluation.faces import (
    Decomposition,
    EncodedData,
    TestSet,
    decompose,
    images_of,
    in_batches,
    inversion_keeps,
)
from models.evaluation.information import probe
from models.evaluation.likelihood import closure, flow_nll, gaussian_nll
from models.evaluation.report import curves_csv, markdown
from models.evaluation.sheets import edits_sheet
from models.evaluation.sweep import swept
from utils.files import write_text
from utils.images import to_pillow
from utils.provenance import save_marked


def evaluate(
    editor: AttributeEditor,
    baselines: Sequence[AttributeEditor],
    domain: Domain,
    faces: TestSet,
    metadata: Mapping[str, Any],
    record: Mapping[str, Any],
    train: EncodedData | None,
    folder: Path,
) -> None:
    """Measure an editor and baselines on the same faces and write report, curves, figures and edited faces.

    Args:
        metadata: of the editor's file.
        record: what the report says of the measurement; its `strengths` and `seed` (of bootstrap and probes) are used.
        train: faces that probes of a flow's codes learn from; None leaves out likelihood, closure and probes.
    """
    strengths, seed = record["strengths"], record["seed"]
    before = decompose(editor, faces.latent, faces.image, domain.device)
    outcomes = {editor.title: swept(editor, domain, faces, strengths, editor.title, before)}
    outcomes |= {other.title: swept(other, domain, faces, strengths, other.title) for other in baselines}
    report: dict[str, Any] = {
        "checkpoint": metadata["file"],
        "record": dict(record),
        "config": metadata.get("config"),
        "attributes": list(domain.attributes),
        "inversion keeps": inversion_keeps(faces, domain),
        "editors": {
            name: {reference: summary(entry, seed) for reference, entry in references.items()}
            for name, references in outcomes.items()
        },
    }
    if faces.counterfactual is not None:
        report["counterfactual"] = truth_rows(faces, domain, seed) + edit_rows(outcomes, seed)
    if train is not None:
        report["latents"] = {}
        if isinstance(editor, SDFlowEditor):
            report["latents"] = latent_report(editor, domain, faces, before, train, seed)
    _write(report, folder)
    texts = _texts(record)
    histograms = figures.histogram_figure(before.condition.numpy(), domain.attributes)
    figures.save(histograms, folder / "histograms.png", texts)
    picture = to_pillow(edits_sheet(editor, domain, faces))
    if picture.width < 900:
        picture = picture.resize((picture.width * 2, picture.height * 2))
    save_marked(folder / "edits.png", picture, "Faces edited with SDFlow at rising strength", texts)


def latent_report(
    editor: SDFlowEditor, domain: Domain, faces: TestSet, before: Decomposition, train: EncodedData, seed: int
) -> dict[str, Any]:
    """For JSON: likelihood, closure, and decisions that a linear probe recovers from w and from z.

    Args:
        before: decomposition of the test faces.
        train: faces that the probes learn from.
    """
    train_latent, _ = train.numbers()
    known = decompose(editor, train_latent, images_of(train, len(train)), domain.device)
    decided = in_batches(lambda w: domain.judge_probabilities(domain.synthesise(w)), train_latent, device=domain.device)
    train_decisions, truth = decided > 0.5, faces.decisions["inversion"]
    share = truth.float().mean(0)
    probes = {"chance": torch.maximum(share, 1 - share).tolist()}
    for name, learned, held_out in (("from w", train_latent, faces.latent), ("from z", known.rest, before.rest)):
        probes[name] = probe((learned, train_decisions), (held_out, truth), "linear", seed).right.mean(0).tolist()
    count = min(len(faces), 128)
    return {
        f"NLL of the flow, exact trace, {count} faces (nats per dimension)": flow_nll(
            editor, faces.latent[:count], before.condition[:count]
        ),
        "NLL of a diagonal Gaussian, the same faces": gaussian_nll(train_latent, faces.latent[:count]),
        "closure, relative error": closure(editor, faces.latent[:64], before.condition[:64]),
        f"decisions recovered by a linear probe trained on {len(train)} faces": {
            name: dict(zip(domain.attributes, values, strict=True)) for name, values in probes.items()
        },
    }


def _write(report: Mapping[str, Any], folder: Path) -> None:
    """The report as JSON, CSV and Markdown, with the figures drawn from it."""
    texts, attributes = _texts(report["record"]), report["attributes"]
    write_text(folder / "report.json", json.dumps(report, indent=1))
    write_text(folder / "curves.csv", curves_csv(report["editors"], texts))
    write_text(folder / "report.md", markdown(report))
    inversion = {name: references["inversion"] for name, references in report["editors"].items()}
    title = f"{texts['faces']} faces, n = {texts['n']}, against the inversion"
    figures.save(figures.curve_figure(inversion, title), folder / "curves.png", texts)
    found = {name: entry["leakage_at_0.95"] for name, entry in inversion.items()}
    matrices = {name: entry["matrix"] for name, entry in found.items() if entry is not None}
    if matrices:
        figures.save(figures.leakage_figure(matrices, attributes), folder / "leakage.png", texts)


def _texts(record: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(value) for key, value in record.items()}
