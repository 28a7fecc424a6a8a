#!/usr/bin/env python
"""Draw faces and write a table of their attribute values, as data for datasets/OWN_LABELS.md.

    python scripts/avatars/draw_labelled.py data/own --count 8000
    python scripts/avatars/draw_labelled.py data/black-hair --count 50 --hair black     faces with hair of one colour

FOLDER gets faces/00000.png and so on, and labels.csv: the five attributes of the avatar domain and Fair_Hair, which its
networks do not know. A tenth of the values is left empty, as in an incomplete annotation.
"""

from __future__ import annotations

import csv
import sys
from itertools import islice
from typing import Annotated

import numpy as np

from datasets.avatars import ATTRIBUTES, AvatarFaces, Factors
from utils.failures import explain_failures
from utils.images import to_pillow
from utils.options import CommandParser, output_folder, value_of
from utils.paths import displayed
from utils.ranges import Between

NEW = "Fair_Hair"
MOST = 1_000_000  # faces
HAIR = {"black": (0.0, 0.15), "red": (0.5, 0.7), "blond": (0.85, 1.0)}  # on the avatars' palette
GREY_FROM = 0.3  # age above which hair is grey rather than of its colour
UNKNOWN = 0.1  # share of empty cells


def has_hair(factors: Factors, colour: str) -> bool:
    """Whether a face's hair has one of the colours of `HAIR`."""
    low, high = HAIR[colour]
    return low <= factors.hair_colour <= high and factors.age <= GREY_FROM


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = CommandParser(__doc__)
    parser.add_argument("folder", type=output_folder, metavar="FOLDER", help="folder for faces/ and labels.csv")
    parser.add_argument(
        "--count",
        type=value_of(Annotated[int, Between(1, MOST)]),
        default=8000,
        help="number of faces (default: 8000)",
    )
    parser.add_argument("--hair", choices=HAIR, help="only young faces with hair of this colour")
    options = parser.parse_args(arguments)
    pictures = options.folder / "faces"
    pictures.mkdir(parents=True, exist_ok=True)
    faces = AvatarFaces(MOST, "train")
    fit = (index for index in range(MOST) if options.hair is None or has_hair(faces.factors(index), options.hair))
    chosen = list(islice(fit, options.count))
    unknown = np.random.default_rng(0).random((options.count, len(ATTRIBUTES) + 1)) < UNKNOWN
    with (options.folder / "labels.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["picture", *ATTRIBUTES, NEW])
        for number, index in enumerate(chosen):
            name = f"{number:05d}.png"
            to_pillow(faces[index]["image"]).save(pictures / name)
            factors = faces.factors(index)
            values = [*factors.values().tolist(), factors.hair_colour]
            cells = ["" if hidden else f"{value:.3g}" for value, hidden in zip(values, unknown[number], strict=True)]
            writer.writerow([name, *cells])
    print(f"{options.count} faces and labels.csv in {displayed(options.folder)}")
    return 0


if __name__ == "__main__":
    explain_failures()
    sys.exit(main())
