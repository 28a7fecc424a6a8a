"""Readers of everything about a face that is no attribute: a small network that regresses an avatar's factors."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import default_collate
from tqdm import tqdm

from datasets.avatar_factors import GEOMETRY, Factors
from datasets.avatars import AvatarFaces
from models.reader import Reader
from utils.paths import resolve
from utils.weights import freeze, load_strict, load_weights, save_weights

NUISANCES = (
    "skin", "eye_colour", "hair_colour", "hair_length", "parting", "shift_x", "shift_y", "tilt", "turn", "light",
    "brightness", "clothes", "collar", "background", "frame_shape", "frame_colour", *GEOMETRY,
)  # fmt: skip
WITH_GLASSES = ("frame_shape", "frame_colour")  # cannot be seen on other faces
READABLE = 0.5  # least R² on held-out faces for a factor's shares to be compared
_TRAINING_FACES, _EPOCHS, _BATCH, _RATE = 16000, 4, 64, 2e-3


def true_factors(faces: AvatarFaces, indices: Sequence[int]) -> Tensor:
    """Drawn nuisances (N, 30) in the order of `NUISANCES`, NaN where they cannot be seen."""
    return torch.tensor([_row(faces.factors(index)) for index in indices])


def _row(factors: Factors) -> list[float]:
    geometry = dict(zip(GEOMETRY, factors.geometry, strict=True))
    row = [geometry[name] if name in geometry else float(getattr(factors, name)) for name in NUISANCES]
    if not factors.eyeglasses:
        row = [float("nan") if name in WITH_GLASSES else value for name, value in zip(NUISANCES, row, strict=True)]
    return row


class NuisanceReader(nn.Module):
    """Pictures (B, 3, 64, 64) → factors (B, 30)."""

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.reader = Reader(len(NUISANCES))
        self.register_buffer("mean", torch.zeros(len(NUISANCES)))
        self.register_buffer("deviation", torch.ones(len(NUISANCES)))

    def forward(self, image: Tensor) -> Tensor:
        """Factors on their own scales."""
        return self.reader(image) * self.deviation + self.mean


def _train(faces: AvatarFaces, device: torch.device) -> NuisanceReader:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        reader = NuisanceReader()
    faces.prepare()  # each is read in every epoch
    reader = reader.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    count = min(len(faces), _TRAINING_FACES)
    targets = true_factors(faces, range(count))
    reader.mean.copy_(targets.nanmean(0))
    reader.deviation.copy_((targets - targets.nanmean(0)).square().nanmean(0).sqrt())
    steps = _EPOCHS * (count // _BATCH)
    optimiser = torch.optim.AdamW(reader.parameters(), lr=_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, total_steps=max(steps, 2))
    order = np.random.default_rng(0)
    with tqdm(total=steps, unit="step", desc="nuisance readers", dynamic_ncols=True) as bar:
        for _ in range(_EPOCHS):
            for indices in order.permutation(count)[: count // _BATCH * _BATCH].reshape(-1, _BATCH):
                image = default_collate([faces[int(index)]["image"] for index in indices]).to(device)
                target = (targets[indices].to(device) - reader.mean) / reader.deviation
                seen = target.isfinite()
                error = reader.reader(image) - target.nan_to_num()
                loss = (error.square() * seen).sum() / seen.sum()
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
                bar.update(1)
    return reader


def nuisance_reader(faces: AvatarFaces, cache: str | None, device: torch.device) -> nn.Module:
    """The frozen reader trained on drawn faces (two minutes on a CPU core), kept in the cache folder."""
    settings = repr((faces.fingerprint(), NUISANCES, _TRAINING_FACES, _EPOCHS, _BATCH, _RATE, 2))
    name = f"nuisances-{hashlib.sha256(settings.encode()).hexdigest()[:16]}.safetensors"
    path = None if cache is None else resolve(cache) / name
    if path is not None and path.exists():
        reader = NuisanceReader()
        load_strict(reader, load_weights(path)[0], path)
        return freeze(reader.to(device))
    reader = _train(faces.prepare(), device)
    if path is not None:
        save_weights(path, reader.state_dict(), {"nuisances": list(NUISANCES)})
    return freeze(reader)


def determination(read: np.ndarray, true: np.ndarray) -> np.ndarray:
    """R² (F,) of read factors (N, F); rows whose truth is NaN do not count."""
    residual = np.nanmean((read - true) ** 2, axis=0)
    return 1 - residual / np.nanvar(true, axis=0)


def thirds(real: np.ndarray, generated: np.ndarray) -> list[float]:
    """Shares of generated readings in the three bins that each hold a third of the real ones."""
    edges = np.quantile(real, [1 / 3, 2 / 3])
    counts = np.bincount(np.searchsorted(edges, generated), minlength=3)
    return [float(share) for share in counts / max(len(generated), 1)]
