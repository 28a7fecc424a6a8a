"""True edits as rows beside the editors', on faces whose answers are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.domain import Domain
from models.evaluation.counterfactual import DRAWN, ENCODED, NO_EDIT, edit_rows, root_mean_square, truth_rows
from models.evaluation.curves import Outcomes, curves, reading, resampling_weights
from models.evaluation.faces import TestSet, decisions_of, in_batches
from models.evaluation.report import truth_section


def with_truth(faces: TestSet, truth: torch.Tensor) -> TestSet:
    """The faces with one picture (N, 3, S, S) as the answer to every edit."""
    return replace(faces, counterfactual=torch.stack([truth] * faces.decisions["photo"].shape[1], 1))


def by_picture(rows: list[dict]) -> dict[tuple[str, str], dict]:
    return {(row["picture"], row["reference"]): row for row in rows}


def test_a_truth_that_is_the_photo_scores_as_the_photo(domain: Domain, faces: TestSet) -> None:
    rows = by_picture(truth_rows(with_truth(faces, faces.image), domain, 0))
    assert set(rows) == {(DRAWN, "photo"), (ENCODED, "photo"), (ENCODED, "inversion"), (NO_EDIT, "photo")}
    for key in ((DRAWN, "photo"), (ENCODED, "inversion")):
        assert rows[key]["accuracy"] == 0 and rows[key]["preservation"] == 1
        assert rows[key]["identity"] == pytest.approx(1, abs=1e-5)
    assert rows[DRAWN, "photo"]["distance"] == 0
    for quantity in ("accuracy", "preservation", "identity", "distance"):  # encoded, the photo is the inversion
        assert rows[ENCODED, "photo"][quantity] == pytest.approx(rows[NO_EDIT, "photo"][quantity], abs=1e-5)


def test_each_row_compares_with_the_picture_it_names(domain: Domain, faces: TestSet) -> None:
    truth = faces.image.flip(0)  # each face's answer is another face
    known = with_truth(faces, truth)
    encoded = domain.synthesise(domain.encode(truth)).detach()
    rows = by_picture(truth_rows(known, domain, 0))
    for picture, image, references in ((DRAWN, truth, ["photo"]), (ENCODED, encoded, ["photo", "inversion"])):
        embedding = in_batches(domain.identity_embedding, image, device=domain.device)
        turned = decisions_of(domain, image)
        for reference in references:
            row, changed = rows[picture, reference], (turned != faces.decisions[reference]).double().mean(0)
            assert row["identity"] == pytest.approx(float((embedding * faces.embedding[reference]).sum(1).mean()))
            assert row["distance"] == pytest.approx(float(root_mean_square(image, truth).mean()), abs=1e-7)
            for column, name in enumerate(domain.attributes):
                others = changed[torch.arange(len(changed)) != column].mean()
                assert row["attributes"][name]["accuracy"] == pytest.approx(float(changed[column]))
                assert row["attributes"][name]["preservation"] == pytest.approx(1 - float(others))
    assert truth_rows(faces, domain, 0) == []  # no drawn truth


def sweep(first: float, last: float) -> Outcomes:
    """Two attributes at two strengths: a share of the faces turned, identity and distance as the strength says."""
    count = 200
    turned = np.stack([np.arange(count) < share * count for share in (first, last)])
    decisions = np.zeros((3, 2, count, 2), dtype=bool)
    for column in range(2):
        decisions[column, :, :, column] = decisions[2, :, :, column] = turned
    strength = np.broadcast_to(np.array([0.0, 1.0])[None, :, None], (3, 2, count))
    return Outcomes(("A", "B"), (0.0, 1.0), np.zeros((count, 2), bool), decisions, 1 - strength, 0.5 * strength[:2])


@pytest.mark.parametrize(
    ("first", "last", "accuracy", "identity"),
    [(0.9, 1.0, 0.95, 0.5), (0.2, 0.6, 0.6, 0.0), (0.98, 1.0, 0.98, 1.0)],
    ids=["read at 95 %", "falls short", "begins above"],
)
def test_edits_are_read_at_95_percent_or_as_near_as_was_measured(
    first: float, last: float, accuracy: float, identity: float
) -> None:
    outcomes = sweep(first, last)
    rows = edit_rows({"one": {"photo": outcomes, "inversion": outcomes}}, 0)
    assert [row["reference"] for row in rows] == ["photo", "inversion"]
    assert rows[0]["accuracy"] == pytest.approx(accuracy) and rows[0]["identity"] == pytest.approx(identity)
    assert rows[0]["distance"] == pytest.approx(0.5 * (1 - identity)) and rows[0]["preservation"] == 1
    found = reading(curves(outcomes)["average"], 0.95, resampling_weights(200, 0))
    assert found is None or rows[0]["identity_interval"] == found["identity_interval"]  # that of the other tables
    assert f"| one | photo | {100 * accuracy:.1f} |" in truth_section(rows)
