"""The file that keeps latent codes: a shard is one memory-mapped safetensors file, either whole or not there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from models.domain import Domain
from utils.files import write_atomically
from utils.paths import displayed

_METADATA_KEY = "shard"  # safetensors metadata maps text to text: one key holds everything as JSON


class ShardError(ValueError):
    """A shard that is missing, damaged or of other networks; the message names it."""


class Source(NamedTuple):
    """The file of a photo when it was encoded.

    Attributes:
        number: place of the photo in the whole encoding.
        size: bytes; −1 where the file could not be read.
        modified: time of its last change, ns.
        digest: `hashed` of its contents.
    """

    number: int
    size: int = -1
    modified: int = 0
    digest: str = ""


def hashed(data: bytes) -> str:
    """What tells the contents of one photo from those of another."""
    return hashlib.blake2b(data, digest_size=12).hexdigest()


@dataclass
class Shard:
    """Encoded faces.

    Attributes:
        latent: (N, L, D) float32, from the domain's encoder.
        teacher: (N, O) float32, probabilities of all outputs of its classifier C, whose names are `outputs`.
        number: (N,) int64, places of the faces in the list that is encoded; faces that failed leave gaps.
        image: (N, 3, S, S) uint8, the aligned faces, where the shard keeps them.
        names: names of the N faces.
        failures: name → reason, of the faces that could not be encoded.
        sources: name → file that it was read from, of all photos that were tried.
    """

    latent: Tensor
    teacher: Tensor
    number: Tensor
    outputs: tuple[str, ...]
    image: Tensor | None = None
    names: tuple[str, ...] = ()
    failures: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, Source] = field(default_factory=dict)


def shard_path(folder: Path, first: int) -> Path:
    """File of the shard whose first face has this place in the list."""
    return folder / f"shard-{first:09d}.safetensors"


def write_shard(path: Path, shard: Shard) -> None:
    """Write the file atomically: no moment of a crash leaves a part of it under its name."""
    tensors = {"latent": shard.latent, "teacher": shard.teacher, "number": shard.number}
    if shard.image is not None:
        tensors["image"] = shard.image
    contents: dict[str, Any] = {"outputs": shard.outputs, "names": shard.names, "failures": dict(shard.failures)}
    if shard.sources:
        contents["sources"] = dict(shard.sources)
    metadata = {_METADATA_KEY: json.dumps(contents)}
    write_atomically(path, lambda temporary: save_file(tensors, temporary, metadata=metadata))


class ShardFile:
    """A shard on disk. Rows are read through a memory map; worker processes open their own.

    Raises:
        ShardError: missing or damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stream: Any = None
        if not path.is_file():
            raise ShardError(f"{displayed(path)}: no such shard")
        try:
            header = json.loads(self._open().metadata()[_METADATA_KEY])
            self.outputs = tuple(header["outputs"])
            self.names: tuple[str, ...] = tuple(header["names"])
            self.failures: dict[str, str] = dict(header["failures"])
            self.sources = {name: Source(*values) for name, values in header.get("sources", {}).items()}
            self.number = self.all("number")
        except (AttributeError, KeyError, TypeError, ValueError, OSError, SafetensorError) as error:
            raise ShardError(f"{displayed(path)}: damaged shard ({error}); delete it and encode again") from error

    def _open(self) -> Any:
        if self._stream is None:
            self._stream = safe_open(self.path, framework="np")
        return self._stream

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_stream": None, "sources": {}}  # workers read rows alone

    def __len__(self) -> int:
        return len(self.number)

    def all(self, key: str) -> np.ndarray:
        """A whole tensor, in memory."""
        return self._open().get_tensor(key)

    def row(self, key: str, row: int) -> Tensor:
        """One row of a tensor."""
        return torch.from_numpy(self._open().get_slice(key)[row])

    def numbers_of(self, places: range) -> dict[str, int]:
        """Name → place of all photos, of those that failed as well.

        Args:
            places: of the shard.
        """
        numbers = dict(zip(self.names, self.number.tolist(), strict=True))
        numbers |= {name: source.number for name, source in self.sources.items() if name in self.failures}
        taken = set(numbers.values())
        free = iter([place for place in places if place not in taken])
        unplaced = [name for name in self.failures if name not in numbers]  # of shards of earlier versions
        return numbers | {name: next(free) for name in unplaced}

    def keys(self) -> list[str]:
        """Names of the tensors."""
        return list(self._open().keys())


@torch.no_grad()
def encode_faces(domain: Domain, image: Tensor) -> tuple[Tensor, Tensor]:
    """Latent codes (B, L, D) and all the teacher's probabilities (B, O), on the CPU, of aligned faces (B, 3, S, S)."""
    image = image.to(domain.device)
    teacher = torch.sigmoid(domain.teacher(image)[:, : len(domain.classifier_outputs)])
    return domain.encode(image).float().cpu(), teacher.float().cpu()


def output_columns(outputs: Sequence[str], attributes: Sequence[str], path: Path) -> list[int]:
    """Places of a domain's attributes among the teacher's outputs of a shard.

    Raises:
        ShardError: the shard's teacher did not know an attribute.
    """
    for attribute in attributes:
        if attribute not in outputs:
            raise ShardError(f"{displayed(path)}: its teacher gave no '{attribute}'; encode again with one that does")
    return [outputs.index(attribute) for attribute in attributes]
