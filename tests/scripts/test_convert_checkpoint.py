"""What scripts/convert_checkpoint.py says without PyTorch is true; tests/models/weight_files runs the command."""

from __future__ import annotations

from models.weight_files.kinds import KINDS
from models.weight_files.writing import PUBLIC_FORMATS
from scripts import convert_checkpoint


def test_networks_and_formats_are_those_that_help_names() -> None:
    assert {*convert_checkpoint.NETWORKS} == {kind.name for kind in KINDS}
    assert {*convert_checkpoint.FORMATS} == {*PUBLIC_FORMATS}
