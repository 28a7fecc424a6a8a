"""Masks to edit towards: whose they are, how near, and that they are computed once."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from datasets import mask_ranking, mask_targets
from datasets.avatar_edits import EDITS
from datasets.mask_ranking import coarse, nearest_masks
from datasets.mask_targets import MaskTargets
from models.domain import Domain
from models.parsing.agreement import confusion, mean_iou
from utils.config import ConfigError

COUNT = 12
FACES = {"name": "avatar_faces", "count": COUNT, "split": "train", "side": 32}


@pytest.fixture(scope="module")
def domain(tiny_domain_folder: Path) -> Domain:
    return Domain.from_file(tiny_domain_folder / "domain.yaml")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("latents")


def made(domain: Domain, cache: Path, **arguments: Any) -> MaskTargets:
    return MaskTargets(domain, FACES, str(cache), nearest=9, **arguments).prepare()


def random_masks(count: int, side: int = 8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 5, (count, side, side), dtype=np.uint8)


def test_the_nearest_masks_are_those_of_the_largest_mean_iou(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mask_ranking, "_BLOCK", 4)  # several blocks, the last one shorter
    masks = random_masks(20)
    found = nearest_masks(masks, range(3, 13), 6)
    tensors = torch.from_numpy(masks)
    for row, others in zip(range(3, 13), found, strict=True):
        likeness = [mean_iou(confusion(tensors[row], other)) for other in tensors]
        likeness[row] = -1
        best = sorted(likeness, reverse=True)[:6]
        np.testing.assert_allclose([likeness[other] for other in others], best, rtol=1e-5)


def test_large_masks_are_ranked_by_every_nth_pixel() -> None:
    masks = random_masks(2, 64)
    assert np.array_equal(coarse(masks), masks[:, 1::2, 1::2])
    assert np.array_equal(coarse(masks[:, :8, :8]), masks[:, :8, :8])


def test_targets_are_masks_of_neighbours_one_of_each_third(domain: Domain, cache: Path) -> None:
    data = made(domain, cache, draws=4)
    assert len(data) == 4 * COUNT and data.holds[-1] == "targets"
    latents = torch.stack([data[face]["latent"] for face in range(COUNT)])
    masks = domain.parse(domain.synthesise(latents)).byte()
    order = nearest_masks(masks.numpy(), range(COUNT), 9)
    drawn = set()
    for index in range(len(data)):
        face = index % COUNT
        targets = data[index]["targets"]
        assert targets.shape == (3, 32, 32) and torch.equal(data[index]["latent"], latents[face])
        for level, target in enumerate(targets):
            third = masks[order[face, 3 * level : 3 * level + 3].astype(int)]
            assert (third == target).flatten(1).all(1).any()
        drawn.add((face, targets.numpy().tobytes()))
        assert torch.equal(targets, data[index]["targets"])  # the number alone decides
    assert len(drawn) > 2 * COUNT


def test_masks_are_found_once_and_workers_read_them(
    domain: Domain, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [item["targets"] for item in map(made(domain, cache).__getitem__, range(COUNT))]

    def refuse(*arguments: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(mask_targets, "nearest_masks", refuse)
    monkeypatch.setattr(MaskTargets, "_mask_of", refuse)
    again = pickle.loads(pickle.dumps(made(domain, cache)))
    assert all(torch.equal(again[index]["targets"], targets) for index, targets in enumerate(expected))


def test_a_share_are_true_masks_of_the_face_after_a_request(
    domain: Domain, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    for name, edit in EDITS.items():
        monkeypatch.setitem(EDITS, name, lambda *given, name=name, edit=edit: (asked.append(name), edit(*given))[1])
    data = MaskTargets(
        domain, {**FACES, "mirror": True}, str(cache), nearest=9, draws=4, counterfactuals=0.5
    ).prepare()  # fmt: skip
    true = 0
    for index in range(len(data)):
        before, targets = len(asked), data[index]["targets"]
        true += len(asked) - before
        if len(asked) > before and asked[-1] == "smile":
            turned = data.faces.counterfactual_mask(index % (2 * COUNT), "Smiling").byte()
            assert torch.equal(targets, turned.expand(3, -1, -1))
    assert 0.25 < true / len(data) < 0.75
    assert set(asked) == set(EDITS)


def test_before_anything_is_prepared_a_face_is_its_own_target(domain: Domain, cache: Path) -> None:
    data = MaskTargets(domain, FACES, str(cache / "new"), nearest=9, side=16)
    targets = data[0]["targets"]
    assert targets.shape == (3, 16, 16) and torch.equal(targets[0], targets[2])
    assert not (cache / "new").exists()


def test_a_face_with_too_few_others_is_its_own_target(domain: Domain, tmp_path: Path) -> None:
    data = MaskTargets(domain, {**FACES, "count": 3}, str(tmp_path)).prepare()
    item = data[1]
    own = domain.parse(domain.synthesise(item["latent"][None])).byte()
    assert torch.equal(item["targets"], own.expand(3, -1, -1))


def test_true_masks_of_faces_that_are_not_drawn_are_refused(domain: Domain, tmp_path: Path) -> None:
    people = {"name": "avatar_identities", "identities": 4, "views": 2, "side": 32}
    with pytest.raises(ConfigError, match="data.counterfactuals: only drawn faces"):
        MaskTargets(domain, people, str(tmp_path), counterfactuals=0.5)
