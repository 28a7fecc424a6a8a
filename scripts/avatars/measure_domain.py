#!/usr/bin/env python
"""Measure the networks of the avatar domain on held-out faces and write pretrained/avatars/quality.json.

    python scripts/avatars/measure_domain.py                        all networks whose weights exist
    python scripts/avatars/measure_domain.py --only judge teacher   only these; the numbers of the others are kept
    python scripts/avatars/measure_domain.py --card                 print the numbers of the file as Markdown

judge, teacher   accuracy by attribute against the drawn truth (the continuous ones without the faces within 5 % of the
                 range around the threshold) and rank correlation with the true value
identity         verification on unseen people under other attributes, pose, light and background
generator        Fréchet distance in the judge's last features, shares of attributes and of nuisances
                 (needs the judge; trains small readers of the nuisances first, two minutes)
encoder          what inversion keeps (needs generator, judge and identity network); its 99.9th percentile of the
                 reconstruction distance is the domain's `reconstruction_limit`
parser           agreement of masks with those that were drawn, for faces and for their inversions (needs generator and
                 encoder)
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Annotated, Any

from models.domain import Domain
from scripts.avatars.measures.bars import bars, card
from scripts.avatars.measures.classifiers import measure_classifier
from scripts.avatars.measures.common import Sizes
from scripts.avatars.measures.encoder import inversion_sheet, measure_encoder
from scripts.avatars.measures.generator import measure_generator, sample_sheet
from scripts.avatars.measures.identity import measure_identity
from scripts.avatars.measures.parser import mask_sheet, measure_parser
from utils.config import ConfigError
from utils.devices import pick_device
from utils.failures import described, exit_status, explain_failures
from utils.files import write_text
from utils.options import (
    CommandParser,
    add_device_option,
    folder_or_none,
    not_empty,
    output_file,
    output_folder,
    value_of,
)
from utils.paths import ROOT, displayed
from utils.ranges import Between, Seed
from utils.weights import WeightsError, fingerprint

ORDER = ("judge", "teacher", "identity", "generator", "encoder", "parser")
NEEDS = {
    "generator": ("generator", "judge"),
    "encoder": ("encoder", "generator", "judge", "identity"),
    "parser": ("parser", "generator", "encoder"),
}


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Command line of measure_domain.py."""
    parser = CommandParser(__doc__)
    parser.add_argument(
        "--domain",
        type=not_empty,
        default="configs/domains/avatars.yaml",
        metavar="FILE",
        help="config of the domain (default: configs/domains/avatars.yaml)",
    )
    parser.add_argument(
        "--only", nargs="+", choices=ORDER, metavar="NETWORK", help=f"measure only these, of {', '.join(ORDER)}"
    )
    parser.add_argument(
        "--faces", type=value_of(Annotated[int, Between(100, 1_000_000)]), default=5000, metavar="N",
        help="faces per set, at least 100 (default: 5000)",
    )  # fmt: skip
    parser.add_argument(
        "--seed", type=value_of(Seed), default=0, metavar="N", help="seed of the generated faces (default: 0)"
    )
    parser.add_argument(
        "--cache", type=folder_or_none, default="cache/avatars", metavar="FOLDER",
        help="folder of drawn faces (default: cache/avatars; '': do not cache)",
    )  # fmt: skip
    parser.add_argument(
        "--output",
        type=output_file,
        default=ROOT / "pretrained/avatars/quality.json",
        metavar="FILE",
        help="JSON file for the numbers (default: pretrained/avatars/quality.json)",
    )
    parser.add_argument(
        "--pictures",
        type=output_folder,
        default=ROOT / "results/avatars",
        metavar="FOLDER",
        help="folder for sheets of faces (default: results/avatars)",
    )
    add_device_option(parser)
    parser.add_argument(
        "--card", action="store_true", help="print the numbers of the output file as Markdown, then exit"
    )
    parser.add_argument("--strict", action="store_true", help="exit status 1 if a quality bar is missed")
    return parser.parse_args(arguments)


def measurable(domain: Domain, only: list[str] | None) -> list[str]:
    """Networks to measure, in order: the chosen ones, or all whose weights and judges exist."""

    def missing(part: str) -> list[str]:
        needs = NEEDS.get(part, (part,))
        return [need for need in needs if not domain.has(need) or not domain.weights_path(need).is_file()]

    chosen = []
    for part in ORDER:
        lacking = missing(part)
        if only is not None and part not in only:
            continue
        if lacking and only is None:
            print(f"{part}: skipped, no weights of {', '.join(lacking)} yet")
            continue
        chosen.append(part)
    return chosen


def measure(domain: Domain, part: str, sizes: Sizes, pictures: Path, seed: int) -> dict[str, Any]:
    """The report of one network, and its sheet of pictures."""
    if part in ("judge", "teacher"):
        return measure_classifier(domain, part, sizes)
    if part == "identity":
        return measure_identity(domain, sizes)
    if part == "generator":
        sample_sheet(domain, pictures / "samples.png", seed)
        print(f"samples: {displayed(pictures / 'samples.png')}")
        return measure_generator(domain, sizes)
    if part == "parser":
        mask_sheet(domain, pictures / "masks.png")
        print(f"masks: {displayed(pictures / 'masks.png')}")
        return measure_parser(domain, sizes)
    inversion_sheet(domain, pictures / "inversions.png")
    print(f"inversions: {displayed(pictures / 'inversions.png')}")
    return measure_encoder(domain, sizes)


def network_entry(domain: Domain, part: str) -> dict[str, Any]:
    """Size and identity of a network's weights."""
    network = getattr(domain, part)
    return {
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "megabytes": domain.weights_path(part).stat().st_size / 1e6,
        "fingerprint": fingerprint(network),
    }


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status: 0 done, 1 a bar is missed (`--strict`), 2 wrong usage."""
    options = parse_arguments(arguments)
    report: dict[str, Any] = json.loads(options.output.read_text("utf-8")) if options.output.is_file() else {}
    if options.card:
        if not report:
            print(f"measure_domain.py: {displayed(options.output)} does not exist; measure first", file=sys.stderr)
            return 2
        print(card(report), end="")
        return 0
    sizes = Sizes(options.faces, options.seed, options.cache)
    try:
        domain = Domain.from_file(options.domain, pick_device(options.device))
        for part in measurable(domain, options.only):
            report[part] = measure(domain, part, sizes, options.pictures, options.seed)
            report.setdefault("networks", {})[part] = network_entry(domain, part)
            report["networks"] = {name: report["networks"][name] for name in ORDER if name in report["networks"]}
            ordered = {name: report[name] for name in ("networks", *ORDER) if name in report}
            write_text(options.output, json.dumps(ordered, indent=2, ensure_ascii=False) + "\n")
    except (ConfigError, WeightsError, ValueError, OSError) as error:
        print(f"measure_domain.py: {described(error)}", file=sys.stderr)
        return exit_status(error)
    found = list(bars(report))
    print("\n".join(str(bar) for bar in found))
    print(f"{sum(bar.met for bar in found)} of {len(found)} bars met; all numbers: {displayed(options.output)}")
    if "encoder" in report:
        print(f"reconstruction_limit for {options.domain}: {report['encoder']['reconstruction_limit']:.4f}")
    return 1 if options.strict and not all(bar.met for bar in found) else 0


if __name__ == "__main__":
    explain_failures()
    sys.exit(main())
