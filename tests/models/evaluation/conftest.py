"""A domain in miniature and faces prepared with it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from models.domain import Domain
from models.evaluation.faces import TestSet, prepare


@pytest.fixture(scope="module")
def domain(tiny_domain_folder: Path) -> Domain:
    return Domain.from_file(tiny_domain_folder / "domain.yaml")


@pytest.fixture(scope="module")
def faces(domain: Domain) -> TestSet:
    return prepare(domain, torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(2)) * 2 - 1)
