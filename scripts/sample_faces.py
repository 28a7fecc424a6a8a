#!/usr/bin/env python
"""Draw faces with a domain's generator and store pictures and codes, to train on: the identity swap's data creator.

    python scripts/sample_faces.py -o cache/samples --count 70000                          drawn avatars
    python scripts/sample_faces.py -o cache/samples --domain configs/domains/ffhq_256.yaml --count 70000
    python scripts/sample_faces.py -o cache/eval --count 10000 --seed 1 --pairs data/eval_10000
    python train.py --config configs/id_swap/ffhq_256.yaml data.folder=cache/samples

A code is mean + PSI (w − mean), where w is mapped from random z and mean is that of --mean-of of them. OUT gets the
shards of encode_dataset.py, the mean, and manifest.json, which says how they were drawn. A face depends on the seed and
its number alone. The command may be killed at any time, and the same call continues where it stopped.

--pairs writes the faces as the identity swap's published evaluation set, too: FOLDER/id_small_image, attr_small_image
and small_w, each with K/N.png or K/N.npy, K = N // 1000. Pair N is face N and face COUNT − 1 − N.
Exit status: 0 done, 1 interrupted or not writable, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Annotated, Any

from utils.failures import explain_failures
from utils.options import CommandParser, add_device_option, not_empty, output_folder, value_of
from utils.ranges import Between, Seed

PORTION = value_of(Annotated[int, Between(1, 1_000_000)])
COUNT = value_of(Annotated[int, Between(1, 100_000_000)])


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Command line of sample_faces.py."""
    parser = CommandParser(__doc__)
    parser.add_argument(
        "-o", "--output", type=output_folder, required=True, metavar="OUT", help="folder for the shards"
    )
    parser.add_argument("--count", type=COUNT, default=70_000, metavar="N", help="faces (default: %(default)s)")
    parser.add_argument(
        "--domain", type=not_empty, default="configs/domains/avatars.yaml", metavar="FILE",
        help="config of the domain (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--psi", type=value_of(Annotated[float, Between(0, 2)]), default=0.5, metavar="PSI",
        help="distance of codes from the mean, as a share of what it is: 1 keeps it (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--mean-of", type=COUNT, default=409_600, metavar="N", help="codes that the mean is of (default: %(default)s)"
    )
    parser.add_argument("--seed", type=value_of(Seed), default=0, metavar="N", help="of all (default: %(default)s)")
    parser.add_argument(
        "--pairs", type=output_folder, metavar="FOLDER", help="write these faces as the published evaluation set, too"
    )
    parser.add_argument(
        "--teacher", action="store_true", help="store the teacher's probabilities, which editors of attributes need"
    )
    parser.add_argument("--shard-size", type=PORTION, default=256, metavar="N", help="faces per shard (default: 256)")
    parser.add_argument(
        "--batch-size", type=PORTION, default=16, metavar="N", help="faces drawn at once (default: %(default)s)"
    )
    add_device_option(parser)
    parser.add_argument("--quiet", action="store_true", help="do not show a progress bar")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    explain_failures()
    parse_arguments()  # --help and usage errors are reported before importing PyTorch

from tqdm import tqdm

from datasets.encoded_faces import read_manifest, shard_places, write_manifest
from datasets.face_samples import Sampling, mean_code, sample_shard, write_pairs
from datasets.latent_shards import ShardError, ShardFile, shard_path, write_shard
from models.domain import Domain
from utils.devices import pick_device
from utils.failures import described, exit_status
from utils.files import remove_litter
from utils.locks import only_writer
from utils.paths import displayed

MEAN_FILE = "mean.safetensors"


def begin(options: argparse.Namespace, domain: Domain) -> dict[str, Any]:
    """The manifest of the set, written where there is none yet.

    Raises:
        ShardError: another set is there.
    """
    parts = ("generator", "teacher") if options.teacher else ("generator",)
    shards = [
        [first, min(options.shard_size, options.count - first)] for first in range(0, options.count, options.shard_size)
    ]
    wanted: dict[str, Any] = {
        "format": 2,
        "domain": domain.name,
        "image_side": domain.image_side,
        "networks": domain.fingerprints(parts),
        "sampled": {
            "seed": options.seed, "psi": options.psi, "mean_of": options.mean_of, "batch_size": options.batch_size,
        },
        "photos": options.count,
        "shards": shards,
    }  # fmt: skip
    there = read_manifest(options.output)
    if there is None:
        write_manifest(options.output, wanted)
    elif there != wanted:
        differing = ", ".join(key for key in wanted if there.get(key) != wanted[key])
        raise ShardError(f"{displayed(options.output)}: another set is here ({differing} differ); take another folder")
    remove_litter(options.output)  # of a call that was killed
    return wanted


def run(options: argparse.Namespace, domain: Domain) -> None:
    """Draw what is not there yet, and write the pairs.

    Raises:
        ShardError: another set is there, or a shard is damaged.
        ValueError: the codes do not fit into pairs.
        OSError: the disk is full or not writable.
    """
    if options.pairs is not None and len(domain.generator.z_shape) > 1:
        raise ValueError("--pairs: the published set has one style vector a face, this generator's codes have several")
    places = shard_places(begin(options, domain))
    missing = [part for part in places if not shard_path(options.output, part.start).is_file()]
    with tqdm(
        total=options.count, initial=options.count - sum(map(len, missing)), unit="face", dynamic_ncols=True,
        disable=options.quiet,
    ) as bar:  # fmt: skip
        mean = mean_code(domain, options.seed, options.mean_of, options.output / MEAN_FILE)
        sampling = Sampling(options.seed, options.psi, options.batch_size, options.teacher)
        for part in missing:
            write_shard(shard_path(options.output, part.start), sample_shard(domain, part, mean, sampling))
            bar.update(len(part))
    if options.pairs is not None:
        for part in tqdm(places, desc="pairs", unit="shard", dynamic_ncols=True, disable=options.quiet):
            write_pairs(options.pairs, ShardFile(shard_path(options.output, part.start)), options.count)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    options = parse_arguments(arguments)
    try:
        domain = Domain.from_file(options.domain, pick_device(options.device))
        with only_writer(options.output, "sample_faces.py"):
            run(options, domain)
    except (ValueError, OSError) as error:
        print(f"sample_faces.py: {described(error)}", file=sys.stderr)
        return exit_status(error)
    except KeyboardInterrupt:
        print("sample_faces.py: interrupted; the same call continues where it stopped", file=sys.stderr)
        return 1
    print(f"{options.count} faces in {displayed(options.output)}")
    if options.pairs is not None:
        print(f"{options.count} pairs in {displayed(options.pairs)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
