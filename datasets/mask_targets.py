"""Faces with the masks of other faces: what a mask editor learns to edit towards."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from datasets.avatar_edits import EDITS
from datasets.avatar_renderer import render_mask
from datasets.avatars import AvatarFaces
from datasets.latent_cache import PORTION, BatchSize, LatentCache
from datasets.mask_ranking import coarse, nearest_masks
from models.domain import Domain
from models.parsing.masks import mirrored
from utils.config import ConfigError
from utils.files import write_atomically
from utils.images import at_side
from utils.ranges import MANY, Between, Count, Fraction, NewFolder, Seed, Size

LEVELS = 3  # easy, medium, hard


class MaskTargets(LatentCache):
    """A latent cache whose items also hold `targets` (3, side, side) uint8: an easy, a medium and a hard mask.

    They are masks of other faces: those nearest by mean IoU are divided in thirds, and one of each third is drawn. A
    face's mask is what the domain's parser finds in its inversion. Masks and neighbours are computed once and kept
    beside the codes, in files of 1024 faces. Which targets an item has depends on its number alone, so that a resumed
    training sees the same ones. Before `prepare`, a face's own mask stands for all three.

    Args:
        nearest: faces of the three thirds together; at most all the others. Of fewer than three others none is a
            target, but the face itself is.
        draws: each face is that many items, which differ in their targets.
        counterfactuals: share of items all of whose targets are the true mask of the same face after a request, each
            of `datasets.avatar_edits.EDITS` as likely as the others. Only for drawn faces.
        side: of the masks; by default the domain's `image_side`.
        seed: of the draws.
    Raises:
        ConfigError: counterfactual masks of faces that are not drawn.
    """

    def __init__(
        self, domain: Domain, faces: dict[str, Any], cache: NewFolder = "cache/latents", batch_size: BatchSize = 32,
        nearest: Annotated[int, Between(LEVELS, MANY)] = 300, draws: Count = 1, counterfactuals: Fraction = 0.0,
        side: Size | None = None, seed: Seed = 0,
    ) -> None:  # fmt: skip
        super().__init__(domain, faces, cache, batch_size)
        self.draws, self.counterfactuals, self.seed = draws, counterfactuals, seed
        self.side = side or domain.image_side
        self.nearest = min(nearest, len(self.faces) - 1) // LEVELS * LEVELS
        if counterfactuals and not isinstance(self.faces, AvatarFaces):
            raise ConfigError("data.counterfactuals: only drawn faces (avatar_faces) have true masks of edits")
        self.holds = (*self.holds, "targets")
        self._masks: list[Path] = []
        self._neighbours: list[Path] = []
        self._opened: dict[Path, np.ndarray] = {}

    def prepare(self, checked: bool = False) -> MaskTargets:
        super().prepare(checked)
        parts = self.domain.fingerprints(("generator", "encoder", "parser"))
        settings = self.domain.settings
        described = json.dumps([parts, self.side, settings.synthesis_resize])
        key = hashlib.sha256(described.encode()).hexdigest()[:16]
        self._masks = self._stored(f"masks-{key}", self._found, "finding masks")
        self._neighbours = self._stored(f"neighbours-{self.nearest}-{key}", self._ranked, "ranking masks")
        return self

    def _stored(self, name: str, compute: Callable[[range], np.ndarray], what: str) -> list[Path]:
        """The file of each portion of faces, computed where there is none yet."""
        paths = {first: self.folder / f"{name}-{first:09d}.npy" for first in self._starts()}
        for first in tqdm([first for first in paths if not paths[first].exists()], desc=what, leave=False):
            rows = compute(self._portion(first))
            write_atomically(paths[first], partial(np.save, arr=rows))
        return list(paths.values())

    def _found(self, portion: range) -> np.ndarray:
        """Masks (N, side, side) uint8 of the inversions of some faces."""
        shard = self._shards[portion.start // PORTION]
        latents = torch.from_numpy(shard.all("latent")).to(self.domain.device)
        masks = [self._mask_of(some) for some in latents.split(self.batch_size)]
        found: np.ndarray = torch.cat(masks).numpy()
        return found

    def _ranked(self, portion: range) -> np.ndarray:
        """The nearest others (N, nearest) int32 of some faces."""
        masks = np.concatenate([coarse(self._map(path)) for path in self._masks])
        return nearest_masks(masks, portion, self.nearest)

    @torch.no_grad()
    def _mask_of(self, latent: Tensor) -> Tensor:
        return self.domain.parse(at_side(self.domain.synthesise(latent), self.side)).byte().cpu()

    def __len__(self) -> int:
        return len(self.faces) * self.draws

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if not 0 <= index < len(self):
            raise IndexError(f"item {index} of {len(self)}")
        face = index % len(self.faces)
        item = super().__getitem__(face)
        return item | {"targets": self._targets(index, face, item["latent"])}

    def _targets(self, index: int, face: int, latent: Tensor) -> Tensor:
        if not self._masks:
            return self._mask_of(latent[None]).expand(LEVELS, -1, -1).clone()
        random = np.random.default_rng([self.seed, index])
        if random.random() < self.counterfactuals:
            return self._counterfactual(face, random).expand(LEVELS, -1, -1).clone()
        others = np.full(LEVELS, face)
        if third := self.nearest // LEVELS:
            others = self._row(self._neighbours, face)[third * np.arange(LEVELS) + random.integers(third, size=LEVELS)]
        return torch.from_numpy(np.stack([self._row(self._masks, other) for other in others]))

    def _counterfactual(self, face: int, random: np.random.Generator) -> Tensor:
        faces: AvatarFaces = self.faces
        edit = list(EDITS.values())[random.integers(len(EDITS))]
        other = faces.factors(int(random.integers(len(faces))))
        edited, _ = edit(faces.factors(face), other, random)
        mask = torch.from_numpy(render_mask(edited, self.side))
        return mirrored(mask) if face >= faces.count else mask

    def _map(self, path: Path) -> np.ndarray:
        if path not in self._opened:
            self._opened[path] = np.load(path, mmap_mode="r")
        return self._opened[path]

    def _row(self, paths: list[Path], index: int) -> np.ndarray:
        return np.array(self._map(paths[index // PORTION])[index % PORTION])

    def __getstate__(self) -> dict[str, object]:
        # Worker processes open the files themselves: a pickled memory map would be a copy of it all.
        return {**super().__getstate__(), "_opened": {}}
