"""Measures beyond the curves, on codes and editors of which the answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from models.domain import Domain
from models.editors.base import AttributeEditor
from models.editors.linear import LinearDirectionsEditor
from models.editors.loading import load_editor
from models.evaluation.agreement import agreement, reliability
from models.evaluation.beyond import everything
from models.evaluation.consistency import consistency
from models.evaluation.faces import TestSet, decompose


def test_reliability_counts_every_face() -> None:
    estimate = np.array([0.05, 0.05, 0.95, 1.3, -0.2])
    rows = reliability(estimate, np.array([0, 1, 1, 1, 0], bool))
    assert [row["faces"] for row in rows] == [3, 2] and sum(row["faces"] for row in rows) == 5
    assert rows[0]["present"] == pytest.approx(1 / 3) and rows[1]["present"] == 1


class _Judge(AttributeEditor):
    """Says what the judge says, and moves codes by a fixed amount for each unit of change."""

    def __init__(self, domain: Domain) -> None:
        super().__init__(domain.attributes)
        self.domain = domain

    def read(self, w: Tensor, image: Tensor) -> Tensor:
        return (self.domain.judge_probabilities(image) > 0.5).float()

    def move(self, rest: Tensor, condition: Tensor, target: Tensor) -> Tensor:
        return rest + (target - condition).sum(1)[:, None, None]


def test_who_agrees_with_the_judge_everywhere_has_no_gap(domain: Domain, faces: TestSet) -> None:
    judge = _Judge(domain)
    found = agreement(judge, domain, faces, decompose(judge, faces.latent, faces.image, domain.device), 0.5)
    assert found["gap"] == 0 and set(found["agreement on edits"].values()) == {1.0}


def test_straight_edits_commute_and_a_shut_eye_is_caught(domain: Domain, faces: TestSet) -> None:
    directions = torch.randn(5, *faces.latent.shape[1:], generator=torch.Generator().manual_seed(3))
    readout = torch.cat([torch.zeros(directions[0].numel(), 5), torch.full((1, 5), 0.6)])
    blind = LinearDirectionsEditor(directions, readout, domain.attributes)  # always says 0.6
    before = decompose(blind, faces.latent, faces.image, domain.device)
    found = consistency(blind, domain, faces, before, 0.2)
    assert found["order of two edits, difference of the pictures"] < 1e-5
    # an attribute at 0.6 goes to 1.2 or to −0.2; "back" is 0.6 from 0.6, so the edit stays
    assert found["cycle error of the code, relative"] > 0.1 and -1 <= found["rank correlation along a sweep"] <= 1
    agreed = agreement(blind, domain, faces, before, 0.2)
    assert agreed["agreement on inversions"]["Male"] == float(faces.decisions["inversion"][:, 1].float().mean())


def test_a_flow_gets_all_measures(tiny_domain_folder: Path, faces: TestSet) -> None:
    editor, domain, _ = load_editor(tiny_domain_folder / "editor.safetensors")
    learned = faces.latent.repeat(8, 1, 1), faces.image.repeat(8, 1, 1, 1)
    decisions = torch.rand(48, 5, generator=torch.Generator().manual_seed(4)) < 0.5
    found = everything(editor, domain, faces, (*learned, decisions), 0.2)
    assert set(found["agreement"]["agreement on edits"]) == set(domain.attributes)
    assert set(found["information"]) == {"w", "z", "z, shuffled condition", "decisions themselves"}
    assert found["seconds an edit"] > 0 and np.isfinite(found["flow"]["NLL, exact trace"])
    # a flow carries an edit back if it is told the same values; the estimate of an untrained encoder hardly moves
    assert found["consistency"]["cycle error of the picture"] < 1
