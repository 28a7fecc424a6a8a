"""Avatars: determinism, distribution of the factors, locality of counterfactuals, cache, identities."""

from __future__ import annotations

import hashlib
import pickle
import resource
import statistics
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch

from datasets import DATASETS
from datasets.avatar_factors import (
    ANNOTATION_WIDTH,
    ATTRIBUTES,
    COPULA,
    COPULA_CORRELATION,
    GEOMETRY,
    GEOMETRY_LIMIT,
    Factors,
    annotate,
    copula_matrix,
    draw_factors,
    draw_identity,
    redraw,
    source_normals,
)
from datasets.avatar_renderer import render
from datasets.avatars import SPLITS, AvatarFaces, AvatarIdentities
from utils.config import ConfigError, Section

FACES = [draw_factors(11, index, 0.0) for index in range(40)]


@lru_cache(maxsize=1000)
def drawn(factors: Factors) -> np.ndarray:
    return render(factors).astype(int)


def digest(factors: Factors) -> str:
    return hashlib.sha256(render(factors).tobytes()).hexdigest()


def difference(first: Factors, second: Factors) -> np.ndarray:
    """Largest difference (side, side) of the channels of two faces."""
    return np.abs(drawn(first) - drawn(second)).max(axis=2)


def changed(factors: Factors, name: str) -> np.ndarray:
    """Where (side, side) the counterfactual of an attribute differs from the face."""
    return difference(factors, factors.with_value(name, opposite(factors, name))) > 0


def opposite(factors: Factors, name: str) -> float:
    return float(factors.values()[ATTRIBUTES.index(name)] < 0.5)


def drawn_values(correlation: float, count: int = 6000) -> np.ndarray:
    return np.stack([draw_factors(5, index, correlation).values() for index in range(count)])


def test_a_picture_depends_on_seed_and_index_alone() -> None:
    forwards = [digest(draw_factors(3, index)) for index in range(8)]
    backwards = [digest(draw_factors(3, index)) for index in reversed(range(8))]
    assert forwards == backwards[::-1]
    assert len({*forwards, *(digest(draw_factors(4, index)) for index in range(8))}) == 16


@pytest.mark.parametrize("side", [32, 64, 128])
def test_sides(side: int) -> None:
    picture = render(FACES[0], side)
    assert picture.shape == (side, side, 3) and picture.dtype == np.uint8
    reduced = render(FACES[0], 128).astype(float).reshape(32, 4, 32, 4, 3).mean(axis=(1, 3))
    coarse = picture.astype(float).reshape(32, side // 32, 32, side // 32, 3).mean(axis=(1, 3))
    assert np.abs(coarse - reduced).mean() < 4.0


def test_independent_attributes_and_even_shares() -> None:
    values = drawn_values(0.0)
    correlation = np.corrcoef(values.T) - np.eye(5)
    assert np.abs(correlation).max() < 0.05
    assert np.abs((values >= 0.5).mean(axis=0) - 0.5).max() < 0.03
    for column in (ATTRIBUTES.index("Young"), ATTRIBUTES.index("Smiling")):
        quantiles = np.quantile(values[:, column], [0.1, 0.3, 0.7, 0.9])
        assert np.abs(quantiles - [0.1, 0.3, 0.7, 0.9]).max() < 0.03


def test_correlated_attributes_follow_the_copula() -> None:
    present = np.where(drawn_values(0.6) >= 0.5, 1.0, -1.0)
    measured = np.corrcoef(present.T)
    # Signs of two normals of correlation r correlate by 2/π · arcsin r.
    expected = 2.0 / np.pi * np.arcsin(COPULA_CORRELATION[:5, :5])
    assert np.abs(measured - expected).max() < 0.05
    assert np.abs(present.mean(axis=0)).max() < 0.05


def test_source_normals_are_what_a_face_was_drawn_from() -> None:
    for index in range(20):
        factors, normals = draw_factors(5, index, 0.6), source_normals(5, index).astype(float)
        uniform = np.array([statistics.NormalDist().cdf(x) for x in normals.tolist()])
        geometry, rest = len(GEOMETRY), len(GEOMETRY) + 2 + len(COPULA)
        np.testing.assert_allclose(
            factors.geometry, np.clip(normals[:geometry], -GEOMETRY_LIMIT, GEOMETRY_LIMIT), atol=1e-6
        )
        np.testing.assert_allclose([factors.skin, factors.eye_colour], uniform[geometry : geometry + 2], atol=1e-5)
        correlated = np.linalg.cholesky(copula_matrix(0.6)) @ normals[geometry + 2 : rest]
        assert factors.male == (correlated[1] > 0)
        assert factors.smile == pytest.approx(statistics.NormalDist().cdf(correlated[3]), abs=1e-5)
        assert factors.parting == pytest.approx(2 * uniform[rest] - 1, abs=1e-5)
        assert factors.frame_colour == pytest.approx(uniform[-1], abs=1e-5)
    many = np.stack([source_normals(6, index) for index in range(2000)])
    assert np.abs(np.cov(many.T) - np.eye(many.shape[1])).max() < 0.15
    item = AvatarFaces(2, "samples", normals=True)[1]
    np.testing.assert_array_equal(item["normals"].numpy(), source_normals(SPLITS["samples"], 1))
    with pytest.raises(ValueError, match="mirrored"):
        AvatarFaces(2, "samples", mirror=True, normals=True)


def test_copula_strengths() -> None:
    assert np.array_equal(copula_matrix(0.0), np.eye(7))
    assert np.allclose(copula_matrix(0.6), COPULA_CORRELATION)
    assert np.array_equal(COPULA_CORRELATION, COPULA_CORRELATION.T)
    assert np.linalg.eigvalsh(copula_matrix(1.0))[0] > 0
    for strength in (-0.1, 5.0):
        with pytest.raises(ValueError, match="correlation"):
            copula_matrix(strength)


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_a_counterfactual_changes_one_value_and_is_visible(name: str) -> None:
    for factors in FACES:
        other = factors.with_value(name, opposite(factors, name))
        differing = [a for a, x, y in zip(ATTRIBUTES, factors.values(), other.values(), strict=True) if x != y]
        assert differing == [name]
        assert {key for key in vars(factors) if getattr(factors, key) != getattr(other, key)} == {
            "age" if name == "Young" else "smile" if name == "Smiling" else name.lower()
        }
        assert (difference(factors.with_value(name, 1.0), factors.with_value(name, 0.0)) > 24).sum() >= 40


def test_glasses_change_the_eye_region_only() -> None:
    rows = np.any([changed(f, "Eyeglasses") for f in FACES], axis=0).any(axis=1)
    assert not rows[:21].any() and not rows[44:].any() and rows[28:36].all()


def test_a_smile_changes_eyes_and_lower_face_only() -> None:
    mask = np.any([changed(f, "Smiling") for f in FACES], axis=0)
    assert not mask[:27].any() and not mask[58:].any() and not mask[:, :10].any() and not mask[:, 54:].any()
    assert mask[44:50, 28:36].all()


def test_waves_leave_the_inner_face_alone() -> None:
    mask = np.any([changed(f, "Wavy_Hair") for f in FACES], axis=0)
    assert not mask[28:52, 25:39].any()


def test_waves_show_in_short_hair_too() -> None:
    short = [f.with_value("Male", 1.0) for f in FACES if f.hair_length < 0.9]
    assert min(changed(f, "Wavy_Hair").sum() for f in short) > 100


def test_age_and_smile_act_gradually() -> None:
    for name in ("Young", "Smiling"):
        for factors in FACES[:10]:
            steps = [factors.with_value(name, value) for value in np.linspace(0.0, 1.0, 6)]
            distance = [difference(steps[0], step).mean() for step in steps]
            assert distance == sorted(distance)


def test_counterfactual_errors() -> None:
    with pytest.raises(ValueError, match="did you mean 'Smiling'"):
        FACES[0].with_value("Smile", 1.0)
    with pytest.raises(ValueError, match=r"outside \[0, 1\]"):
        FACES[0].with_value("Young", 1.2)


def test_labels_follow_the_logistic_curve() -> None:
    rng = np.random.default_rng(0)
    for value in (0.4, 0.48, 0.5, 0.55):
        factors = FACES[0].with_value("Young", value).with_value("Smiling", 1.0 - value)
        labels = np.stack([annotate(factors, rng) for _ in range(3000)])
        expected = 1.0 / (1.0 + np.exp(-(value - 0.5) / ANNOTATION_WIDTH))
        share = labels.mean(axis=0)
        assert share[ATTRIBUTES.index("Young")] == pytest.approx(expected, abs=0.04)
        assert share[ATTRIBUTES.index("Smiling")] == pytest.approx(1.0 - expected, abs=0.04)
        for name in ("Eyeglasses", "Male", "Wavy_Hair"):
            column = ATTRIBUTES.index(name)
            assert np.all(labels[:, column] == factors.values()[column])


def assert_equal_items(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    for key in first:
        assert torch.equal(first[key], second[key]), key


def test_cache_equals_fresh_drawing(tmp_path: Path) -> None:
    fresh, cached = AvatarFaces(6, split="test"), AvatarFaces(6, split="test", cache=str(tmp_path))
    assert cached.undrawn == 6 and fresh.undrawn == 0
    assert_equal_items(fresh[1], cached[1])
    assert not list(tmp_path.iterdir())
    assert cached.prepare().undrawn == 0
    again = pickle.loads(pickle.dumps(AvatarFaces(6, split="test", cache=str(tmp_path))))
    for index in range(6):
        assert_equal_items(fresh[index], cached[index])
        assert_equal_items(fresh[index], again[index])
    assert len(list(tmp_path.iterdir())) == 2
    AvatarFaces(6, split="validation", cache=str(tmp_path)).prepare()
    AvatarFaces(6, split="test", correlation=0.0, cache=str(tmp_path)).prepare()
    assert len(list(tmp_path.iterdir())) == 6


def test_an_interrupted_cache_is_not_taken_for_a_whole_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(self: AvatarFaces, index: int) -> np.ndarray:
        if index == 2:
            raise KeyboardInterrupt
        return render(self.factors(index))

    with monkeypatch.context() as patched:
        patched.setattr(AvatarFaces, "_draw", stop)
        with pytest.raises(KeyboardInterrupt):
            AvatarFaces(4, cache=str(tmp_path)).prepare()
    assert_equal_items(AvatarFaces(4, cache=str(tmp_path)).prepare()[3], AvatarFaces(4)[3])


def test_items() -> None:
    faces = AvatarFaces(5, first=2, mirror=True)
    item = faces[1]
    assert item["image"].shape == (3, 64, 64) and item["image"].dtype == torch.float32
    assert item["image"].min() >= -1.0 and item["image"].max() <= 1.0
    assert torch.equal(item["values"], torch.from_numpy(faces.factors(1).values()))
    assert set(item["labels"].tolist()) <= {0.0, 1.0}
    assert len(faces) == 10 and torch.equal(faces[6]["image"], item["image"].flip(-1))
    assert faces.factors(1) == AvatarFaces(9).factors(3)
    shifted, whole = faces[1], AvatarFaces(9)[3]
    assert torch.equal(shifted["labels"], whole["labels"]) and torch.equal(shifted["image"], whole["image"])
    with pytest.raises(IndexError):
        faces[10]


def test_splits_do_not_overlap() -> None:
    assert len(set(SPLITS.values())) == len(SPLITS)
    pictures = [AvatarFaces(3, split=split)[index]["image"].numpy().tobytes() for split in SPLITS for index in range(3)]
    assert len(set(pictures)) == len(pictures)
    for key, value, message in (("split", "validatoin", "one of .*'validation'"), ("count", 0, "at least 1, not 0")):
        with pytest.raises(ConfigError, match=f"data.{key}: must be {message}"):
            DATASETS.build(Section({"name": "avatar_faces", "count": 3, key: value}, "data"))


def test_an_identity_keeps_its_face(tmp_path: Path) -> None:
    people = AvatarIdentities(3, 4, cache=str(tmp_path)).prepare()
    assert [int(people[index]["identity"]) for index in range(12)] == [0] * 4 + [1] * 4 + [2] * 4
    for identity in range(3):
        views = [people.factors(4 * identity + view) for view in range(4)]
        for kept in ("geometry", "skin", "eye_colour", "hair_colour"):
            assert len({getattr(view, kept) for view in views}) == 1
        for fresh in ("age", "smile", "light", "background", "clothes", "tilt", "frame_shape", "hair_length"):
            assert len({getattr(view, fresh) for view in views}) == 4
    assert len({people.factors(4 * identity).geometry for identity in range(3)}) == 3


def test_views_have_independent_attributes() -> None:
    person = draw_identity(6, 0)
    values = np.stack([redraw(person, 6, 0, view).values() for view in range(4000)])
    assert np.abs(np.corrcoef(values.T) - np.eye(5)).max() < 0.06
    assert np.abs((values >= 0.5).mean(axis=0) - 0.5).max() < 0.04


def test_a_full_disk_while_faces_are_drawn_is_an_error_that_leaves_nothing(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))  # the third picture goes beyond it
    try:
        with pytest.raises(OSError) as caught:
            AvatarFaces(4, split="samples", cache=str(tmp_path)).prepare()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(caught.value.filename).startswith(f"{tmp_path}/faces-")
    assert [path.name for path in tmp_path.iterdir() if not path.name.endswith(".values.npy")] == []
