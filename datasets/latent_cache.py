"""Latent codes and teacher outputs of a whole data set, computed once and memory-mapped.

They are stored in shards, each written atomically: an interrupted computation continues where it stopped.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate
from tqdm import tqdm

from datasets import DATASETS
from datasets.latent_shards import Shard, ShardFile, encode_faces, output_columns, shard_path, write_shard
from models.domain import Domain
from utils.config import as_section
from utils.paths import resolve
from utils.ranges import Between, Text

PORTION = 1024  # items a file
BatchSize = Annotated[int, Between(1, 65536)]


class LatentCache(Dataset):
    """Faces with their latent codes and the teacher's probabilities.

    Items are those of `faces` plus `latent` (L, D), from the domain's encoder, and `teacher` (A,), the probabilities of
    its classifier C in the order of `domain.attributes`. Before `prepare`, each item is encoded when it is read.

    Args:
        faces: section of the data set of faces (its items hold `image`).
        cache: folder of the computed numbers; its sub-folder's name holds a hash of the data set and of both networks.
        batch_size: faces encoded at once.
    """

    def __init__(
        self, domain: Domain, faces: dict[str, Any], cache: Text = "cache/latents", batch_size: BatchSize = 32
    ) -> None:
        self.domain, self.batch_size = domain, batch_size
        self.faces = DATASETS.build(as_section(faces, "data.faces"), domain=domain)
        contents = [self.faces.fingerprint(), len(self.faces)]
        described = json.dumps([contents, domain.fingerprints(("encoder", "teacher")), domain.classifier_outputs])
        key = hashlib.sha256(described.encode()).hexdigest()[:16]
        self.folder = resolve(cache) / f"{domain.name}-{key}"
        self._columns = [domain.classifier_outputs.index(name) for name in domain.attributes]
        self._shards: list[ShardFile] = []

    def prepare(self) -> LatentCache:
        """Compute what is not stored yet, with a progress bar, and map it; returns itself."""
        self._fill()
        self._shards = [ShardFile(self._path(first)) for first in self._starts()]
        for shard in self._shards:
            output_columns(shard.outputs, self.domain.attributes, shard.path)
        return self

    def numbers(self) -> tuple[Tensor, Tensor]:
        """All latent codes (N, L, D) and teacher outputs (N, A) of a prepared cache, in memory."""
        latents, teacher = (np.concatenate([shard.all(key) for shard in self._shards]) for key in ("latent", "teacher"))
        return torch.from_numpy(latents), torch.from_numpy(teacher)[:, self._columns]

    def _starts(self) -> range:
        return range(0, len(self.faces), PORTION)

    def _path(self, first: int) -> Path:
        return shard_path(self.folder, first)

    def _compute(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return encode_faces(self.domain, images)

    def _fill(self) -> None:
        todo = [first for first in self._starts() if not self._path(first).exists()]
        if not todo:
            return
        total = sum(min(PORTION, len(self.faces) - first) for first in todo)
        with tqdm(total=total, unit="face", desc="encoding faces", dynamic_ncols=True) as bar:
            for start in todo:
                latents, teacher = [], []
                stop = min(start + PORTION, len(self.faces))
                for first in range(start, stop, self.batch_size):
                    indices = range(first, min(first + self.batch_size, stop))
                    codes, outputs = self._compute(default_collate([self.faces[i]["image"] for i in indices]))
                    latents.append(codes)
                    teacher.append(outputs)
                    bar.update(len(indices))
                numbers = torch.arange(start, stop)
                shard = Shard(torch.cat(latents), torch.cat(teacher), numbers, self.domain.classifier_outputs)
                write_shard(self._path(start), shard)

    def __len__(self) -> int:
        return len(self.faces)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        item = self.faces[index]
        if not self._shards:
            latent, teacher = (numbers[0] for numbers in self._compute(item["image"][None]))
        else:
            portion, row = divmod(index, PORTION)
            shard = self._shards[portion]
            latent, teacher = shard.row("latent", row), shard.row("teacher", row)
        return {**item, "latent": latent, "teacher": teacher[self._columns]}
