#!/usr/bin/env python
"""Compare this project's networks with recorded outputs of the published ones.

    python scripts/check_golden.py tests/golden                          all cases
    python scripts/check_golden.py tests/golden --only nll sdflow_cnf_3  two cases

A case is NAME.json with NAME.npz. The network of that name is built with the sizes of the case, filled with its weights
and compared output by output. If NAME.pkl exists beside a case of NVlabs' generators, the network in it is compared as
well. Prints one line per case. Exit status: 0 all passed, 1 a case failed, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import re
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from utils.failures import explain_failures
from utils.options import CommandParser, input_folder, not_empty

BUILDERS = tuple(
    f"scripts.checks.golden.{name}"
    for name in (
        "stylegan2", "encoders", "flows", "alignment", "peers", "parsing", "id_swap",
        "wplusplus.networks", "wplusplus.training", "wplusplus.inversion", "wplusplus.measures",
    )
)  # fmt: skip


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Command line of check_golden.py."""
    parser = CommandParser(__doc__)
    parser.add_argument(
        "cases", type=input_folder, metavar="CASES_DIR", help="folder with NAME.json and NAME.npz of each case"
    )
    parser.add_argument(
        "--only", type=not_empty, nargs="+", metavar="NAME", default=None, help="check only these cases (default: all)"
    )
    parser.add_argument(
        "--photos",
        type=input_folder,
        metavar="DIR",
        help="folder of the photographs (default: photos next to CASES_DIR)",
    )
    parser.add_argument("--verbose", action="store_true", help="print the traceback of a case that failed")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    explain_failures()
    parse_arguments()  # --help and usage errors are reported before importing PyTorch

from scripts.checks.golden.case import Builder, CaseError, GoldenCase, check_case


def find_builder(name: str) -> Builder:
    """The builder whose pattern is the whole of a case's name.

    Raises:
        CaseError: no builder knows the name; says which modules could not be imported.
    """
    broken = []
    for module_name in BUILDERS:
        try:
            module = importlib.import_module(module_name)
        except ImportError as error:  # the cases of the other modules can still be checked
            broken.append(f"{module_name}: {error}")
            continue
        for pattern, builder in module.CASES.items():
            if re.fullmatch(pattern, name):
                return builder
    raise CaseError("; ".join(["unknown case", *broken]))


def check(path: Path, photos: Path | None, verbose: bool = False) -> bool:
    """Check one case and print its line; any exception counts as a failure of the case."""
    start = time.perf_counter()
    try:
        case = GoldenCase.load(path, photos)
        result = check_case(case, find_builder(case.name))
    except Exception as error:
        reason = " ".join(str(error).split())
        print(f"{path.stem:<30} FAIL  {type(error).__name__}: {reason}", flush=True)
        if verbose:
            traceback.print_exc()
        return False
    worst = result.worst
    verdict = "pass" if result.passed else "FAIL"
    figures = f"error {worst.error:.1e} / tolerance {worst.tolerance:.0e} ({worst.output})"
    print(f"{path.stem:<30} {verdict}  {figures}, {time.perf_counter() - start:.1f} s", flush=True)
    for failure in result.failures():
        print(f"    {failure}", flush=True)
    return result.passed


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 all passed, 1 a case failed, 2 no such folder or no case in it."""
    options = parse_arguments(arguments)
    found = sorted(options.cases.glob("*.json"))
    paths = found if options.only is None else [options.cases / f"{name}.json" for name in options.only]
    if not paths:
        print(f"{options.cases}: no case (NAME.json) here", file=sys.stderr)
        return 2
    failed = []
    for path in paths:
        if not check(path, options.photos, options.verbose):
            failed.append(path.stem)
        gc.collect()  # a network is gone before the next one is built
    print(f"{len(paths) - len(failed)} passed, {len(failed)} failed")
    if failed:
        print(f"check_golden.py: failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
