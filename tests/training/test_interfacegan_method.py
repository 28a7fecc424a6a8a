"""InterFaceGAN: what it finds, what its edits keep, and a run as a user makes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from models.editors.interfacegan import InterFaceGANEditor, projected
from models.editors.targets import Flip, SetTo
from tests.training.editors import (
    assert_configs_fit,
    assert_independent_of_the_batch,
    assert_usable,
    logged,
    trained,
    write_config,
)
from training.methods.interfacegan import fit_boundary

NAMES = ("Eyeglasses", "Male", "Smiling")


def editor(rows: int, conditional: bool = True) -> InterFaceGANEditor:
    random = torch.Generator().manual_seed(0)
    normals = torch.randn(3, rows, 6, dtype=torch.float64, generator=random)
    normals[1] += 0.5 * normals[0]
    normals /= normals.flatten(1).norm(dim=1)[:, None, None]
    numbers = torch.tensor([[0.3, -0.2, 0.1], [2.0, 3.0, 0.5]], dtype=torch.float64)
    return InterFaceGANEditor(normals, numbers[0], numbers[1], NAMES, conditional)


def codes(count: int = 5) -> Tensor:
    return torch.randn(count, 4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("rows", [1, 4], ids=["W", "W+"])
def test_a_conditional_edit_moves_its_attribute_to_the_place_and_no_other(rows: int) -> None:
    one, w = editor(rows), codes()
    edited = one.edit(w, w, {"Male": SetTo(1.3), "Smiling": Flip(0.2)})
    before, after = one.read(w, w), one.read(edited, w)
    expected = before.clone()
    expected[:, 1], expected[:, 2] = 1.3, torch.where(before[:, 2] >= 0.5, -0.2, 1.2)
    torch.testing.assert_close(after, expected)


def test_an_unconditional_edit_goes_along_the_normal_and_takes_others_along() -> None:
    one, w = editor(4, conditional=False), codes()
    edited = one.edit(w, w, {"Male": SetTo(1.0)})
    change = (1 - one.read(w, w)[:, 1]) * 3.0
    torch.testing.assert_close(edited - w, change[:, None, None] * one.normals[1])
    assert (one.read(edited, w) - one.read(w, w))[:, 0].abs().min() > 1e-3


def test_a_projection_is_orthogonal_and_the_nearest() -> None:
    random = torch.Generator().manual_seed(2)
    normal, conditions = torch.randn(5, generator=random), torch.randn(2, 5, generator=random)
    free = projected(normal, conditions)
    assert float(free.norm()) == pytest.approx(1) and (conditions @ free).abs().max() < 1e-6
    kernel = torch.linalg.svd(conditions).Vh[2:]
    assert float(free @ normal) == pytest.approx(float((kernel @ normal).norm()), rel=1e-5)
    with pytest.raises(ValueError, match="depends linearly"):
        projected(conditions.sum(0), conditions)


def test_a_planted_hyperplane_is_found_and_the_noise_is_not_learned() -> None:
    random = np.random.RandomState(0)
    direction = random.randn(8)
    samples = random.randn(4000, 8)
    clear = fit_boundary(samples, samples @ direction, random, share=0.1)
    assert clear.normal @ direction / np.linalg.norm(direction) > 0.95 and clear.accuracy == 1
    assert abs(clear.intercept) < 0.2
    counted = fit_boundary(samples, samples @ direction, random, share=400)
    assert len(counted.training[0]) == len(clear.training[0]) == 280
    noise = fit_boundary(samples, random.randn(4000), random, share=0.1)
    assert 0.35 < noise.accuracy < 0.65
    with pytest.raises(ValueError, match="too few"):
        fit_boundary(samples[:40], samples[:40, 0], random)


@pytest.mark.parametrize("space", ["w", "w+"])
def test_a_run_is_an_editor(space: str, tiny_domain_folder: Path, tmp_path: Path) -> None:
    method = {"name": "interfacegan", "space": space, "share": 0.4}
    run = trained(write_config(tiny_domain_folder, tmp_path, method, steps=0, faces=32), tmp_path / "run")
    editor, domain = assert_usable(run, tmp_path, "InterFaceGAN")
    assert_independent_of_the_batch(editor, domain)
    measures = logged(run, "fit")
    assert all(0 <= measures[f"accuracy_{name}"] <= 1 for name in domain.attributes)


def test_configs() -> None:
    assert_configs_fit("interfacegan")
