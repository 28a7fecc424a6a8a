"""The generator's calibration: equal thirds, folded exactly into the mapping's first layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from datasets.avatar_factors import COPULA, NORMALS
from models.stylegan2.generator import Generator
from models.stylegan2.layers import EqualLinear, PixelNorm
from scripts.avatars.calibrate_generator import affine_for_thirds, calibrate, main, replace_number
from scripts.avatars.measures.nuisances import NUISANCES, WITH_GLASSES, thirds


@pytest.mark.parametrize("bend", [lambda n: 0.6 * n + 0.3, lambda n: np.tanh(n) - 0.2, lambda n: -0.5 * n])
def test_thirds_become_equal(bend: Any) -> None:
    rng = np.random.default_rng(0)
    number, noise, faces = rng.standard_normal(4000), 0.3 * rng.standard_normal(4000), rng.standard_normal(4000)
    assert max(abs(share - 1 / 3) for share in thirds(0.8 * faces, bend(number) + noise)) > 0.03
    scale, shift = affine_for_thirds(number, bend(number) + noise, np.quantile(0.8 * faces, [1 / 3, 2 / 3]))
    fresh = rng.standard_normal(4000)
    shares = thirds(0.8 * faces, bend(scale * fresh + shift) + noise)
    np.testing.assert_allclose(shares, 1 / 3, atol=0.03)


def test_a_number_is_replaced_in_the_first_layer() -> None:
    torch.manual_seed(0)
    generator = Generator(8, style_dim=16, mapping_layers=2, channels={4: 8, 8: 8})
    z = torch.randn(5, 16)
    other = z.clone()
    other[:, 3] = 1.5 * z[:, 3] - 0.4
    expected = generator.style[1](other)
    replace_number(generator, 3, 1.5, -0.4)
    torch.testing.assert_close(generator.style[1](z), expected)


class Plain(nn.Module):
    """A generator without bends: its pictures show half of each number, those of the frames a tenth less still."""

    def __init__(self) -> None:
        super().__init__()
        self.style_dim, self.z_shape = 64, (64,)
        self.style = nn.Sequential(PixelNorm(), EqualLinear(64, 64))
        self.input = nn.Module()
        self.input.input = nn.Parameter(torch.zeros(1))
        with torch.no_grad():
            self.style[1].weight.copy_(0.5 * torch.eye(64) / self.style[1].weight_scale)

    def mapping(self, z: Tensor) -> Tensor:
        return self.style(z)

    def broadcast(self, w: Tensor) -> Tensor:
        return w

    def synthesis(self, w: Tensor, noise: str) -> Tensor:
        return w[:, None, None, :]


class Reading(nn.Module):
    """Reads the nuisances off `Plain`'s pictures."""

    def forward(self, image: Tensor) -> Tensor:
        return image[:, 0, 0, [NORMALS.index(name) for name in NUISANCES]]


def test_each_nuisance_is_calibrated_and_nothing_else() -> None:
    generator = Plain()
    before = generator.style[1].weight.detach().clone()
    real = np.random.default_rng(1).standard_normal((1000, len(NUISANCES))) * 0.7
    real[::2, [NUISANCES.index(name) for name in WITH_GLASSES]] = np.nan
    calibrate(generator, Reading(), real.astype(np.float32), count=1000, rounds=1)
    ratio = (generator.style[1].weight.detach() / before).diagonal()
    for number, name in enumerate(NORMALS):
        expected = 1.4 if name in NUISANCES and name not in COPULA else 1.0
        assert abs(float(ratio[number]) - expected) < (0.3 if expected > 1 else 1e-6), name
    assert torch.equal(ratio[len(NORMALS) :], torch.ones(64 - len(NORMALS)))


def test_a_missing_file_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([str(tmp_path / "none.safetensors"), "-o", str(tmp_path / "out.safetensors")])
    assert "none.safetensors: no such file" in capsys.readouterr().err
