"""Masks of avatars: they show the very shapes of the picture, and pictures are not changed by them."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from datasets.avatar_canvas import Area
from datasets.avatar_factors import ATTRIBUTES, Factors, draw_factors
from datasets.avatar_renderer import Face, render, render_mask
from datasets.avatars import AvatarFaces
from models.parsing.masks import mirrored
from models.parsing.palette import CLASSES

FACES = [draw_factors(11, index, 0.0) for index in range(40)]
MASKS = [render_mask(factors) for factors in FACES]


def changed(factors: Factors, least: int = 24, **other: float) -> np.ndarray:
    """Where (64, 64) another value of a factor changes the picture by more than this, of 255."""
    return np.abs(render(factors).astype(int) - render(replace(factors, **other)).astype(int)).max(axis=2) > least


def iou(first: np.ndarray, second: np.ndarray) -> float:
    return float((first & second).sum() / (first | second).sum())


def test_pictures_are_those_that_the_shipped_networks_learned_from() -> None:
    """Of version 1 of the renderer: other pixels need another version, and other networks."""
    for side, expected in ((64, "16446f351970bae0"), (32, "f396c2f9cc7e0a23")):
        pictures = b"".join(render(factors, side).tobytes() for factors in FACES)
        assert hashlib.sha256(pictures).hexdigest()[:16] == expected


def test_areas_are_named_as_the_classes_are() -> None:
    words = {Area.MOUTH: "mouth", Area.UPPER_LIP: "upper", Area.LOWER_LIP: "lower"}
    for area in Area:
        assert all(word in CLASSES[area].lower() for word in words.get(area, area.name.lower()).split("_"))


def test_sixteen_classes_occur_and_are_where_they_belong() -> None:
    assert {int(value) for mask in MASKS for value in np.unique(mask)} == {int(area) for area in Area}
    for factors, mask in zip(FACES, MASKS, strict=True):
        assert mask.shape == (64, 64) and mask.dtype == np.uint8
        assert (Area.EYEGLASSES in mask) == factors.eyeglasses
        if Face.of(factors).long_hair > 0:
            assert Area.LEFT_EAR not in mask and Area.RIGHT_EAR not in mask

        def middle(area: Area, axis: int, mask: np.ndarray = mask) -> float:
            return float(np.nonzero(mask == area)[axis].mean())

        assert middle(Area.HAIR, 0) < middle(Area.NOSE, 0) < middle(Area.UPPER_LIP, 0) < middle(Area.CLOTHES, 0)
        if not factors.eyeglasses:
            assert middle(Area.LEFT_BROW, 1) < middle(Area.NOSE, 1) < middle(Area.RIGHT_BROW, 1)
            assert middle(Area.LEFT_BROW, 0) < middle(Area.LEFT_EYE, 0) < middle(Area.NOSE, 0)
            assert middle(Area.LEFT_EYE, 1) < middle(Area.NOSE, 1) < middle(Area.RIGHT_EYE, 1)


def test_glasses_lie_over_the_eyes() -> None:
    worn = [mask for factors, mask in zip(FACES, MASKS, strict=True) if factors.eyeglasses]
    hidden = [not np.isin(mask, (Area.LEFT_EYE, Area.RIGHT_EYE)).any() for mask in worn]
    assert len(worn) > 10 and np.mean(hidden) > 0.8  # of large eyes a corner may look out


@pytest.mark.parametrize(
    ("factor", "away", "least", "area"),
    [
        ("clothes", 0.4, 24, Area.CLOTHES),  # the ends of this row of colours, and of the next, are the same
        ("background", 0.5, 8, Area.BACKGROUND),
        ("frame_colour", 0.4, 24, Area.EYEGLASSES),
    ],
)
def test_what_a_colour_paints_is_its_area(factor: str, away: float, least: int, area: Area) -> None:
    """The frame is a part of its area, the rest is the lens; everything else is painted with one colour."""
    for factors, mask in list(zip(FACES, MASKS, strict=True))[:12]:
        seen = changed(factors, least, **{factor: (getattr(factors, factor) + away) % 1.0})
        if area is not Area.EYEGLASSES:
            assert iou(seen, mask == area) > (0.85 if area is Area.CLOTHES else 0.93)
        elif factors.eyeglasses:
            assert (seen & (mask == area)).sum() > 0.85 * seen.sum()


def test_another_colour_of_the_eyes_is_seen_in_eyes_alone() -> None:
    for factors, mask in list(zip(FACES, MASKS, strict=True))[:12]:
        seen = changed(factors, eye_colour=(factors.eye_colour + 0.6) % 1.0)
        eyes = np.isin(mask, (Area.LEFT_EYE, Area.RIGHT_EYE, Area.EYEGLASSES))
        assert (seen & ~eyes).sum() <= 0.2 * seen.sum()  # soft edges


def test_a_mask_is_the_same_at_every_side() -> None:
    for factors, mask in list(zip(FACES, MASKS, strict=True))[:6]:
        fine = render_mask(factors, 256)[2::4, 2::4]
        assert (fine == mask).mean() > 0.96


def test_a_counterfactual_mask_is_that_of_the_true_answer() -> None:
    faces = AvatarFaces(4, "samples", correlation=0.0, mirror=True, masks=True)
    for index in range(4):
        factors = faces.factors(index)
        for name in ATTRIBUTES:
            value = float(1 - factors.values()[ATTRIBUTES.index(name)])
            found = faces.counterfactual_mask(index, name)
            assert found.dtype == torch.int64
            np.testing.assert_array_equal(found.numpy(), render_mask(factors.with_value(name, value)))
            assert faces.counterfactual_mask(index + 4, name).equal(mirrored(found))
            assert faces.counterfactual(index + 4, name).equal(faces.counterfactual(index, name).flip(-1))
        turned = faces.counterfactual_mask(index, "Eyeglasses") != faces[index]["mask"]
        worn = (faces[index]["mask"] == 3) | (faces.counterfactual_mask(index, "Eyeglasses") == 3)
        assert turned.any() and (turned & ~worn).sum() <= 3  # pixels of which a corner of the frame decides


def test_items_hold_masks_where_they_are_asked_for(tmp_path: Path) -> None:
    plain = AvatarFaces(3, "samples", cache=str(tmp_path)).prepare()
    fresh = AvatarFaces(3, "samples", mirror=True, masks=True)
    cached = AvatarFaces(3, "samples", mirror=True, masks=True, cache=str(tmp_path)).prepare()
    assert "mask" not in plain[0] and "mask" not in plain.holds and "mask" in fresh.holds
    assert plain.fingerprint() == cached.fingerprint()  # the pictures, and so their codes, are the same
    for index in range(3):
        item, turned = cached[index], cached[index + 3]
        assert item["mask"].dtype == torch.int64 and item["mask"].shape == (64, 64)
        assert item["image"].equal(plain[index]["image"])
        np.testing.assert_array_equal(item["mask"].numpy(), render_mask(plain.factors(index)))
        assert turned["mask"].equal(mirrored(item["mask"])) and turned["image"].equal(item["image"].flip(-1))
        assert fresh[index]["mask"].equal(item["mask"]) and fresh[index + 3]["mask"].equal(turned["mask"])
