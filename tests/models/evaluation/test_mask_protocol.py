"""The protocol of mask editors, on editors of which the answer is known."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from datasets.avatars import AvatarFaces
from models.domain import Domain
from models.editors.base import AttributeEditor, Editor
from models.editors.loading import load_editor
from models.editors.s2flow import S2FlowEditor
from models.evaluation.contestants import Contestant
from models.evaluation.masks import protocol
from models.evaluation.masks.faces import FactorReader, MaskTestSet
from models.evaluation.masks.generation import random_rest
from models.evaluation.masks.protocol import evaluate_masks, measure
from models.evaluation.masks.readings import read_codes, references
from models.evaluation.masks.summary import bars, edits_summary, style_summary
from scripts.avatars.mask_test_sets import drawn_test_set

COUNT, SIDE = 14, 32


class Oracle(S2FlowEditor):
    """Knows the code of every target mask: the condition is the mask itself."""

    requests: ClassVar[tuple[str, ...]] = ("mask", "style")
    answers: dict[bytes, Tensor]

    def condition_of(self, mask: Tensor) -> Tensor:
        return mask.flatten(1).float()

    def prepare(self, w: Tensor, condition: Tensor) -> Tensor:
        return w

    def move(self, rest: Tensor, condition: Tensor, target: Tensor) -> Tensor:
        keys = [row.byte().numpy().tobytes() for row in target]
        return torch.stack([self.answers.get(key, own) for key, own in zip(keys, rest, strict=True)])


class Idle(AttributeEditor):
    """Changes nothing."""

    title = "Idle"

    def read(self, w: Tensor, image: Tensor) -> Tensor:
        return torch.zeros(len(w), len(self.attributes))

    def move(self, rest: Tensor, condition: Tensor, target: Tensor) -> Tensor:
        assert set(target.unique().tolist()) <= {0.0, 1.0}
        return rest


@pytest.fixture(scope="module")
def test_set(domain: Domain, tmp_path_factory: pytest.TempPathFactory) -> MaskTestSet:
    return drawn_test_set(domain, SIDE, COUNT, 0.0, 40, 0, str(tmp_path_factory.mktemp("drawn")))


@pytest.fixture(scope="module")
def learned(tiny_mask_editor: Path) -> S2FlowEditor:
    editor = load_editor(tiny_mask_editor)[0]
    assert isinstance(editor, S2FlowEditor)
    return editor


@pytest.fixture(scope="module")
def oracle(learned: S2FlowEditor, domain: Domain, test_set: MaskTestSet) -> Oracle:
    editor = Oracle(learned.flow, learned.mask_encoder, domain.parse)
    masks = [mask.numpy().tobytes() for request in test_set.requests for mask in request.target]
    codes = [code for request in test_set.requests for code in request.ceiling]
    editor.answers = dict(zip(masks, codes, strict=True))
    assert len(editor.answers) == len(test_set.requests) * COUNT  # no two targets are alike
    return editor


def contestant(editor: Editor, domain: Domain, name: str) -> Contestant:
    return Contestant(name, editor, domain, {"file": name, "hash": name, "config": None})


def silent(steps: int) -> None:
    pass


def test_who_knows_the_answer_reaches_the_ceiling_and_who_idles_stays(
    domain: Domain, test_set: MaskTestSet, oracle: Oracle
) -> None:
    unprobed = replace(test_set, probed=None)
    found = {
        name: measure(contestant(editor, domain, name), domain, unprobed, 0, silent)
        for name, editor in (("oracle", oracle), ("idle", Idle(domain.attributes)))
    }
    shared = references(domain, test_set.faces, test_set.requests, silent)
    edits = edits_summary(test_set.requests, found, shared, 0)
    assert set(edits["kinds"]) == {request.kind for request in test_set.requests} and len(edits["kinds"]) == 7
    for kind, rows in edits["kinds"].items():
        for quantity in ("iou", "pixels", "identity", "outside", "distance"):
            assert rows["oracle"][quantity] == rows["ceiling"][quantity]
        assert rows["oracle"]["share"]["value"] == 1
        assert ("idle" in rows) == (kind in ("smile", "glasses", "waves"))
        if "idle" in rows:
            assert rows["idle"]["iou"] == rows["unedited"]["iou"] and rows["idle"]["share"]["value"] == 0
            assert rows["idle"]["identity"]["value"] == pytest.approx(1, abs=1e-6)
            assert rows["idle"]["outside"]["value"] == 0
            assert rows["idle"]["nearer to the truth by"]["value"] == pytest.approx(0, abs=1e-9)
    assert "idle" not in edits["average"] and edits["average"]["oracle"]["share"]["value"] == 1
    assert edits["shared"]["kinds"] == ["smile", "glasses", "waves"] and "idle" in edits["shared"]["average"]
    unchanged = {"oracle": {"code": {"largest": 0.0}, "levels": {"largest": 2.5}}}
    reached = {one["name"]: one["met"] for one in bars({"edits": edits, "unchanged": unchanged}, "oracle")}
    assert reached.pop("unchanged mask: grey levels, largest") is False
    # the tiny networks are noise: an inverted truth need not be nearer to the truth
    assert all(met for name, met in reached.items() if "nearer" not in name)


def test_change_outside_leaves_out_where_masks_differ(domain: Domain, test_set: MaskTestSet) -> None:
    faces, request = test_set.faces, test_set.requests[-1]
    latent = faces.latent + 0.5
    found = read_codes(domain, faces, request, latent)
    change = (domain.synthesise(latent) - faces.inversion).abs().mean(1) * 127.5
    for index in range(COUNT):
        kept = faces.mask[index] == request.target[index]
        assert 0 < kept.sum() < kept.numel()
        assert found["outside"][index] == pytest.approx(float(change[index][kept].mean()), rel=1e-4)


def test_factors_are_held_against_the_other_face(domain: Domain, test_set: MaskTestSet) -> None:
    """A regressor of known answers: half of the style moves half of the way, in the truth the whole."""
    start = np.random.default_rng(0).normal(size=(COUNT, 1))
    asked = start[test_set.faces.others.numpy()] - start
    nothing = np.zeros((COUNT, 19, 19), np.int32) + np.eye(19, dtype=np.int32)
    shared = {"style.unedited.factors": start, "style.ceiling.factors": start + asked}
    editor = {"style.0.5.factors": start + asked / 2, "style.1.factors": start + 0.9 * asked}
    confusion = {f"{key.removesuffix('factors')}confusion": nothing for key in (*shared, *editor)}
    test = MaskTestSet(test_set.faces, [], reader=FactorReader(("skin",), lambda image: image.mean((1, 2, 3))[:, None]))
    rows = style_summary({"editor": {**editor, **confusion}}, {**shared, **confusion}, test, 0)["rows"]
    moved = {(row["picture"], row["share"]): row["moved"]["skin"]["value"] for row in rows}
    expected = {("unedited", ""): 0, ("ceiling", ""): 1, ("editor", "0.5"): 0.5, ("editor", "1"): 0.9}
    assert moved == pytest.approx(expected)


def test_random_faces_repeat_exactly() -> None:
    rest = torch.zeros(3, 4, 5)
    assert torch.equal(random_rest(rest, 1, 0), random_rest(rest, 1, 0))
    draws = [random_rest(rest, seed, number) for seed in range(2) for number in range(2)]
    assert len({float(draw.sum()) for draw in draws}) == 4
    assert abs(float(random_rest(torch.zeros(2000, 5, 5), 0, 0).std()) - 1) < 0.01


def test_a_report_with_everything_continues_where_it_stopped(
    domain: Domain, test_set: MaskTestSet, learned: S2FlowEditor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = test_set.probed
    assert known is not None
    names = {"smile": "mask", "skin": "style"}
    few = replace(known, truth=known.truth[:, 1:3], own_truth=known.own_truth[:, 1:3], names=names)
    reader = FactorReader(("hair_colour", "skin"), lambda image: image.mean((2, 3))[:, :2])
    test = replace(test_set, probed=few, reader=reader, missing=["One thing: why it is missing."])
    several = [contestant(learned, domain, "first"), contestant(Idle(domain.attributes), domain, "second")]
    record = {"faces": "decorrelated", "n": COUNT, "seed": 0}
    evaluate_masks(several, domain, test, record, tmp_path, quiet=True)
    report, text = json.loads((tmp_path / "report.json").read_text()), (tmp_path / "report.md").read_text()
    assert set(report["information"]["first"]) == {"w", "z", "z, shuffled condition", "condition"}
    assert report["unchanged"]["first"]["code"]["largest"] < 1e-3
    assert 0 <= report["generation"]["first"]["iou"]["value"] <= 1 and report["generation"]["the drawn faces"]
    assert "- One thing: why it is missing." in text and "hair colour moved" in text and "nan" not in text
    for name in ("kinds.png", "identity.png", "sheet.png"):
        assert (tmp_path / name).is_file() and f"]({name})" in text

    def again(*arguments: object) -> None:
        raise AssertionError("measured a second time")

    monkeypatch.setattr(protocol, "measure", again)
    evaluate_masks(several, domain, test, record, tmp_path, quiet=True)
    assert json.loads((tmp_path / "report.json").read_text()) == report


def test_masks_of_another_side_are_of_the_nearest_pixels(domain: Domain) -> None:
    faces = AvatarFaces(2, "test", correlation=0.0, side=SIDE, masks=True)
    test = drawn_test_set(domain, 2 * SIDE, 2, 0.0, 0, 0, "cache/avatars")
    own = faces[1]["mask"].byte()
    assert test.faces.mask.shape == (2, 2 * SIDE, 2 * SIDE) and torch.equal(test.faces.mask[1, ::2, ::2], own)
    latent = test.requests[0].ceiling
    assert read_codes(domain, test.faces, test.requests[0], latent)["outside"].shape == (2,)
