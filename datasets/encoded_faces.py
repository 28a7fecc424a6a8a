"""A folder of shards that `scripts/encode_dataset.py` or `scripts/sample_faces.py` wrote, as a data set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from datasets.latent_shards import ShardError, ShardFile, output_columns, shard_path
from models.domain import Domain
from utils.excerpts import shortened
from utils.files import write_text
from utils.paths import displayed, resolve
from utils.ranges import Count, FileName, Whole

MANIFEST = "manifest.json"
_CODES = {"encoder": "encoded", "generator": "drawn"}  # the network that gave the codes, and how


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of an encoding, or None if there is none.

    Raises:
        ShardError: the file is damaged.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        shard_places(manifest)
        _ = manifest["domain"], int(manifest["image_side"])
        if not {*manifest["networks"]} & {*_CODES}:
            raise KeyError("networks")
    except FileNotFoundError:
        return None
    except (LookupError, TypeError, ValueError, RecursionError) as error:
        said = shortened(str(error), 100)
        raise ShardError(f"{displayed(path)}: damaged ({said}); delete the folder and encode again") from error
    return dict(manifest)


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Say what is being encoded: `networks` (their fingerprints), `image_side`, `photos` (count), `shards`, …"""
    write_text(folder / MANIFEST, json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")


def shard_places(manifest: dict[str, Any]) -> list[range]:
    """Places of the photos of each shard in the whole encoding.

    Raises:
        LookupError, TypeError, ValueError: it is none.
    """
    if "shards" not in manifest:  # of an earlier version: all of one size
        count, size = int(manifest["photos"]), int(manifest["shard_size"])
        return [range(first, min(first + size, count)) for first in range(0, count, size)]
    return [range(int(first), int(first) + int(count)) for first, count in manifest["shards"]]


class EncodedFaces(Dataset):
    """Aligned faces, latent codes and the teacher's probabilities, read from shards alone.

    Neither encoder nor teacher runs: items are `image` (3, S, S) in [−1, 1], `latent` (L, D), `teacher` (A,) in the
    order of `domain.attributes`, which may be any of the teacher's outputs, and `index`. Faces that
    were drawn without the teacher have no `teacher`.

    Args:
        folder: output of `scripts/encode_dataset.py` or `scripts/sample_faces.py`.
        first, count: the part of the list of photos that is used, failed ones included, so that a photo more or less
            that failed moves no face between training and test.
    Raises:
        ShardError: no such folder, an encoding that is not finished, of another encoder or image side, or no face.
    """

    holds: tuple[str, ...] = ("image", "latent", "teacher", "index")

    def __init__(self, domain: Domain, folder: FileName, first: Whole = 0, count: Count | None = None) -> None:
        self.folder = resolve(folder)
        manifest = read_manifest(self.folder)
        if manifest is None:
            raise ShardError(f"{displayed(self.folder)}: no encoded faces here; run scripts/encode_dataset.py first")
        _check(manifest, domain, self.folder)
        places = shard_places(manifest)
        end = max(part.stop for part in places) if count is None else first + count
        starts = [part.start for part in places if part.stop > first and part.start < end]
        missing = [start for start in starts if not shard_path(self.folder, start).is_file()]
        if missing:
            raise ShardError(
                f"{displayed(self.folder)}: {len(missing)} of {len(starts)} shards are missing; the same call of "
                "scripts/encode_dataset.py continues where it stopped"
            )
        self.shards = [ShardFile(shard_path(self.folder, start)) for start in starts]
        rows = [
            (index, row)
            for index, shard in enumerate(self.shards)
            for row in np.flatnonzero((shard.number >= first) & (shard.number < end)).tolist()
        ]
        if not rows:
            raise ShardError(f"{displayed(self.folder)}: no encoded face from number {first} on")
        self._places = np.array(rows)
        shard = self.shards[rows[0][0]]
        if shard.outputs:
            self._columns = output_columns(shard.outputs, domain.attributes, shard.path)
        else:
            self._columns, self.holds = [], ("image", "latent", "index")

    def __len__(self) -> int:
        return len(self._places)

    def name(self, index: int) -> str:
        """Name of the photo of an item."""
        shard, row = self._places[index]
        return self.shards[shard].names[row]

    def numbers(self) -> tuple[Tensor, Tensor]:
        """All latent codes (N, L, D) and teacher outputs (N, A), in memory."""
        arrays = {}
        for key in ("latent", "teacher"):
            rows = [shard.all(key)[self._places[self._places[:, 0] == i, 1]] for i, shard in enumerate(self.shards)]
            arrays[key] = torch.from_numpy(np.concatenate(rows))
        return arrays["latent"], arrays["teacher"][:, self._columns]

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        place, row = self._places[index].tolist()
        shard = self.shards[place]
        teacher = {"teacher": shard.row("teacher", row)[self._columns]} if self._columns else {}
        return {
            "image": shard.row("image", row).float().div_(127.5).sub_(1),
            "latent": shard.row("latent", row),
            **teacher,
            "index": torch.tensor(index),
        }


def _check(manifest: dict[str, Any], domain: Domain, folder: Path) -> None:
    if manifest["image_side"] != domain.image_side:
        raise ShardError(
            f"{displayed(folder)}: faces of {manifest['image_side']} pixels, but {domain.name} has {domain.image_side}"
        )
    part = next(name for name in _CODES if name in manifest["networks"])
    theirs, ours = manifest["networks"][part], domain.fingerprints((part,))[part]
    if theirs != ours:
        again = {"encoder": "encode again", "generator": "draw others"}[part]
        raise ShardError(
            f"{displayed(folder)}: {_CODES[part]} with another {part} ({theirs}) than that of {domain.name} ({ours}); "
            f"{again} with --domain of this one, into another folder"
        )
