#!/usr/bin/env python
"""Draw faces and write a table of their attribute values, as data for datasets/OWN_LABELS.md.

    python scripts/avatars/draw_labelled.py data/own --count 8000

FOLDER gets faces/00000.png and so on, and labels.csv: the five attributes of the avatar domain and Fair_Hair, which its
networks do not know. A tenth of the values is left empty, as in an incomplete annotation.
"""

from __future__ import annotations

import csv
import sys
from typing import Annotated

import numpy as np

from datasets.avatars import ATTRIBUTES, AvatarFaces
from utils.failures import explain_failures
from utils.images import to_pillow
from utils.options import CommandParser, output_folder, value_of
from utils.paths import displayed
from utils.ranges import Between

NEW = "Fair_Hair"
UNKNOWN = 0.1  # share of empty cells


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = CommandParser(__doc__)
    parser.add_argument("folder", type=output_folder, metavar="FOLDER", help="folder for faces/ and labels.csv")
    parser.add_argument(
        "--count",
        type=value_of(Annotated[int, Between(1, 1_000_000)]),
        default=8000,
        help="number of faces (default: 8000)",
    )
    options = parser.parse_args(arguments)
    pictures = options.folder / "faces"
    pictures.mkdir(parents=True, exist_ok=True)
    faces = AvatarFaces(options.count, "train")
    unknown = np.random.default_rng(0).random((options.count, len(ATTRIBUTES) + 1)) < UNKNOWN
    with (options.folder / "labels.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["picture", *ATTRIBUTES, NEW])
        for index in range(options.count):
            name = f"{index:05d}.png"
            to_pillow(faces[index]["image"]).save(pictures / name)
            factors = faces.factors(index)
            values = [*factors.values().tolist(), factors.hair_colour]
            cells = ["" if hidden else f"{value:.3g}" for value, hidden in zip(values, unknown[index], strict=True)]
            writer.writerow([name, *cells])
    print(f"{options.count} faces and labels.csv in {displayed(options.folder)}")
    return 0


if __name__ == "__main__":
    explain_failures()
    sys.exit(main())
