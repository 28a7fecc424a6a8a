#!/usr/bin/env python
"""Encode photographs once for all trainings: aligned face, latent code and the teacher's probabilities.

    python scripts/encode_dataset.py data/ffhq -o cache/ffhq --aligned              FFHQ's own, aligned pictures
    python scripts/encode_dataset.py PHOTOS -o cache/mine                           photographs: faces are aligned first
    python scripts/encode_dataset.py PHOTOS -o cache/mine --engine ray --workers 8  on eight cores of this machine
    python scripts/encode_dataset.py PHOTOS -o /shared/mine --engine ray --address auto   on a running Ray cluster
    python train.py --config configs/sdflow/ffhq_encoded.yaml data.folder=cache/mine

OUT gets shard-000000000.safetensors and so on, each with up to --shard-size faces, manifest.json (which networks, how
many photos) and report.json (which photos failed and why). Shards are written atomically: the command may be killed at
any time, and the same call continues where it stopped. A later call with more photos adds them. Only one call at a time
may write into a folder. Exit status: 0 all encoded, 1 some photos failed or the call was interrupted, 2 wrong usage.

Estimated cost of a million photos (calculated, not measured). Disk: a face takes 197 kB as 256 x 256 pixels,
37 kB as 18 x 512 float32 and 0.2 kB of probabilities: 234 GB. Encoder and teacher take 145 + 19 GFLOP a face: 18 ms on
a GPU that reaches 9 TFLOP/s in float32 (an A100 at about half of its peak). Reading and aligning is assumed to take a
CPU core 60 ms for an aligned 1024 x 1024 PNG of 1.3 MB and 1.5 s for a 12-megapixel JPEG of 4 MB.

                                  one GPU    eight GPUs    read in all
    aligned, --per-gpu 4          5.4 h      0.7 h         1.3 TB (at 0.5 GB/s for eight)
    photographs, --per-gpu 16     26 h       3.3 h         4 TB (at 0.3 GB/s for eight)

with --engine ray and one CPU core for each shard in progress: N shards that share a GPU need (reading + 18 ms) / N a
face, but at least 18 ms. Photographs are limited by the cores, not by the GPU. The default engine alternates reading
and computing, one shard at a time: 22 h and 17 days on one GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from utils.failures import explain_failures
from utils.options import CommandParser, add_device_option, not_empty, output_folder, value_of
from utils.ranges import Between

SHOWN_FAILURES = 10
PER_GPU = 4
PORTION = value_of(Annotated[int, Between(1, 1_000_000)])
WORKERS = value_of(Annotated[int, Between(1, 10_000)])


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Command line of encode_dataset.py."""
    parser = CommandParser(__doc__)
    parser.add_argument(
        "photos",
        type=not_empty,
        nargs="+",
        metavar="PHOTOS",
        help="folders (with sub-folders), files, or patterns ('a/*.jpg')",
    )
    parser.add_argument(
        "-o", "--output", type=output_folder, required=True, metavar="OUT", help="folder for the shards"
    )
    parser.add_argument(
        "--domain", type=not_empty, default="configs/domains/ffhq.yaml", metavar="FILE",
        help="config of the domain: its aligner, encoder and teacher are used (default: configs/domains/ffhq.yaml)",
    )  # fmt: skip
    parser.add_argument(
        "--aligned", action="store_true", help="the photos are aligned faces already: crop the centred square"
    )
    parser.add_argument("--shard-size", type=PORTION, default=256, metavar="N", help="photos per shard (default: 256)")
    parser.add_argument(
        "--batch-size", type=PORTION, default=16, metavar="N", help="faces per pass through the networks (default: 16)"
    )
    add_device_option(parser)
    parser.add_argument("--retry-failed", action="store_true", help="encode photos again that failed")
    growing = parser.add_argument_group(
        "an encoding that grows",
        "new photos are added; if earlier ones changed or are not among PHOTOS, the command stops and asks for",
    )
    growing.add_argument(
        "--update", action="store_true", help="encode changed photos again, drop those that are not among PHOTOS"
    )
    growing.add_argument(
        "--keep-missing", action="store_true", help="keep the faces of photos that are not among PHOTOS"
    )
    parser.add_argument("--quiet", action="store_true", help="do not show a progress bar")
    engine = parser.add_argument_group(
        "engine", "with ray, every machine must have photos, weights, project and OUT under the same paths"
    )
    engine.add_argument(
        "--engine", choices=("here", "ray"), default="here", help="here: in this process (default); ray: in parallel"
    )
    engine.add_argument(
        "--address",
        type=not_empty,
        metavar="ADDRESS",
        help="ray: address of a running cluster, or auto (default: start one on this machine)",
    )
    engine.add_argument(
        "--workers",
        type=WORKERS,
        metavar="N",
        help="ray on this machine: shards in parallel (default: number of cores)",
    )
    engine.add_argument(
        "--per-gpu", type=WORKERS, metavar="N", help=f"ray: shards that share a GPU (default: {PER_GPU})"
    )
    options = parser.parse_args(arguments)
    if options.engine != "ray" and (options.address or options.workers or options.per_gpu):
        parser.error("--address, --workers and --per-gpu need --engine ray")
    if options.address and options.workers:
        parser.error("--workers: is of this machine, and --address names a cluster, which has workers of its own")
    return options


if __name__ == "__main__":
    explain_failures()
    parse_arguments()  # --help and usage errors are reported before importing PyTorch

from tqdm import tqdm

from datasets.alignment_check import report_alignment
from datasets.encoded_faces import read_manifest, shard_places, write_manifest
from datasets.encoding import EngineError, ShardSummary, ShardTask, map_here, map_with_ray
from datasets.encoding_plan import Plan, plan_encoding
from datasets.latent_shards import ShardError, ShardFile, shard_path
from datasets.pictures import Pictures
from models.domain import Domain
from utils.devices import pick_device
from utils.excerpts import excerpt
from utils.failures import described, exit_status
from utils.files import remove_litter, write_text
from utils.locks import only_writer
from utils.paths import displayed, resolve
from utils.photo_files import find_photos
from utils.photos import Photo, printable


def named(photos: Sequence[Photo]) -> dict[str, Path]:
    """Name → file of each photo: its path below its folder, or the whole path where an earlier one has that name."""
    files: dict[str, Path] = {}
    for photo in photos:
        name = printable(photo.name)
        files[printable(photo.path) if name in files else name] = photo.path
    return files


def describe(options: argparse.Namespace) -> dict[str, Any]:
    """The manifest of this call without the photos: what every photo of one encoding must share."""
    domain = Domain.from_file(options.domain, pick_device(options.device))
    return {
        "domain": domain.name,
        "image_side": domain.image_side,
        "networks": domain.fingerprints(("encoder", "teacher")),
        "outputs": list(domain.classifier_outputs),
        "aligner": "none" if options.aligned else domain.aligner,
        "shard_size": options.shard_size,
    }


def begin(options: argparse.Namespace, files: Mapping[str, Path]) -> Plan:
    """Compare the photos with what the folder holds, and write the manifest.

    Raises:
        ShardError: the folder holds an encoding with other networks or in other portions, or photos of it changed or
            are missing and no option says what to do with them.
    """
    folder, manifest = options.output, describe(options)
    old = read_manifest(folder)
    different = [key for key in manifest if old is not None and old.get(key) != manifest[key]]
    if old is not None and different:
        said = ", ".join(f"{key} {excerpt(old.get(key))} instead of {excerpt(manifest[key])}" for key in different)
        raise ShardError(
            f"{displayed(folder)} holds another encoding ({said}); choose another folder with -o, or delete it"
        )
    places = shard_places(old) if old is not None else []
    plan = plan_encoding(folder, places, options.shard_size, files, options.retry_failed, options.keep_missing)
    plan.check(folder, options.update, options.keep_missing)
    shards = [[shard.places.start, len(shard.places)] for shard in plan.shards]
    whole = {"format": 2, **manifest, "photos": sum(count for _, count in shards), "shards": shards}
    if whole != old:
        write_manifest(folder, whole)
    remove_litter(folder)  # of a call that was killed
    return plan


def tasks(options: argparse.Namespace, files: Mapping[str, Path], plan: Plan) -> list[ShardTask]:
    """Shards that are still to be encoded or changed."""
    return [
        ShardTask(
            domain=str(resolve(options.domain)),
            destination=str(shard_path(options.output, shard.places.start).resolve()),
            photos=tuple((number, str(files[name].resolve()), name) for number, name in shard.photos),
            drop=tuple(shard.drop),
            aligned=options.aligned,
            batch_size=options.batch_size,
            device=options.device,
        )
        for shard in plan.shards
        if shard.photos or shard.drop
    ]


def check_given(options: argparse.Namespace, todo: Sequence[ShardTask]) -> None:
    """Say if photos that are given as aligned do not look it."""
    domain = Domain.from_file(options.domain)
    paths = [Path(path) for task in todo for _, path, _ in task.photos]
    pictures = Pictures(Path(), paths, domain.image_side)
    cure = "without --aligned, faces are cut out of photographs"
    report_alignment("encode_dataset.py", domain, pictures, cure=cure)


def run(options: argparse.Namespace, todo: Sequence[ShardTask], done: int) -> list[ShardSummary]:
    """Store all shards; returns those that were lost with their workers."""
    if options.engine == "ray":
        engine = map_with_ray(todo, options.address, options.workers, options.per_gpu or PER_GPU)
    else:
        engine = map_here(todo)
    lost = []
    total = done + sum(len(task.photos) for task in todo)
    with tqdm(total=total, initial=done, unit="photo", dynamic_ncols=True, disable=options.quiet) as bar:
        for summary in engine if todo else ():
            bar.update(len(summary.task.photos))
            if summary.lost:
                lost.append(summary)
    return lost


def report(folder: Path, plan: Plan, lost: Sequence[ShardSummary], passed_over: Mapping[str, int]) -> int:
    """Write report.json, say what failed; returns the exit status."""
    failures: dict[str, str] = {}
    encoded = 0
    for part in plan.shards:
        path = shard_path(folder, part.places.start)
        if path.is_file():
            shard = ShardFile(path)
            encoded += len(shard)
            failures |= shard.failures
    for summary in lost:
        failures |= {name: f"not tried: {summary.lost}" for _, _, name in summary.task.photos}
    contents = {"encoded": encoded, "failed": len(failures), "passed_over": dict(passed_over), "failures": failures}
    contents |= {"changed": plan.changed, "missing": plan.missing}
    write_text(folder / "report.json", json.dumps(contents, indent=2, ensure_ascii=False) + "\n")
    for name, reason in list(failures.items())[:SHOWN_FAILURES]:
        print(f"{name}: {reason}", file=sys.stderr)
    if len(failures) > SHOWN_FAILURES:
        print(f"and {len(failures) - SHOWN_FAILURES} more, see {displayed(folder / 'report.json')}", file=sys.stderr)
    print(f"{encoded} faces in {displayed(folder)}, {len(failures)} of {encoded + len(failures)} photos failed")
    return 1 if failures else 0


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    options = parse_arguments(arguments)
    found = find_photos(options.photos, leave_out=options.output)
    absent = [photo for photo in found.photos if not os.path.lexists(photo.path)]
    problems = [*found.problems, *(f"{printable(photo.path)}: there is no such file" for photo in absent)]
    for remark in [*problems, *found.remarks()]:
        print(f"encode_dataset.py: {remark}", file=sys.stderr)
    files = named([photo for photo in found.photos if photo not in absent])
    if not files:
        return 2
    try:
        with only_writer(options.output, "encode_dataset.py"):
            plan = begin(options, files)
            for remark in plan.remarks(options.keep_missing):
                print(f"{displayed(options.output)}: {remark}")
            todo = tasks(options, files, plan)
            if options.aligned:
                check_given(options, todo)
            lost = run(options, todo, plan.kept)
            return max(report(options.output, plan, lost, found.passed_over), 1 if problems else 0)
    except (ValueError, EngineError, OSError) as error:
        print(f"encode_dataset.py: {described(error)}", file=sys.stderr)
        return exit_status(error)
    except KeyboardInterrupt:
        print("encode_dataset.py: interrupted; the same call continues where it stopped", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
