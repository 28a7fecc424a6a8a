"""True edits of drawn faces: each changes what it says and nothing else, and style changes no mask."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from datasets.avatar_edits import STYLE, AvatarEdits, in_style_of, pairs
from datasets.avatar_factors import Factors, draw_factors
from datasets.avatar_renderer import render_mask
from datasets.avatars import AvatarFaces

CHANGED = {
    "smile": {"smile"},
    "glasses": {"eyeglasses"},
    "waves": {"wavy_hair"},
    "hair length": {"hair_length"},
    "one feature": {"geometry"},
    "head turned": {"turn"},
}


@pytest.fixture(scope="module")
def edits() -> AvatarEdits:
    return AvatarEdits(AvatarFaces(6, "test", correlation=0.0, side=32))


def differing(one: Factors, other: Factors) -> set[str]:
    return {field.name for field in fields(Factors) if getattr(one, field.name) != getattr(other, field.name)}


def test_an_edit_changes_what_it_says(edits: AvatarEdits) -> None:
    for index in range(6):
        face = edits.faces.factors(index)
        for kind, names in CHANGED.items():
            assert differing(face, edits.edited(kind, index)[0]) == names
        other = edits.faces.factors(int(edits.others[index]))
        assert differing(other, edits.edited("another face's mask", index)[0]) <= set(STYLE)
        assert abs(edits.edited("head turned", index)[0].turn) <= 1
        feature = edits.edited("one feature", index)
        moved = np.array(feature[0].geometry) != np.array(face.geometry)
        assert moved.sum() == 1 and feature == edits.edited("one feature", index)


def test_masks_show_nothing_of_style_and_little_of_age() -> None:
    for index in range(8):
        face, other = draw_factors(2, index, 0.0), draw_factors(2, index + 100, 0.0)
        own, styled = render_mask(face, 32), in_style_of(face, other)
        assert (render_mask(replace(styled, age=face.age), 32) == own).all()
        assert (render_mask(styled, 32) == own).mean() > 0.97


def test_another_faces_mask_is_that_of_the_other(edits: AvatarEdits) -> None:
    own = torch.stack([torch.from_numpy(render_mask(edits.faces.factors(index), 32)) for index in range(6)])
    agreed = (edits.masks("another face's mask")[:, None] == own).float().mean((2, 3))
    assert torch.equal(agreed.argmax(1), torch.from_numpy(edits.others)) and agreed.amax(1).min() > 0.97


def test_turned_attributes_are_the_data_sets_counterfactuals(edits: AvatarEdits) -> None:
    for kind, attribute in edits.attributes.items():
        for index in (0, 3):
            assert torch.equal(edits.images(kind)[index], edits.faces.counterfactual(index, attribute))
            assert torch.equal(edits.masks(kind)[index].long(), edits.faces.counterfactual_mask(index, attribute))


def test_every_face_is_another_ones_other_once() -> None:
    for count in (2, 3, 50):
        others = pairs(count, seed=1)
        assert sorted(others) == list(range(count)) and (others != np.arange(count)).all()
    assert not np.array_equal(pairs(50, 1), pairs(50, 2))
    with pytest.raises(ValueError, match="no other"):
        pairs(1, 0)


def test_drawn_edits_are_kept(edits: AvatarEdits, tmp_path: Path) -> None:
    kept = AvatarEdits(edits.faces, folder=tmp_path)
    assert torch.equal(kept.images("style"), edits.images("style")) and kept.masks("waves").dtype == torch.uint8
    files = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert torch.equal(kept.images("style"), edits.images("style"))
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == files and len(files) == 2
