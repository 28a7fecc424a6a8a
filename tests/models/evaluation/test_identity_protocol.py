"""The protocol of identity swaps, on an editor of which the answer is known."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

import evaluate
from datasets.avatar_factors import draw_factors, in_scene_of
from models.domain import Domain
from models.editors.base import Editor
from models.evaluation.contestants import Contestant
from models.evaluation.identities.faces import SwapTestSet
from models.evaluation.identities.protocol import evaluate_identities
from models.evaluation.identities.readings import INVERTED, PERSON, SCENE, TRUE, inverted, of_editor, references
from scripts.avatars.identity_test_sets import drawn_swap_set, photographed_swap_set
from tests.training.editors import QUIET

COUNT = 12
Step = Callable[[], object]


class Oracle(Editor):
    """Knows every hybrid's code: condition and rest are the numbers of the faces."""

    name: ClassVar[str] = "oracle"
    title: ClassVar[str] = "Oracle"
    requests: ClassVar[tuple[str, ...]] = ("identity",)
    condition: ClassVar[str] = "identity"

    def __init__(self, domain: Domain, test: SwapTestSet) -> None:
        super().__init__()
        assert test.truth is not None
        self.numbers = {face.numpy().tobytes(): number for number, face in enumerate(test.scene)}
        self.own, self.hybrids = domain.encode(test.scene), domain.encode(test.truth)
        self.others = torch.as_tensor(test.others)

    def read(self, w: Tensor, image: Tensor) -> Tensor:
        return torch.tensor([[float(self.numbers.get(face.numpy().tobytes(), -1))] for face in image])

    def prepare(self, w: Tensor, condition: Tensor, image: Tensor | None = None) -> Tensor:
        assert image is not None
        return self.read(w, image)

    def move(self, rest: Tensor, condition: Tensor, target: Tensor) -> Tensor:
        scene, person = rest[:, 0].long(), target[:, 0].long()
        known = (person == self.others[scene])[:, None, None]
        return torch.where(known, self.hybrids[scene], self.own[scene])


@pytest.fixture(scope="module")
def test_set(domain: Domain, tmp_path_factory: pytest.TempPathFactory) -> SwapTestSet:
    return drawn_swap_set(domain, COUNT, 0.0, 40, 0, str(tmp_path_factory.mktemp("drawn")))


def nothing() -> None:
    return None


def test_the_true_hybrid_is_that_person_in_that_scene() -> None:
    person, scene = draw_factors(0, 1), draw_factors(0, 2)
    hybrid = in_scene_of(person, scene)
    assert (hybrid.geometry, hybrid.skin, hybrid.eye_colour, hybrid.hair_colour) == (
        person.geometry, person.skin, person.eye_colour, person.hair_colour,
    )  # fmt: skip
    assert (hybrid.values() == scene.values()).all() and hybrid.turn == scene.turn and hybrid.light == scene.light
    assert in_scene_of(scene, scene) == scene


def test_everybody_gets_another_and_is_anothers_once(test_set: SwapTestSet) -> None:
    assert sorted(test_set.others) == list(range(COUNT)) and (test_set.others != np.arange(COUNT)).all()
    assert test_set.truth is not None and test_set.again is not None
    for pictures in (test_set.truth, test_set.again, test_set.person):
        assert pictures.shape == test_set.scene.shape and not torch.equal(pictures, test_set.scene)


@torch.no_grad()
def test_who_knows_the_answer_is_at_the_ceiling(domain: Domain, test_set: SwapTestSet) -> None:
    found = of_editor(Oracle(domain, test_set), domain, test_set, nothing)
    expected = references(domain, test_set, nothing)
    assert expected.keys() >= {TRUE, INVERTED, PERSON, SCENE, "styles mixed, B's first 1"}
    for name in ("to_person", "to_scene", "to_stranger", "distance"):
        np.testing.assert_allclose(found[name], expected[INVERTED][name], atol=1e-5)
    assert (found["agrees"] == expected[INVERTED]["agrees"]).all() and expected[TRUE]["distance"].max() == 0
    assert (expected[SCENE]["to_scene"] >= expected[SCENE]["to_person"] - 1).all()
    np.testing.assert_allclose(found["rebuilt.identity"], expected[SCENE]["to_scene"], atol=1e-5)
    assert test_set.truth is not None
    change = inverted(domain, test_set.truth) - test_set.truth
    np.testing.assert_allclose(found["distance"], change.square().flatten(1).mean(1).sqrt() / 2, atol=1e-5)


def test_the_report_of_two_editors(domain: Domain, test_set: SwapTestSet, tmp_path: Path) -> None:
    oracle = Oracle(domain, test_set)
    metadata = {"file": "oracle.safetensors", "hash": "0", "config": {}}
    contestants = [Contestant("Oracle", oracle, domain, metadata), Contestant("Oracle", oracle, domain, metadata)]
    evaluate_identities(contestants, domain, test_set, {"seed": 0, "n": COUNT}, tmp_path, quiet=True)
    summary = json.loads((tmp_path / "report.json").read_text())
    assert list(summary["editors"]) == ["Oracle", "Oracle (2)"]
    assert summary["bars"][1]["value"] == pytest.approx(1, abs=1e-4) and summary["bars"][1]["met"]
    assert summary["leakage"]["Oracle"]["identity vector"]["people"]["linear"]["bits"] is not None
    report = (tmp_path / "report.md").read_text()
    assert "| **Oracle** |" in report and "true hybrid, inverted" in report and (tmp_path / "sheet.png").is_file()


def test_photographs_have_no_truth(domain: Domain, test_set: SwapTestSet, tiny_swap_editor: Path) -> None:
    photographs = photographed_swap_set(test_set.scene, 0)
    found = references(domain, photographs, nothing)
    assert TRUE not in found and INVERTED not in found and "distance" not in found[PERSON]
    assert len(photographs.missing) == 2


def test_evaluate_py(
    tiny_swap_editor: Path, tiny_mask_editor: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--checkpoint", str(tiny_swap_editor), *QUIET[1:]]
    drawn = [*common, "--count", "6", "--no-latents"]
    assert evaluate.main([*drawn, "-o", str(tmp_path / "drawn")]) == 0
    summary = json.loads((tmp_path / "drawn/report.json").read_text())
    assert summary["record"]["n"] == 6 and {bar["met"] for bar in summary["bars"]} <= {True, False}
    for option, words in (("--no-linear", "exchanges identities"), ("--strengths=0.1", "--strengths: of other edits")):
        assert evaluate.main([*drawn, option, "-o", str(tmp_path / "other")]) == 2
        assert words in capsys.readouterr().err
    both = ["--compare", str(tiny_swap_editor), str(tiny_mask_editor), *QUIET[1:], "-o", str(tmp_path / "other")]
    assert evaluate.main(both) == 2
    assert "edits no identities" in capsys.readouterr().err
