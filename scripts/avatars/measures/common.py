"""Faces in batches, drawn or generated, and what networks say of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate
from tqdm import tqdm

from datasets.avatars import AvatarFaces
from models.domain import Domain

Batches = Iterator[dict[str, Tensor]]
CORRELATION = 0.6  # of the data that generator, encoder and teacher were trained on


@dataclass(frozen=True)
class Sizes:
    """How many faces are measured, and where pictures are kept between calls.

    Attributes:
        faces: drawn or generated faces of each set.
        seed: of the generated faces.
        cache: folder of drawn pictures; None: they are not cached.
        batch: faces seen at once.
    """

    faces: int = 5000
    seed: int = 0
    cache: str | None = "cache/avatars"
    batch: int = 100

    def correlated(self, first: int = 0, masks: bool = False) -> AvatarFaces:
        """Held-out faces like those of the training data."""
        faces = AvatarFaces(self.faces, "test", first=first, correlation=CORRELATION, cache=self.cache, masks=masks)
        return faces.prepare()

    def decorrelated(self) -> AvatarFaces:
        """Held-out faces whose attributes are independent."""
        return AvatarFaces(self.faces, "judge_test", correlation=0.0, cache=self.cache).prepare()


def drawn(dataset: Dataset, size: int) -> Batches:
    """Batches of a data set in order."""
    count = len(dataset)  # type: ignore[arg-type]
    for first in range(0, count, size):
        yield default_collate([dataset[index] for index in range(first, min(first + size, count))])


@torch.no_grad()
def pictures_of_random(generator: Any, count: int, seed: int, size: int) -> Batches:
    """Batches of `z` of a seed and `image`, the generator's picture of it: no truncation, constant noise maps."""
    z = torch.randn(count, *generator.z_shape, generator=torch.Generator().manual_seed(seed))
    for part in z.to(generator.input.input.device).split(size):
        latent = generator.broadcast(generator.mapping(part))
        yield {"image": generator.synthesis(latent, noise="constant").clamp(-1, 1), "z": part}


def generated(domain: Domain, count: int, seed: int, size: int) -> Batches:
    """Batches {"image"} of the domain's generated faces at its side."""
    for batch in pictures_of_random(domain.generator, count, seed, size):
        yield {"image": domain.resized(batch["image"])}


@torch.no_grad()
def collect(
    batches: Batches, total: int, measure: Callable[[Tensor], Mapping[str, Tensor]], title: str, device: torch.device
) -> dict[str, np.ndarray]:
    """What `measure` finds on pictures (B, 3, S, S), and all that the batches hold beside pictures, stacked."""
    found: dict[str, list[np.ndarray]] = {}
    with tqdm(total=total, unit="face", desc=title, dynamic_ncols=True) as bar:
        for batch in batches:
            image = batch["image"].to(device)
            beside = {key: value for key, value in batch.items() if key != "image"}
            for name, value in {**measure(image), **beside}.items():
                found.setdefault(name, []).append(value.cpu().numpy())
            bar.update(len(image))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def by_attribute(domain: Domain, values: Any) -> dict[str, float]:
    """Numbers (A,) under the attributes' names."""
    return {name: float(value) for name, value in zip(domain.attributes, values, strict=True)}
