#!/usr/bin/env python
"""Take the codes of faces with hair of one colour out of the data that S²-Flow's authors publish.

    python scripts/s2flow/select_codes.py all_latents.pickle all_att.pickle --hair black -o black.npy
    python scripts/s2flow/select_codes.py all_latents.pickle all_att.pickle --hair red --count 5 -o red.npy

The colour is the likeliest in the face-API record. Faces without a record are left out. OUT is an array (N, 18, 512),
which edit.py takes as faces and as `--style OUT:SHARE`. Nothing in a file is executed.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections import Counter
from collections.abc import Sequence

from utils.failures import explain_failures
from utils.files import write_atomically
from utils.options import CommandParser, input_file, not_empty, output_file, value_of
from utils.paths import displayed
from utils.ranges import Count


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0 done, 1 no such face, 2 wrong usage."""
    options = parse_arguments(arguments)
    import numpy as np

    from datasets.s2flow_files import read_latents, read_records

    try:
        codes, records = read_latents(options.latents), read_records(options.records)
    except ValueError as error:
        print(f"select_codes.py: {error}", file=sys.stderr)
        return 2
    if len(codes) != len(records):
        print(f"select_codes.py: {len(codes)} codes and {len(records)} records: not of the same faces", file=sys.stderr)
        return 2
    colours = [record.hair for record in records][: options.of]
    chosen = [index for index, colour in enumerate(colours) if colour == options.hair][: options.count]
    if not chosen:
        there = ", ".join(f"{colour} ({count})" for colour, count in Counter(filter(None, colours)).most_common())
        print(f"select_codes.py: no face has {options.hair} hair; there are: {there or 'none'}", file=sys.stderr)
        return 1
    stored = io.BytesIO()
    np.save(stored, codes[chosen].numpy())
    write_atomically(options.output, lambda path: path.write_bytes(stored.getvalue()))
    print(f"{len(chosen)} of {len(colours)} faces in {displayed(options.output)}")
    return 0


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Command line of select_codes.py."""
    parser = CommandParser(__doc__)
    parser.add_argument("latents", type=input_file, metavar="LATENTS", help="all_latents.pickle")
    parser.add_argument("records", type=input_file, metavar="RECORDS", help="all_att.pickle")
    parser.add_argument("--hair", type=not_empty, required=True, metavar="COLOUR", help="black, brown, red …")
    parser.add_argument("--count", type=value_of(Count), metavar="N", help="so many of them at most (default: all)")
    parser.add_argument(
        "--of", type=value_of(Count), default=9000, metavar="N",
        help="look among so many first faces (default: 9000, S²-Flow's training faces)",
    )  # fmt: skip
    parser.add_argument("-o", "--output", type=output_file, required=True, metavar="OUT", help="file to write, .npy")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    explain_failures()
    sys.exit(main())
