"""The shipped editor of identities, on drawn faces that nothing was trained on."""

from __future__ import annotations

import numpy as np
import pytest

from models.domain import Domain
from models.editors.base import Editor
from models.editors.loading import load_editor
from models.evaluation.identities.faces import SwapTestSet
from models.evaluation.identities.readings import INVERTED, TRUE, Measured, of_editor, references
from scripts.avatars.identity_test_sets import drawn_swap_set
from utils.paths import ROOT

FILE = ROOT / "pretrained/avatars/id_swap.safetensors"
COUNT = 32


@pytest.fixture(scope="module")
def shipped() -> tuple[Editor, Domain]:
    editor, domain, _ = load_editor(FILE)
    return editor, domain


@pytest.fixture(scope="module")
def test_set(shipped: tuple[Editor, Domain], tmp_path_factory: pytest.TempPathFactory) -> SwapTestSet:
    return drawn_swap_set(shipped[1], COUNT, 0.0, 0, 0, str(tmp_path_factory.mktemp("drawn")))


@pytest.fixture(scope="module")
def measured(shipped: tuple[Editor, Domain], test_set: SwapTestSet) -> Measured:
    editor, domain = shipped
    return of_editor(editor, domain, test_set, lambda *_: None)


@pytest.fixture(scope="module")
def others(shipped: tuple[Editor, Domain], test_set: SwapTestSet) -> dict[str, Measured]:
    return references(shipped[1], test_set, lambda *_: None)


def test_the_person_is_exchanged(measured: Measured, others: dict[str, Measured]) -> None:
    assert (measured["to_person"] > measured["to_scene"]).mean() >= 0.95
    assert measured["to_person"].mean() >= 0.75 * others[INVERTED]["to_person"].mean()
    assert abs(measured["to_stranger"].mean()) < 0.1 and measured["rank"].mean() < 2


def test_everything_else_is_kept(measured: Measured, others: dict[str, Measured]) -> None:
    assert (measured["agrees"].mean(0) >= 0.9).all()
    nearest = min(found["distance"].mean() for name, found in others.items() if name not in (TRUE, INVERTED))
    assert measured["distance"].mean() < nearest


def test_vectors_are_those_of_people(measured: Measured) -> None:
    assert measured["same.person"].mean() > 0.7 and np.abs(measured["two.people"].mean()) < 0.1
