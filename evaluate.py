#!/usr/bin/env python
"""Measure editors as the paper's Figure 4 does: accuracy against what else of the face was kept.

    python evaluate.py                                     the shipped avatar editor on 1,000 held-out drawn faces
    python evaluate.py --faces decorrelated --count 200    faces whose attributes are independent of each other
    python evaluate.py --checkpoint runs/sdflow-ffhq --faces data/ffhq-test
    python evaluate.py --strengths -0.3 0 0.2 0.5          fewer points on the curves
    python evaluate.py --compare runs/sdflow-0 runs/sdflow-1 runs/adatrans-0 Ours=runs/mine

Each attribute of each face is turned to the other side of the judge's decision, at rising strength d (a present
attribute is set to -d, an absent one to 1 + d) until 99 % of the decisions turn. Results go to -o: report.md,
report.json, curves.csv, curves.png, histograms.png, leakage-*.png and edits.png.

--compare measures any number of editors of one domain on the same faces. Runs of one method (or of one NAME=) are its
seeds: intervals are over seeds and faces. What was measured is kept in -o, so that a stopped comparison goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Annotated, Any

from utils.options import add_device_option, add_editor_options, output_folder, value_of, written
from utils.ranges import Between, Count

STRENGTHS = (-0.5, -0.3, -0.1, 0.0, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0)
DRAWN = {"correlated": 0.6, "decorrelated": 0.0}
SHEET_FACES, SHEET_STRENGTHS = 5, (-0.5, -0.2, 0.0, 0.2, 0.5)


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Command line of evaluate.py."""
    parser = argparse.ArgumentParser(
        prog="evaluate.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_editor_options(parser, "the shipped editor")
    parser.add_argument(
        "--faces", type=written, default="correlated", metavar="SET",
        help="correlated or decorrelated drawn faces, or a folder",
    )  # fmt: skip
    parser.add_argument(
        "--count", type=value_of(Annotated[int, Between(2, 10_000_000)]), default=1000, metavar="N",
        help="faces (default: 1000)",
    )  # fmt: skip
    parser.add_argument(
        "--strengths", type=value_of(Annotated[float, Between(-100, 100)]), nargs="+", default=STRENGTHS, metavar="D",
        help="default: -0.5 … 2 in 12 steps",
    )  # fmt: skip
    parser.add_argument(
        "--compare", type=written, nargs="+", metavar="RUN", help="run folders or editor files, RUN or NAME=RUN"
    )
    parser.add_argument(
        "--baseline", type=written, metavar="NAME", help="differences are taken to it (default: SDFlow, if compared)"
    )
    parser.add_argument("--anchors", action="store_true", help="draw AdaTrans' published points on FFHQ")
    parser.add_argument("--no-linear", action="store_true", help="without linear directions, the yardstick (a minute)")
    parser.add_argument(
        "--fit-count", type=value_of(Count), default=2000, metavar="N",
        help="training faces for linear directions (default: 2000)",
    )  # fmt: skip
    parser.add_argument("--no-latents", action="store_true", help="leave out likelihood, closure and probes")
    parser.add_argument(
        "-o", "--output", type=output_folder, metavar="FOLDER",
        help="folder for the results (default: output/evaluation, output/comparison)",
    )  # fmt: skip
    parser.add_argument(
        "--seed", type=value_of(Annotated[int, Between(0, 2**32 - 1)]), default=0, metavar="N",
        help="of bootstrap and probes (default: 0)",
    )  # fmt: skip
    add_device_option(parser)
    options = parser.parse_args(arguments)
    one = ("checkpoint", "semantic_encoder", "domain", "no_linear", "no_latents")
    several = ("baseline", "anchors")
    for name in one if options.compare else several:
        if getattr(options, name):
            what = "is of the evaluation of one editor" if options.compare else "needs --compare"
            parser.error(f"--{name.replace('_', '-')} {what}")
    options.output = options.output or Path("output/comparison" if options.compare else "output/evaluation")
    return options


if __name__ == "__main__":
    parse_arguments()  # --help and slips of the pen are answered before PyTorch is read, which takes two seconds

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from datasets import DATASETS
from datasets.encoded_faces import EncodedFaces
from datasets.latent_cache import LatentCache
from models.domain import Domain
from models.editors.base import AttributeEditor, attribute_editor
from models.editors.linear import LinearDirectionsEditor
from models.editors.loading import load_editor
from models.editors.sdflow import SDFlowEditor
from models.editors.targets import Flip
from models.evaluation import comparison_figures, comparison_report, figures
from models.evaluation import latents as latent_measures
from models.evaluation.comparing import load_contestants, measured, named_run, sheet
from models.evaluation.comparison import LEAKAGE_AT, Comparison
from models.evaluation.curves import Outcomes, at_crossing, crossing, curves, summary
from models.evaluation.faces import counterfactuals, draws_counterfactuals, images_of
from models.evaluation.report import curves_csv, markdown
from models.evaluation.sweep import (
    Sweep,
    TestSet,
    distances_unedited,
    identity_ceilings,
    in_batches,
    prepare,
)
from utils.config import ConfigError, Section
from utils.devices import keep_freed_memory, pick_device
from utils.files import write_text
from utils.images import grid, to_pillow
from utils.paths import displayed, resolve
from utils.provenance import save_marked
from utils.weights import WeightsError


def test_faces(options: argparse.Namespace, domain: Domain) -> Any:
    """The data set that the command line names."""
    if options.faces in DRAWN:
        values: dict[str, Any] = {
            "name": "avatar_faces", "split": "test", "count": options.count, "side": domain.image_side,
            "correlation": DRAWN[options.faces], "cache": "cache/avatars",
        }  # fmt: skip
    else:
        folder = str(Path(options.faces).resolve())
        values = {"name": "image_folder", "folder": folder, "side": domain.image_side, "count": options.count}
    return DATASETS.build(Section(values, "faces"))


def prepared_faces(dataset: Any, count: int, domain: Domain) -> TestSet:
    """Faces of a data set encoded, inverted and judged, with the drawn truth where there is one."""
    count = min(count, len(dataset))
    drawn = counterfactuals(dataset, count, domain.attributes) if draws_counterfactuals(dataset) else None
    return prepare(domain, images_of(dataset, count), drawn)


def training_faces(metadata: dict[str, Any], domain: Domain, count: int) -> LatentCache | EncodedFaces:
    """The first faces that the editor was trained on, with latent codes and teacher outputs."""
    data = dict(metadata["config"]["data"])
    if data.get("name") == "encoded_faces":
        return EncodedFaces(domain, data["folder"], data.get("first", 0), min(count, data.get("count") or count))
    faces = {**data["faces"], "count": min(count, data["faces"].get("count") or count)}
    return LatentCache(domain, faces, data.get("cache", "cache/latents")).prepare()


def linear_editor(metadata: dict[str, Any], domain: Domain, fit_count: int) -> LinearDirectionsEditor:
    """Conditional least-squares directions, fitted on the editor's training faces."""
    latent, teacher = training_faces(metadata, domain, fit_count).numbers()
    return LinearDirectionsEditor.fit(latent, teacher, domain.attributes).to(domain.device)


def measure(
    editors: dict[str, AttributeEditor], domain: Domain, faces: TestSet, strengths: tuple[float, ...]
) -> dict[str, dict[str, Outcomes]]:
    """Editor → reference → outcomes."""
    results = {}
    for name, editor in editors.items():
        total = len(faces) * (len(domain.attributes) + 1) * len(strengths)
        with tqdm(total=total, unit="edit", desc=f"editing with {name}", dynamic_ncols=True) as bar:
            results[name] = Sweep(editor, domain, faces, bar.update).run(strengths)
    return results


def counterfactual_report(
    results: dict[str, dict[str, Outcomes]], faces: TestSet, domain: Domain
) -> dict[str, Any]:
    """Distance of edits at 95 % average accuracy to the drawn truth, beside that of no edit at all."""
    if faces.counterfactual is None:
        return {}
    no_edit, ceilings = distances_unedited(faces), identity_ceilings(domain, faces)
    report: dict[str, Any] = {
        "unit": "root mean square pixel difference, range 0 to 1",
        "identity ceiling (drawn face to its drawn counterfactual)": {
            **dict(zip(domain.attributes, ceilings, strict=True)), "mean": float(np.mean(ceilings))
        },
        "no edit (inversion)": dict(zip(domain.attributes, no_edit.mean(1).tolist(), strict=True)),
    }  # fmt: skip
    for name, references in results.items():
        outcomes = references["inversion"]
        average = curves(outcomes)["average"].flipped.mean(1)
        place = crossing(average, 0.95) or (int(average.argmax()), 1.0)
        assert outcomes.distance is not None
        values = np.asarray(at_crossing(outcomes.distance.mean(2).T, place))
        label = f"{name} at {100 * min(0.95, float(average.max())):.1f} % average accuracy"
        report[label] = dict(zip(domain.attributes, values.tolist(), strict=True))
    return report


def latent_report(
    editor: AttributeEditor, faces: TestSet, train: LatentCache | EncodedFaces, domain: Domain, seed: int
) -> dict[str, Any]:
    """Likelihood, closure and probes of the flow."""
    if not isinstance(editor, SDFlowEditor):
        return {}
    semantics = in_batches(editor.read, faces.latent, faces.image, device=domain.device)
    train_latent, _ = train.numbers()
    train_image = images_of(train, len(train))
    train_semantics = in_batches(editor.read, train_latent, train_image, device=domain.device)
    count = min(len(faces), 128)
    share = faces.decisions["inversion"].float().mean(0)
    chance = torch.maximum(share, 1 - share)
    decided = in_batches(lambda w: domain.judge_probabilities(domain.synthesise(w)), train_latent, device=domain.device)
    test_decisions = faces.decisions["inversion"]
    probes = {"chance": chance.numpy()}
    for name, codes in (
        ("from w", (train_latent, faces.latent)),
        (
            "from z",
            (
                latent_measures.to_gaussian(editor, train_latent, train_semantics),
                latent_measures.to_gaussian(editor, faces.latent, semantics),
            ),
        ),
    ):
        probes[name] = latent_measures.probe_accuracy((codes[0], decided > 0.5), (codes[1], test_decisions), seed)
    return {
        f"NLL of the flow, exact trace, {count} faces (nats per dimension)": latent_measures.flow_nll(
            editor, faces.latent[:count], semantics[:count]
        ),
        "NLL of a diagonal Gaussian, the same faces": latent_measures.gaussian_nll(train_latent, faces.latent[:count]),
        "closure, relative error": latent_measures.closure(editor, faces.latent[:64], semantics[:64]),
        f"decisions recovered by a probe trained on {len(train)} faces": {
            name: dict(zip(domain.attributes, values.tolist(), strict=True)) for name, values in probes.items()
        },
    }


def edits_sheet(editor: AttributeEditor, domain: Domain, faces: TestSet) -> Tensor:
    """Rows: faces, one attribute each; columns: photo, inversion, the flip at rising strength."""
    rows = []
    for index in range(min(SHEET_FACES, len(faces))):
        name = domain.attributes[index % len(domain.attributes)]
        image, latent = faces.image[index : index + 1], faces.latent[index : index + 1]
        decisions = faces.decisions["inversion"][index : index + 1].to(domain.device)
        cells = [image, faces.inversion[index : index + 1]]
        for strength in SHEET_STRENGTHS:
            edited = editor.edit(latent.to(domain.device), image.to(domain.device), {name: Flip(strength)}, decisions)
            cells.append(domain.synthesise(edited).cpu())
        rows += cells
    return grid(torch.cat(rows), columns=2 + len(SHEET_STRENGTHS))


def compare(options: argparse.Namespace) -> None:
    """Measure several editors on the same faces and write what they keep, side by side."""
    contestants = load_contestants([named_run(text) for text in options.compare], pick_device(options.device))
    methods = list(dict.fromkeys(one.method for one in contestants))
    baseline = options.baseline or (SDFlowEditor.title if SDFlowEditor.title in methods else None)
    if baseline is not None and baseline not in methods:
        raise ConfigError(f"--baseline: '{baseline}' is none of those compared: {', '.join(methods)}")
    if baseline is None:
        print(f"no {SDFlowEditor.title} among them, so no differences: --baseline chooses of {', '.join(methods)}")
    domain = contestants[0].domain
    domain.precision = options.precision or domain.precision
    faces = prepared_faces(test_faces(options, domain), options.count, domain)
    folder = options.output
    results = measured(contestants, domain, faces, options.strengths, folder / "measured")
    found = {reference: Comparison(outcomes, options.seed) for reference, outcomes in results.items()}
    strengths = {method: found["inversion"].strength_shown(method) for method in methods}
    short = [method for method in methods if found["inversion"].strength(method, LEAKAGE_AT)[0] is None]
    where = [f" {method} does not reach it: its edits are at the largest strength." for method in short]
    runs = {method: [one.metadata for one in contestants if one.method == method] for method in methods}
    report: dict[str, Any] = {
        "record": {
            "domain": domain.name, "faces": options.faces, "n": len(faces), "seed": options.seed,
            "strengths": list(options.strengths),
        },
        "baseline": baseline,
        "runs": {
            method: [{"file": m["file"], "hash": m["hash"], "config": m.get("config")} for m in entries]
            for method, entries in runs.items()
        },
        "inversion keeps": _inversion(faces, domain),
        "sheet": "The first faces of the set, each method's first run at the strength of 95 % average accuracy."
        + "".join(where),
        "references": {reference: comparison.summary(baseline) for reference, comparison in found.items()},
    }  # fmt: skip
    record = {key: str(value) for key, value in report["record"].items()}
    write_text(folder / "report.json", json.dumps(report, indent=1))
    write_text(folder / "report.md", comparison_report.markdown(report))
    drawn = comparison_figures.curve_figure(report["references"], options.anchors)
    figures.save(drawn, folder / "curves.png", record)
    matrices = comparison_figures.leakage_figure(report["references"]["inversion"])
    figures.save(matrices, folder / "leakage.png", record)
    sheet(contestants, domain, faces, strengths, folder)


def write_results(
    options: argparse.Namespace,
    report: dict[str, Any],
    semantics: np.ndarray,
    sheet: Tensor,
) -> None:
    """All files of an evaluation."""
    folder, record = options.output, {key: str(value) for key, value in report["record"].items()}
    write_text(folder / "report.json", json.dumps(report, indent=1))
    write_text(folder / "curves.csv", curves_csv(report["editors"], record))
    write_text(folder / "report.md", markdown(report))
    inversion = {name: references["inversion"] for name, references in report["editors"].items()}
    title = f"{record['faces']} faces, n = {record['n']}, against the inversion"
    figures.save(figures.curve_figure(inversion, title), folder / "curves.png", record)
    attributes = report["attributes"]
    figures.save(figures.histogram_figure(semantics, attributes), folder / "histograms.png", record)
    for name, entry in inversion.items():
        matrix = entry["leakage_at_0.95"]
        if matrix is not None:
            figure = figures.leakage_figure(np.array(matrix["matrix"]), attributes)
            figures.save(figure, folder / f"leakage-{name.lower().replace(' ', '-')}.png", record)
    picture = to_pillow(sheet)
    if picture.width < 900:
        picture = picture.resize((picture.width * 2, picture.height * 2))
    save_marked(folder / "edits.png", picture, "Faces edited with SDFlow at rising strength", record)


def run(options: argparse.Namespace) -> None:
    """Measure and write."""
    torch.manual_seed(options.seed)
    loaded, domain, metadata = load_editor(
        options.checkpoint, pick_device(options.device), options.semantic_encoder, options.domain
    )
    editor = attribute_editor(loaded)
    domain.precision = options.precision or domain.precision
    dataset = test_faces(options, domain)
    if not metadata.get("config") and not (options.no_linear and options.no_latents):
        raise ConfigError(
            f"{metadata['file']}: does not say which faces it was trained on, and linear directions and probes are "
            f"fitted to those; leave both out: --no-linear --no-latents"
        )
    faces = prepared_faces(dataset, options.count, domain)
    editors: dict[str, AttributeEditor] = {editor.title: editor}
    if not options.no_linear:
        linear = linear_editor(metadata, domain, options.fit_count)
        editors[linear.title] = linear
    outcomes = measure(editors, domain, faces, tuple(options.strengths))
    semantics = in_batches(editor.read, faces.latent, faces.image, device=domain.device)
    report: dict[str, Any] = {
        "checkpoint": metadata["file"],
        "record": {
            "checkpoint": metadata["hash"], "domain": domain.name, "faces": options.faces, "n": len(faces),
            "seed": options.seed, "strengths": list(options.strengths), "step": metadata.get("step"),
        },
        "config": metadata.get("config"),
        "attributes": list(domain.attributes),
        "inversion keeps": _inversion(faces, domain),
        "editors": {
            name: {reference: summary(entry, options.seed) for reference, entry in references.items()}
            for name, references in outcomes.items()
        },
        "counterfactual": counterfactual_report(outcomes, faces, domain),
    }  # fmt: skip
    if not options.no_latents:
        train = training_faces(metadata, domain, options.fit_count)
        report["latents"] = latent_report(editor, faces, train, domain, options.seed)
    write_results(options, report, semantics.numpy(), edits_sheet(editor, domain, faces))


def _inversion(faces: TestSet, domain: Domain) -> dict[str, Any]:
    same = (faces.decisions["photo"] == faces.decisions["inversion"]).float().mean(0)
    identity = (faces.embedding["photo"] * faces.embedding["inversion"]).sum(1).mean()
    return {"decisions": dict(zip(domain.attributes, same.tolist(), strict=True)), "identity": float(identity)}


def main(arguments: list[str] | None = None) -> int:
    """Run the command; exit status 0 done, 2 wrong usage or missing files."""
    options = parse_arguments(arguments)
    keep_freed_memory()
    options.output = resolve(options.output) if not options.output.is_absolute() else options.output
    try:
        (compare if options.compare else run)(options)
    except (ConfigError, WeightsError, OSError, ValueError) as error:
        print(f"evaluate.py: {error}", file=sys.stderr)
        return 2
    print(f"done: {displayed(options.output / 'report.md')} and figures beside it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
