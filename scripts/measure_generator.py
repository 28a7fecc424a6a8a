#!/usr/bin/env python
"""Measure how near a generator's pictures are to real faces as a whole.

    python scripts/measure_generator.py                                     the shipped avatars and drawn faces
    python scripts/measure_generator.py --domain configs/domains/avatars_wpp.yaml --generator FILE
    python scripts/measure_generator.py --domain configs/domains/ffhq_256_wpp.yaml --faces FACES --features photographs

Prints the Fréchet distance, and precision, recall, density and coverage of pictures of random z without truncation.
--features judge takes all in the last features of the domain's judge; photographs takes the Fréchet distance in those
of Inception (the FID) and the others in those of VGG16 ('python scripts/download.py fid' fetches both).
Exit status: 0 done, 1 interrupted or not writable, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Annotated

from utils.failures import explain_failures
from utils.options import CommandParser, add_device_option, input_folder, not_empty, output_file, value_of
from utils.ranges import Between, Seed

COUNT = value_of(Annotated[int, Between(10, 10_000_000)])
FEW = value_of(Annotated[int, Between(1, 1000)])


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Command line of measure_generator.py."""
    parser = CommandParser(__doc__)
    parser.add_argument(
        "--domain", type=not_empty, default="configs/domains/avatars.yaml", metavar="FILE",
        help="config of the domain (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--generator", type=not_empty, metavar="FILE", help="weights (default: the domain's)")
    parser.add_argument(
        "--faces", type=input_folder, metavar="DIR",
        help="folder of aligned real faces, of which the first are taken (default: drawn avatars)",
    )  # fmt: skip
    parser.add_argument(
        "--features", choices=("judge", "photographs"), default="judge", help="see above (default: %(default)s)"
    )
    parser.add_argument(
        "--count", type=COUNT, default=5000, metavar="N", help="real and generated faces (default: %(default)s)"
    )
    parser.add_argument(
        "--neighbours", type=FEW, default=3, metavar="K", help="the ball of a face reaches to the K-th (default: 3)"
    )
    parser.add_argument(
        "--noise", choices=("random", "constant", "none"), default="random", help="noise maps (default: %(default)s)"
    )
    parser.add_argument("--seed", type=value_of(Seed), default=0, metavar="N", help="of z and noise (default: 0)")
    parser.add_argument("--batch-size", type=FEW, default=50, metavar="N", help="faces at once (default: %(default)s)")
    parser.add_argument("--cache", type=not_empty, default="cache/avatars", metavar="DIR", help="of drawn avatars")
    parser.add_argument(
        "--weights", type=not_empty, default="pretrained/ffhq", metavar="DIR",
        help="folder of Inception's and VGG16's files (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("-o", "--output", type=output_file, metavar="FILE", help="write the numbers as JSON, too")
    add_device_option(parser)
    parser.add_argument("--quiet", action="store_true", help="do not show a progress bar")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    explain_failures()
    parse_arguments()  # --help and usage errors are reported before importing PyTorch

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from datasets.avatars import AvatarFaces
from datasets.image_folder import ImageFolder
from models.domain import Domain
from models.evaluation.distributions import Moments, frechet_distance_of, neighbourhoods
from models.evaluation.feature_networks import feature_network
from scripts.avatars.measures.common import CORRELATION, Batches, drawn
from utils.devices import pick_device
from utils.failures import described, exit_status
from utils.files import write_text
from utils.paths import displayed, resolve
from utils.weights import freeze

FILES = {"inception": "weights-inception-2015-12-05-6726825d.pth", "vgg16": "vgg16-397923af.pth"}
Network = Callable[[Tensor], Tensor]


def real_faces(options: argparse.Namespace, domain: Domain) -> Dataset[dict[str, Tensor]]:
    """The faces that generated ones are compared with.

    Raises:
        FileNotFoundError: no picture in the folder.
        ValueError: too few.
    """
    if options.faces is None:
        avatars = AvatarFaces(
            options.count, "test", correlation=CORRELATION, side=domain.image_side, cache=options.cache
        )
        return avatars.prepare()
    faces = ImageFolder(str(options.faces), domain.image_side, count=options.count)
    if len(faces) < options.count:
        raise ValueError(f"{displayed(options.faces)}: {len(faces)} pictures, --count is {options.count}")
    return faces


@torch.no_grad()
def generated(domain: Domain, generator: Any, options: argparse.Namespace) -> Batches:
    """Batches {"image"} of the generator's pictures at the domain's side; z depends on the seed alone."""
    random = torch.Generator().manual_seed(options.seed)
    torch.manual_seed(options.seed)  # of random noise maps
    for first in range(0, options.count, options.batch_size):
        z = torch.randn(min(options.batch_size, options.count - first), *generator.z_shape, generator=random)
        codes = generator.broadcast(generator.mapping(z.to(domain.device)))
        yield {"image": domain.resized(generator.synthesis(codes, noise=options.noise)).clamp(-1, 1)}


@torch.no_grad()
def read(
    batches: Batches, networks: tuple[Network, Network], domain: Domain, bar: tqdm
) -> tuple[Moments, np.ndarray]:
    """Moments of the first network's features, and all of the second's (N, F)."""
    moments, kept = Moments(), []
    for batch in batches:
        image = batch["image"].to(domain.device)
        features = [network(image).float().cpu().numpy() for network in dict.fromkeys(networks)]
        moments.add(features[0])
        kept.append(features[-1])
        bar.update(len(image))
    return moments, np.concatenate(kept)


def measure(options: argparse.Namespace, domain: Domain) -> dict[str, Any]:
    """The measures by name.

    Raises:
        WeightsError: a weight file is missing or another.
        ConfigError, FileNotFoundError, ValueError: as `real_faces`, and of the domain.
    """
    if options.generator:
        generator: Any = freeze(domain.from_weights("generator", resolve(options.generator))[0].to(domain.device))
    else:
        generator = domain.generator
    networks: tuple[Network, Network]
    if options.features == "judge":
        judged = domain.judge.features
        networks = (judged, judged)
    else:
        folder = resolve(options.weights)
        found = [feature_network(name, folder / file).to(domain.device) for name, file in FILES.items()]
        networks = (found[0], found[1])
    faces = real_faces(options, domain)
    with tqdm(total=2 * options.count, unit="face", dynamic_ncols=True, disable=options.quiet) as bar:
        real, real_features = read(drawn(faces, options.batch_size), networks, domain, bar)
        fake, fake_features = read(generated(domain, generator, options), networks, domain, bar)
    distance = frechet_distance_of(fake, real)
    return {
        "frechet_distance": distance,
        "frechet_share_of_variance": distance / float(np.trace(real.covariance)),
        **asdict(neighbourhoods(real_features, fake_features, options.neighbours)),
        "faces": options.count,
        "neighbours": options.neighbours,
        "seed": options.seed,
        "noise": options.noise,
        "features": options.features,
        "domain": options.domain,
        "generator": options.generator or displayed(domain.weights_path("generator")),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    options = parse_arguments(arguments)
    try:
        measured = measure(options, Domain.from_file(options.domain, pick_device(options.device)))
        if options.output is not None:
            write_text(options.output, json.dumps(measured, indent=2) + "\n")
    except (ValueError, OSError) as error:
        print(f"measure_generator.py: {described(error)}", file=sys.stderr)
        return exit_status(error)
    except KeyboardInterrupt:
        print("measure_generator.py: interrupted", file=sys.stderr)
        return 1
    for name, value in measured.items():
        print(f"{name.replace('_', ' '):<26} {value:.4g}" if isinstance(value, float) else f"{name:<26} {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
