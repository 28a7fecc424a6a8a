"""The table of loss terms in the package's docstring."""

from __future__ import annotations

import pkgutil
import re

import criteria
from training.methods import METHODS
from utils.paths import ROOT

TABLE = criteria.__doc__ or ""


def test_every_module_stands_in_the_table() -> None:
    named = {line.split()[-1] for line in TABLE.splitlines() if line.startswith("    ") and len(line.split()) > 2}
    missing = {module.name for module in pkgutil.iter_modules(criteria.__path__)} - named
    assert not missing


def test_the_paths_in_the_table_exist() -> None:
    paths = re.findall(r"`((?:models|training)/[\w/.]*)`", TABLE)
    assert len(paths) == 4 and all((ROOT / path).exists() for path in paths)


def test_terms_are_called_as_in_configs() -> None:
    terms = {term for name in METHODS.names() for term in METHODS.load(name).term_names}
    rows = [re.match(r"    (?:  )?((?:\w+, )*\w+),?\s{2,}", line) for line in TABLE.splitlines()]
    in_table = {term for row in rows if row for term in row[1].split(", ")} - {"term"}
    assert in_table <= terms
    assert {"nll", "kd", "mi", "reg", "target", "path_length", "margin_softmax"} <= in_table
