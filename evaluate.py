#!/usr/bin/env python
"""Measure editors: of attributes as in Figure 4 of the paper, of masks and identities by what edits should show.

    python evaluate.py                                     the shipped avatar editor on 1,000 held-out drawn faces
    python evaluate.py --faces decorrelated --count 200    faces with statistically independent attributes
    python evaluate.py --checkpoint runs/sdflow-ffhq --faces data/ffhq-test
    python evaluate.py --strengths -0.3 0 0.2 0.5          other points of the curves
    python evaluate.py --compare runs/sdflow-0 runs/sdflow-1 runs/adatrans-0 Ours=runs/mine
    python evaluate.py --checkpoint pretrained/avatars/s2flow.safetensors     masks, on 500 faces
    python evaluate.py --checkpoint pretrained/avatars/id_swap.safetensors    identities, on 500 pairs
    python evaluate.py --compare S2FLOW NLL=runs/s2flow-nll pretrained/avatars/editor.safetensors

Each attribute of each face is edited towards the opposite of the judge's decision with increasing strength d (a
present attribute is set to -d, an absent one to 1 + d) until 99 % of the decisions change. Results go to -o: report.md,
report.json, curves.csv, curves.png, histograms.png, leakage.png and edits.png.

--compare measures any number of editors of one domain on the same faces. Runs of the same method (or with the same
NAME=) count as its seeds: intervals are over seeds and faces. Finished measurements are kept in -o, so that an
interrupted comparison continues where it stopped.

An editor of masks is given the masks of true edits of drawn faces (smile, glasses, waves, length of the hair, one
feature, a turned head) and those of other faces. How well the pictures follow them, what else changes, edits of style,
faces from random z and what z keeps stand in report.md and report.json, with kinds.png, identity.png and sheet.png,
beside the shipped editor of attributes where a request is one of an attribute. Of a folder of pictures nobody knows
true edits: they get each other's masks. --compare takes several such editors, and editors of attributes beside them.

An editor of identities gives each face the identity of another: who is seen, what else is the first one's, and how far
it is from the face drawn so. report.md and report.json hold that beside both faces and their codes mixed at each layer,
with sheet.png. --compare takes several such editors.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

from utils.failures import explain_failures
from utils.options import CommandParser, add_device_option, add_editor_options, not_empty, output_folder, value_of
from utils.paths import absolute, displayed, resolve
from utils.ranges import Between, Count

STRENGTHS = (-0.5, -0.3, -0.1, 0.0, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0)
FIT_COUNT = 2000
DRAWN = {"correlated": 0.6, "decorrelated": 0.0}


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Command line of evaluate.py."""
    parser = CommandParser(__doc__, prog="evaluate.py")
    add_editor_options(parser, "the shipped editor")
    parser.add_argument(
        "--faces", type=not_empty, metavar="SET",
        help="correlated or decorrelated (drawn faces), or a folder of aligned faces (default: correlated; for editors "
        "of masks or identities decorrelated)",
    )  # fmt: skip
    parser.add_argument(
        "--count", type=value_of(Annotated[int, Between(2, 10_000_000)]), metavar="N",
        help="number of faces (default: 1000; for editors of masks or identities 500)",
    )  # fmt: skip
    parser.add_argument(
        "--strengths", type=value_of(Annotated[float, Between(-100, 100)]), nargs="+", metavar="D",
        help="default: 12 from -0.5 to 2; editors of masks have none",
    )  # fmt: skip
    parser.add_argument(
        "--compare", type=not_empty, nargs="+", metavar="RUN", help="editors as --checkpoint takes them, or NAME=RUN"
    )
    parser.add_argument(
        "--baseline", type=not_empty, metavar="NAME", help="method to take differences to (default: SDFlow, if there)"
    )
    parser.add_argument("--anchors", action="store_true", help="add AdaTrans' published results on FFHQ to the figure")
    parser.add_argument(
        "--no-linear", action="store_true",
        help="skip the baseline: linear directions; of editors of masks the shipped editor of attributes",
    )  # fmt: skip
    parser.add_argument(
        "--fit-count", type=value_of(Count), default=FIT_COUNT, metavar="N",
        help=f"faces that baseline and probes learn from (default: {FIT_COUNT})",
    )  # fmt: skip
    parser.add_argument(
        "--no-latents", action="store_true",
        help="skip likelihood, closure and probes; of editors of masks all that needs further faces: probes, Fréchet "
        "distance and the reading of colours",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--output", type=output_folder, metavar="FOLDER",
        help="output folder (default: output/evaluation, with --compare output/comparison)",
    )  # fmt: skip
    parser.add_argument(
        "--seed", type=value_of(Annotated[int, Between(0, 2**32 - 1)]), default=0, metavar="N",
        help="random seed of bootstrap and probes (default: 0)",
    )  # fmt: skip
    add_device_option(parser)
    options = parser.parse_args(arguments)
    one = ("checkpoint", "semantic_encoder", "mapper", "domain", "weights", "no_linear")
    several = ("baseline", "anchors")
    for name in one if options.compare else several:
        if getattr(options, name):
            what = "cannot be combined with --compare" if options.compare else "needs --compare"
            parser.error(f"--{name.replace('_', '-')} {what}")
    if options.fit_count != FIT_COUNT and options.no_latents and (options.no_linear or options.compare):
        parser.error("--fit-count: neither the linear baseline nor the probes are computed")
    options.output = options.output or Path("output/comparison" if options.compare else "output/evaluation")
    folder = options.faces if options.faces not in DRAWN else None
    if folder and absolute(options.output).is_relative_to(absolute(folder)):
        parser.error(f"-o {options.output}: lies in --faces, where its pictures would be taken for faces")
    return options


if __name__ == "__main__":
    explain_failures()
    parse_arguments()  # --help and usage errors are reported before importing PyTorch, which takes two seconds

import torch

from datasets import DATASETS
from datasets.alignment_check import report_alignment
from datasets.encoded_faces import EncodedFaces
from datasets.latent_cache import LatentCache
from datasets.pictures import Prepares, UnreadablePictures, check_pictures
from models.domain import Domain
from models.editors.base import attribute_editor, mask_editor
from models.editors.linear import LinearDirectionsEditor
from models.editors.loading import SHIPPED_EDITOR, load_editor
from models.editors.sdflow import SDFlowEditor
from models.evaluation.comparing import choose_baseline, compare
from models.evaluation.contestants import (
    Contestant,
    edits_identities,
    edits_masks,
    evaluated_editor,
    load_contestants,
    named_run,
    same_space,
)
from models.evaluation.faces import faces_of, images_of
from models.evaluation.identities.protocol import evaluate_identities
from models.evaluation.masks.protocol import evaluate_masks
from models.evaluation.single import evaluate
from scripts.avatars.identity_test_sets import drawn_swap_set, photographed_swap_set
from scripts.avatars.mask_test_sets import drawn_test_set, photographed_test_set
from utils.config import ConfigError, Section
from utils.devices import keep_freed_memory, pick_device
from utils.failures import described, exit_status
from utils.files import remove_litter
from utils.locks import only_writer
from utils.weights import WeightsError


def test_data(options: argparse.Namespace, domain: Domain) -> Any:
    """The data set of faces that the command line names."""
    values: dict[str, Any] = {"side": domain.image_side, "count": options.count}
    if options.faces in DRAWN:
        correlation = DRAWN[options.faces]
        values |= {"name": "avatar_faces", "split": "test", "correlation": correlation, "cache": "cache/avatars"}
    else:
        values |= {"name": "image_folder", "folder": str(absolute(options.faces))}
    return DATASETS.build(Section(values, "faces"))


def training_faces(metadata: dict[str, Any], domain: Domain, count: int) -> LatentCache | EncodedFaces:
    """The first faces that the editor was trained on; what a latent cache of them lacks is not computed yet.

    Raises:
        ConfigError: the editor's file does not say which.
    """
    if not metadata.get("config"):
        raise ConfigError(
            f"{metadata['file']}: does not say which faces it was trained on, and linear baseline and probes are "
            f"fitted to those; skip both: --no-linear --no-latents"
        )
    data = dict(metadata["config"]["data"])
    if data.get("name") == "encoded_faces":
        return EncodedFaces(domain, data["folder"], data.get("first", 0), min(count, data.get("count") or count))
    faces = {**data["faces"], "count": min(count, data["faces"].get("count") or count)}
    return LatentCache(domain, faces, data.get("cache", "cache/latents"))


def alignment(options: argparse.Namespace, domain: Domain, data: object) -> dict[str, str]:
    """What the record says of whether the pictures are aligned faces; if they are not, the terminal says it as well."""
    cure = (
        f"align them first: python edit.py {shlex.quote(options.faces)} -o OUT --checkpoint RUN --faces largest "
        f"--flip {domain.attributes[0]} --paste none --save-aligned, then --faces OUT/aligned"
    )
    check = report_alignment("evaluate.py", domain, data, cure=cure)
    return {} if check is None else {"alignment": str(check)}


def prepare(*sources: object) -> None:
    """Compute what these data sets keep."""
    for source in sources:
        if isinstance(source, Prepares):
            source.prepare(checked=True)


def evaluate_one(options: argparse.Namespace) -> None:
    """Measure one editor, beside linear directions fitted on its training faces."""
    torch.manual_seed(options.seed)
    device = pick_device(options.device)
    loaded, domain, metadata = load_editor(
        options.checkpoint, device, options.semantic_encoder, options.domain, weights=options.weights,
        mapper=options.mapper,
    )
    domain.precision = options.precision or domain.precision
    contestants = [Contestant(loaded.title, loaded, domain, metadata)]
    if edits_identities(evaluated_editor(loaded, metadata["file"])):
        evaluate_identity_editors(options, contestants)
        return
    if edits_masks(loaded):
        evaluate_mask_editors(options, contestants if options.no_linear else [*contestants, *shipped(contestants[0])])
        return
    editor = attribute_editor(loaded)
    with_defaults(options, "correlated", 1000)
    data = test_data(options, domain)
    unfitted = options.no_linear and options.no_latents
    train = None if unfitted else training_faces(metadata, domain, options.fit_count)
    check_pictures(data, train)
    aligned = alignment(options, domain, data)
    prepare(data, train)
    baselines = []
    if train is not None and not options.no_linear:
        baselines = [LinearDirectionsEditor.fit(*train.numbers(), domain.attributes).to(domain.device)]
    faces = faces_of(data, domain, min(options.count, len(data)))
    record = {
        "checkpoint": metadata["hash"], "domain": domain.name, "faces": options.faces, "n": len(faces),
        "seed": options.seed, "strengths": list(options.strengths), "step": metadata.get("step"),
        **aligned,
    }  # fmt: skip
    probed = None if options.no_latents else train
    evaluate(editor, baselines, domain, faces, metadata, record, probed, options.output)


def evaluate_several(options: argparse.Namespace) -> None:
    """Measure several editors of one domain on the same faces."""
    contestants = load_contestants([named_run(text) for text in options.compare], pick_device(options.device))
    if any(edits_identities(one.editor) for one in contestants):
        evaluate_identity_editors(options, contestants)
        return
    if any(edits_masks(one.editor) for one in contestants):
        evaluate_mask_editors(options, sorted(contestants, key=lambda one: not edits_masks(one.editor)))
        return
    for name, given in (("fit-count", options.fit_count != FIT_COUNT), ("no-latents", options.no_latents)):
        if given:
            raise ConfigError(f"--{name}: a comparison of attribute edits computes neither baseline nor probes")
    with_defaults(options, "correlated", 1000)
    baseline = choose_baseline(contestants, options.baseline, usual=SDFlowEditor.title)
    domain = contestants[0].domain
    domain.precision = options.precision or domain.precision
    data = test_data(options, domain)
    check_pictures(data)
    aligned = alignment(options, domain, data)
    prepare(data)
    faces = faces_of(data, domain, min(options.count, len(data)))
    record = {
        "domain": domain.name, "faces": options.faces, "n": len(faces), "seed": options.seed,
        "strengths": list(options.strengths), **aligned,
    }  # fmt: skip
    compare(contestants, domain, faces, record, baseline, options.anchors, options.output)


def with_defaults(options: argparse.Namespace, faces: str, count: int) -> None:
    """Fill in what the command line leaves to the kind of editor."""
    options.faces = options.faces or faces
    options.count = options.count or count
    options.strengths = options.strengths or STRENGTHS


def shipped(one: Contestant) -> list[Contestant]:
    """The shipped editor of attributes, if it edits the same codes."""
    if not SHIPPED_EDITOR.is_file():
        return []
    editor, domain, metadata = load_editor(SHIPPED_EDITOR, one.domain.device)
    other = Contestant(editor.title, editor, domain, metadata)
    return [other] if same_space(one, other) else []


def evaluate_mask_editors(options: argparse.Namespace, contestants: list[Contestant]) -> None:
    """Measure editors of masks, of which the first is one, and editors of attributes beside them.

    Raises:
        ConfigError: an option that says nothing of masks.
    """
    for name in ("strengths", "baseline", "anchors"):
        if getattr(options, name):
            raise ConfigError(f"--{name}: of attribute edits alone; {contestants[0].metadata['file']} edits masks")
    with_defaults(options, "decorrelated", 500)
    first, domain = mask_editor(contestants[0].editor), contestants[0].domain
    domain.precision = options.precision or domain.precision
    side, others = first.mask_side, 0 if options.no_latents else options.fit_count
    if options.faces in DRAWN:
        test = drawn_test_set(domain, side, options.count, DRAWN[options.faces], others, options.seed, "cache/avatars")
        aligned = {}
    else:
        data = test_data(options, domain)
        check_pictures(data)
        aligned = alignment(options, domain, data)
        test = photographed_test_set(domain, side, images_of(data, min(options.count, len(data))), options.seed)
    record = {
        "checkpoint": contestants[0].metadata["hash"], "domain": domain.name, "faces": options.faces,
        "n": len(test.faces), "seed": options.seed, "step": contestants[0].metadata.get("step"), **aligned,
    }  # fmt: skip
    evaluate_masks(contestants, domain, test, record, options.output)


def evaluate_identity_editors(options: argparse.Namespace, contestants: list[Contestant]) -> None:
    """Measure editors of identities.

    Raises:
        ConfigError: an option that says nothing of identities, or an editor of something else.
    """
    for name in ("strengths", "baseline", "anchors", "no_linear"):
        if getattr(options, name):
            file = contestants[0].metadata["file"]
            raise ConfigError(f"--{name.replace('_', '-')}: of other edits; {file} exchanges identities")
    for one in contestants:
        if not edits_identities(one.editor):
            raise ConfigError(f"{one.metadata['file']}: edits no identities; compare it with editors of its own kind")
    with_defaults(options, "decorrelated", 500)
    domain = contestants[0].domain
    domain.precision = options.precision or domain.precision
    others, aligned = 0 if options.no_latents else options.fit_count, {}
    if options.faces in DRAWN:
        test = drawn_swap_set(domain, options.count, DRAWN[options.faces], others, options.seed, "cache/avatars")
    else:
        data = test_data(options, domain)
        check_pictures(data)
        aligned = alignment(options, domain, data)
        test = photographed_swap_set(images_of(data, min(options.count, len(data))), options.seed)
    record = {
        "checkpoint": contestants[0].metadata["hash"], "domain": domain.name, "faces": options.faces, "n": len(test),
        "seed": options.seed, "step": contestants[0].metadata.get("step"), **aligned,
    }  # fmt: skip
    evaluate_identities(contestants, domain, test, record, options.output)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; exit status 0 done, 1 results cannot be computed or written, 2 wrong usage or missing files."""
    options = parse_arguments(arguments)
    keep_freed_memory()
    options.output = resolve(options.output) if not options.output.is_absolute() else options.output
    try:
        with only_writer(options.output, "evaluate.py"):  # says at once if results could not be written
            remove_litter(options.output, recursive=True)
            (evaluate_several if options.compare else evaluate_one)(options)
    except UnreadablePictures as error:
        print(f"evaluate.py: {error.message(options.output)}", file=sys.stderr)
        return 2
    except FloatingPointError as error:  # of a flow's solver
        print(f"evaluate.py: {error}; take smaller --strengths", file=sys.stderr)
        return 1
    except (ConfigError, WeightsError, OSError, ValueError) as error:
        print(f"evaluate.py: {described(error)}", file=sys.stderr)
        return exit_status(error)
    print(f"done: {displayed(options.output / 'report.md')} and figures beside it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
