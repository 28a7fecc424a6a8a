#!/usr/bin/env python
"""Write the pictures and masks of the database that S²-Flow's authors publish as PNGs, once.

    python scripts/s2flow/convert_masks.py ffhq_lmdb.db -o data/ffhq-masks

OUT gets images/ID.png and masks/ID.png: class numbers that show the colours, as edit.py and generate.py take masks. The
records are in pyarrow's old serialisation, of which the numbers and bytes are read and nothing is executed. Needs
`pip install ".[s2flow]"`. Exit status: 0 all done, 1 some records are damaged, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from utils.failures import explain_failures
from utils.options import CommandParser, input_path, output_folder
from utils.paths import displayed

if TYPE_CHECKING:
    import numpy as np

KEYS = b"__keys__"
_COUNTS = 16  # bytes before the data: how many tensors, sparse tensors, arrays and buffers follow it


class DamagedRecord(ValueError):
    """A record of another form."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    options = parse_arguments(arguments)
    try:
        import lmdb
        import pyarrow  # noqa: F401
    except ImportError as error:
        print(f'convert_masks.py: {error.name} is not installed: pip install ".[s2flow]"', file=sys.stderr)
        return 2
    try:
        database = lmdb.open(str(options.database), subdir=options.database.is_dir(), readonly=True, lock=False)
        with database.begin() as transaction:
            keys = stored(transaction.get(KEYS) or b"")
            if not isinstance(keys, list) or not all(isinstance(key, bytes) for key in keys):
                raise DamagedRecord("holds no list of keys")
    except (lmdb.Error, DamagedRecord) as error:
        print(f"convert_masks.py: {displayed(options.database)}: {error}", file=sys.stderr)
        return 2
    damaged = 0
    with database.begin() as transaction:
        for key in tqdm(keys, unit="face"):
            try:
                write(options.output, *record(transaction.get(key) or b""))
            except DamagedRecord as error:
                tqdm.write(f"convert_masks.py: {key!r}: {error}", file=sys.stderr)
                damaged += 1
    print(f"{len(keys) - damaged} of {len(keys)} faces in {displayed(options.output)}")
    return 1 if damaged else 0


def stored(data: bytes) -> Any:
    """The one object, of numbers, texts, bytes and lists, in pyarrow's old serialisation.

    Raises:
        DamagedRecord: it is something else, or refers to arrays or to Python's own objects.
    """
    import pyarrow

    if len(data) < _COUNTS or any(data[:_COUNTS]):
        raise DamagedRecord("is damaged, or holds more than numbers and bytes")
    try:
        table = pyarrow.ipc.open_stream(pyarrow.py_buffer(data[_COUNTS:])).read_all()
        (value,) = table.column(0).to_pylist()
    except (pyarrow.ArrowException, ValueError, IndexError, NotImplementedError) as error:
        raise DamagedRecord(f"cannot be read ({str(error).splitlines()[0] if str(error) else type(error)})") from None
    return value


def record(data: bytes) -> tuple[int, np.ndarray, np.ndarray]:
    """Number, picture (H, W, 3) and mask (S, S) of a face.

    Raises:
        DamagedRecord: of another form, or a mask whose colours are not those of its classes.
    """
    import numpy as np

    from models.parsing.palette import CLASSES, painted

    content = stored(data)
    if not isinstance(content, list) or len(content) != 5:
        raise DamagedRecord("is no record of number, picture, grey mask, coloured mask and shape")
    number, picture, grey, coloured, shape = content
    parts = picture, grey, coloured
    if not isinstance(number, int) or number < 0 or not all(isinstance(part, bytes) for part in parts):
        raise DamagedRecord("is no record of number, picture, grey mask, coloured mask and shape")
    side = math.isqrt(len(grey))
    sizes = [value for value in shape if isinstance(value, int)] if isinstance(shape, list) else []
    if not side or side * side != len(grey) or len(sizes) != 3 or sizes[2] != 3 or math.prod(sizes) != len(picture):
        raise DamagedRecord(f"has {len(picture)} bytes of a picture of shape {shape} and {len(grey)} of a mask")
    mask = np.frombuffer(grey, np.uint8).reshape(side, side)
    if mask.max() >= len(CLASSES) or painted(mask).tobytes() != coloured:
        raise DamagedRecord("has a mask that is not of the 19 classes and their colours")
    return number, np.frombuffer(picture, np.uint8).reshape(sizes), mask


def write(output: Path, number: int, picture: np.ndarray, mask: np.ndarray) -> None:
    """Write a face's picture and mask."""
    import torch
    from PIL import Image

    from models.parsing.masks import indexed

    for name, image in (("images", Image.fromarray(picture)), ("masks", indexed(torch.from_numpy(mask.copy())))):
        (output / name).mkdir(parents=True, exist_ok=True)
        image.save(output / name / f"{number:05d}.png")


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Command line of convert_masks.py."""
    parser = CommandParser(__doc__)
    parser.add_argument("database", type=input_path, metavar="DATABASE", help="ffhq_lmdb.db, a file or its folder")
    parser.add_argument("-o", "--output", type=output_folder, required=True, metavar="OUT", help="folder for the PNGs")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    explain_failures()
    sys.exit(main())
