"""Small networks that the benchmark and its parts are tried on."""

from __future__ import annotations

import pytest

from scripts.benchmarks.measure import Plan


@pytest.fixture(scope="session")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """One round on small networks, whose files are there."""
    folder = tmp_path_factory.mktemp("stand_ins") / "small"
    small = Plan(small=True, folder=folder, device="cpu", rounds=1)
    small.networks.write(folder)
    return small
