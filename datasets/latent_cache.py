"""Latent codes and teacher outputs of a whole data set, computed once and memory-mapped.

They are stored in portions, each written atomically: an interrupted computation goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate
from tqdm import tqdm

from datasets import DATASETS
from models.domain import Domain
from utils.config import as_section
from utils.files import write_atomically
from utils.paths import resolve

PORTION = 1024  # items a file


class LatentCache(Dataset):
    """Faces with their latent codes and the teacher's probabilities.

    Items are those of `faces` plus `latent` (L, D), from the domain's encoder, and `teacher` (A,), the probabilities of
    its classifier C in the order of `domain.attributes`. Before `prepare`, each item is encoded when it is asked for.

    Args:
        faces: section of the data set of faces (its items hold `image`).
        cache: folder of the computed numbers; its sub-folder's name holds a hash of the data set and of both networks.
        batch_size: faces encoded at once.
    """

    def __init__(self, domain: Domain, faces: dict, cache: str = "cache/latents", batch_size: int = 32) -> None:
        self.domain, self.batch_size = domain, batch_size
        self.faces = DATASETS.build(as_section(faces, "data.faces"), domain=domain)
        contents = [self.faces.fingerprint(), len(self.faces)]
        described = json.dumps([contents, domain.fingerprints(("encoder", "teacher")), domain.attributes])
        key = hashlib.sha256(described.encode()).hexdigest()[:16]
        self.folder = resolve(cache) / f"{domain.name}-{key}"
        self._latents: list[np.ndarray] = []
        self._teacher: list[np.ndarray] = []

    def prepare(self) -> LatentCache:
        """Compute what is not stored yet, with a progress bar, and map it; returns itself."""
        self._fill()
        self._latents = [np.load(path, mmap_mode="r") for path in self._paths("latents")]
        self._teacher = [np.load(path, mmap_mode="r") for path in self._paths("teacher")]
        return self

    def numbers(self) -> tuple[Tensor, Tensor]:
        """All latent codes (N, L, D) and teacher outputs (N, A) of a prepared cache, in memory."""
        return torch.from_numpy(np.concatenate(self._latents)), torch.from_numpy(np.concatenate(self._teacher))

    def _paths(self, kind: str) -> list[Path]:
        return [self.folder / f"{kind}-{first:07d}.npy" for first in range(0, len(self.faces), PORTION)]

    @torch.no_grad()
    def _compute(self, images: Tensor) -> tuple[Tensor, Tensor]:
        images = images.to(self.domain.device)
        return self.domain.encode(images).cpu(), self.domain.teacher_probabilities(images).cpu()

    def _fill(self) -> None:
        starts = range(0, len(self.faces), PORTION)
        paths = list(zip(starts, self._paths("latents"), self._paths("teacher"), strict=True))
        todo = [entry for entry in paths if not (entry[1].exists() and entry[2].exists())]
        if not todo:
            return
        total = sum(min(PORTION, len(self.faces) - start) for start, _, _ in todo)
        with tqdm(total=total, unit="face", desc="encoding faces", dynamic_ncols=True) as bar:
            for start, latents_path, teacher_path in todo:
                latents, teacher = [], []
                stop = min(start + PORTION, len(self.faces))
                for first in range(start, stop, self.batch_size):
                    indices = range(first, min(first + self.batch_size, stop))
                    codes, outputs = self._compute(default_collate([self.faces[i]["image"] for i in indices]))
                    latents.append(codes.numpy())
                    teacher.append(outputs.numpy())
                    bar.update(len(indices))
                _store(latents_path, np.concatenate(latents))
                _store(teacher_path, np.concatenate(teacher))

    def __len__(self) -> int:
        return len(self.faces)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        item = self.faces[index]
        if not self._latents:
            latent, teacher = (numbers[0] for numbers in self._compute(item["image"][None]))
        else:
            portion, row = divmod(index, PORTION)
            latent = torch.from_numpy(self._latents[portion][row].copy())
            teacher = torch.from_numpy(self._teacher[portion][row].copy())
        return {**item, "latent": latent, "teacher": teacher}


def _store(path: Path, array: np.ndarray) -> None:
    def write(temporary: Path) -> None:
        with temporary.open("wb") as stream:  # np.save would add a suffix to a bare name
            np.save(stream, array)

    write_atomically(path, write)
