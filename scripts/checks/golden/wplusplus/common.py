"""What several cases of W++ share."""

from __future__ import annotations

import re
from typing import Any

from models.stylegan2.generator import Generator
from scripts.checks.golden.case import CaseError, GoldenCase
from utils.weights import freeze

Outputs = dict[str, Any]


def filled_generator(case: GoldenCase) -> Generator:
    """The case's generator, frozen."""
    network = Generator(**Generator.sizes_from_shapes(case.shapes))
    case.fill(network, derivable=Generator.derivable)
    freeze(network)
    return network


def said(case: GoldenCase, output: str, pattern: str) -> float:
    """A number in what the case says of an output.

    Raises:
        CaseError: it says none.
    """
    what = case.outputs[output]["what"]
    found = re.search(pattern, what)
    if found is None:
        raise CaseError(f"{output}: nothing like '{pattern}' in '{what}'")
    return float(found[1])
