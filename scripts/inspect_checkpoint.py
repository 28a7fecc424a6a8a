#!/usr/bin/env python
"""Describe weight files without executing anything in them.

    python scripts/inspect_checkpoint.py pretrained/ffhq/*               format, networks, sizes, what is missing
    python scripts/inspect_checkpoint.py prior-0010000 labeldist-0010000
    python scripts/inspect_checkpoint.py hf:OWNER/NAME                   of a repository on the Hugging Face Hub

Formats: safetensors, PyTorch's .pt and .pth (zip and legacy) and NVlabs' .pkl, recognised by content, not by the file's
name. Exit status: 0 all files recognised, 1 some refused (one line `FILE: reason` each), 2 wrong usage.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from utils.failures import explain_failures
from utils.options import CommandParser, not_empty


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Command line of inspect_checkpoint.py."""
    parser = CommandParser(__doc__)
    parser.add_argument(
        "files", type=not_empty, nargs="+", metavar="FILE", help="weight files of this or another project"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    explain_failures()
    parse_arguments()  # --help and usage errors are reported before importing PyTorch

from models.weight_files.description import describe
from utils.hub import located
from utils.paths import displayed


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; exit status 0 all recognised, 1 some refused."""
    refused = 0
    for name in parse_arguments(arguments).files:
        try:
            file = located(name)
            rows = describe(file)
        except ValueError as error:  # of files, the hub and folders of users who are not there
            print(error, file=sys.stderr, flush=True)
            refused += 1
            continue
        print(displayed(file))
        for label, text in rows:
            print(f"  {label:<9} {text}")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
