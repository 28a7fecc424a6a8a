#!/usr/bin/env python
"""Measure the time to align a large photograph, and how far searching a reduced copy moves the crop.

    python scripts/benchmarks/alignment.py PHOTO [PHOTO ...]
    python scripts/benchmarks/alignment.py tests/golden/photos/astronaut.png --megapixels 12 24

Each photograph is enlarged to the given size and stored as a JPEG. Decoding, search and cropping of all its faces are
timed in CPU seconds of one core. The movement is that of the crop's corners, in pixels of a 256 × 256 crop, against a
search of the full photograph. Exit status: 0 all within the limits, 1 not, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from collections.abc import Sequence
from typing import Annotated

import utils  # noqa: F401 (before PyTorch, see utils/threads.py)

# isort: split
import numpy as np
import torch
from PIL import Image

from models.editing.alignment import AlignmentError
from models.editing.face_alignment import SEARCH_SIDE, DlibAligner, Found
from utils.failures import explain_failures
from utils.options import CommandParser, input_file, value_of
from utils.photos import PhotoError, decode_photo, read_photo
from utils.ranges import Between, Positive

SIDE = 256
SECONDS_LIMIT, MOVEMENT_LIMIT = 0.3, 1.0  # the first for each megapixel, and for a picture of less


def enlarged(picture: Image.Image, megapixels: float) -> bytes:
    """The picture with this many pixels, as the bytes of a JPEG."""
    factor = (megapixels * 1e6 / (picture.width * picture.height)) ** 0.5
    size = (round(picture.width * factor), round(picture.height * factor))
    stream = io.BytesIO()
    picture.resize(size, Image.Resampling.BICUBIC).save(stream, "JPEG", quality=92)
    return stream.getvalue()


def timed(data: bytes, aligner: DlibAligner) -> tuple[float, int]:
    """Seconds of one core from the file's bytes to all aligned faces, and how many these are."""
    began = time.process_time()
    faces = aligner.faces(decode_photo(data))
    return time.process_time() - began, len(faces)


def movement(data: bytes, aligner: DlibAligner) -> float:
    """Largest movement of a corner of the surest face's crop, in pixels of the crop."""
    picture = decode_photo(data)
    found = aligner.find(picture)[0]
    centre = (found.box[:2] + found.box[2:]) / 2

    def distance(other: Found) -> float:
        return float(np.abs((other.box[:2] + other.box[2:]) / 2 - centre).max())

    upsampled = int(2 * max(picture.size) <= SEARCH_SIDE["hog"])  # as photographs that need no copy are searched
    whole = min(aligner.detect(np.asarray(picture), "hog", upsampled), key=distance)
    quads = [aligner.quad(picture, find) for find in (found, whole)]
    return float(np.abs(quads[0] - quads[1]).max() * SIDE / np.hypot(*(quads[1][3] - quads[1][0])))


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = CommandParser(__doc__)
    parser.add_argument("photos", nargs="+", type=input_file, metavar="PHOTO", help="pictures with a face")
    parser.add_argument(
        "--megapixels", nargs="+", type=value_of(Annotated[Positive, Between(high=1000)]), default=[12.0], metavar="N",
        help="sizes to enlarge to (default: 12)",
    )  # fmt: skip
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 all within the limits, 1 not."""
    options = parse(arguments)
    torch.set_num_threads(1)
    aligner = DlibAligner(SIDE)
    within = True
    print(f"{'photo':<24}{'megapixels':>11}{'faces':>7}{'seconds':>9}{'movement at 256':>17}")
    for path in options.photos:
        try:
            picture = read_photo(path)
            aligner.faces(picture)  # reads the models
            for megapixels in options.megapixels:
                data = enlarged(picture, megapixels)
                seconds, count = timed(data, aligner)
                moved = movement(data, aligner)
                print(f"{path.name:<24}{megapixels:>11.1f}{count:>7}{seconds:>9.2f}{moved:>14.2f} px", flush=True)
                within &= seconds <= SECONDS_LIMIT * max(megapixels, 1) and moved < MOVEMENT_LIMIT
        except (PhotoError, AlignmentError) as error:
            print(f"{path}: {error}", file=sys.stderr)
            within = False
    print(f"limits: {SECONDS_LIMIT} s a megapixel, {MOVEMENT_LIMIT} px: {'kept' if within else 'not kept'}")
    return 0 if within else 1


if __name__ == "__main__":
    explain_failures()
    sys.exit(main())
