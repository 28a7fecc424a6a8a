"""Latent codes and teacher outputs of a whole data set, computed once and memory-mapped.

They are stored in shards, each written atomically: an interrupted computation continues where it stopped. A folder of
pictures that has grown is another data set; the codes of pictures that another cache of the same networks holds are
copied from there.
"""

from __future__ import annotations

import contextlib
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
from datasets.pictures import Pictures, Prepares, check_pictures
from models.domain import Domain
from utils.config import ConfigError, as_section
from utils.files import remove_litter, write_text
from utils.paths import resolve
from utils.ranges import Between, NewFolder

PORTION = 1024  # items a file
BatchSize = Annotated[int, Between(1, 65536)]
_NETWORKS = "networks.json"  # beside the shards: what computed them


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
        self, domain: Domain, faces: dict[str, Any], cache: NewFolder = "cache/latents", batch_size: BatchSize = 32
    ) -> None:
        self.domain, self.batch_size = domain, batch_size
        section = as_section(faces, "data.faces")
        self.faces = DATASETS.build(section, domain=domain)
        if not hasattr(self.faces, "fingerprint"):
            raise ConfigError(f"{section.where('name')}: must be a data set of pictures, not '{section['name']}'")
        self.holds = (*self.faces.holds, "latent", "teacher")
        contents = [self.faces.fingerprint(), len(self.faces)]
        networks = [domain.fingerprints(("encoder", "teacher")), domain.classifier_outputs]
        self._networks = json.dumps(networks)
        described = json.dumps([contents, *networks])
        key = hashlib.sha256(described.encode()).hexdigest()[:16]
        self.folder = resolve(cache) / f"{domain.name}-{key}"
        self._columns = [domain.classifier_outputs.index(name) for name in domain.attributes]
        self._shards: list[ShardFile] = []

    def prepare(self, checked: bool = False) -> LatentCache:
        """Compute what is not stored yet, with a progress bar, and map it; returns itself.

        Args:
            checked: `check_pictures` has been called with this data set.
        Raises:
            UnreadablePictures: some of the pictures that are to be encoded cannot be read; nothing is encoded.
        """
        if not checked:
            check_pictures(self)
        if isinstance(self.faces, Prepares):
            self.faces.prepare(checked=True)
        remove_litter(self.folder)
        self._fill()
        self._shards = [ShardFile(self._path(first)) for first in self._starts()]
        for shard in self._shards:
            output_columns(shard.outputs, self.domain.attributes, shard.path)
        return self

    def numbers(self) -> tuple[Tensor, Tensor]:
        """All latent codes (N, L, D) and teacher outputs (N, A) of a prepared cache, in memory."""
        latents, teacher = (np.concatenate([shard.all(key) for shard in self._shards]) for key in ("latent", "teacher"))
        return torch.from_numpy(latents), torch.from_numpy(teacher)[:, self._columns]

    def files(self) -> list[Path]:
        """See `datasets.pictures.ReadsPictures`; what is stored was read when it was encoded."""
        missing = self._missing()
        if not missing or not isinstance(self.faces, Pictures):
            return []
        keys, earlier = self._keys(), self._earlier()
        todo = [index for first in missing for index in self._portion(first) if keys[index] not in earlier]
        files = self.faces.files()
        return list(dict.fromkeys(files[index % len(files)] for index in todo))  # mirrored items follow all others

    def unreadable(self, path: Path) -> str:
        """See `datasets.pictures.ReadsPictures`."""
        reason: str = self.faces.unreadable(path)
        return reason

    def _starts(self) -> range:
        return range(0, len(self.faces), PORTION)

    def _portion(self, first: int) -> range:
        return range(first, min(first + PORTION, len(self.faces)))

    def _path(self, first: int) -> Path:
        return shard_path(self.folder, first)

    def _missing(self) -> list[int]:
        return [first for first in self._starts() if not self._path(first).exists()]

    def _compute(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return encode_faces(self.domain, images)

    def _keys(self) -> list[str]:
        """What names each item beyond this data set; nothing where the faces are no pictures in files."""
        return self.faces.keys() if isinstance(self.faces, Pictures) else []

    def _earlier(self) -> dict[str, tuple[ShardFile, int]]:
        """Key → shard and row of all items of other caches of the same networks."""
        found: dict[str, tuple[ShardFile, int]] = {}
        for path in sorted(self.folder.parent.glob(f"*/{_NETWORKS}")) if self._keys() else []:
            with contextlib.suppress(OSError, ValueError):  # another process may be at work there
                if path.parent != self.folder and path.read_text(encoding="utf-8") == self._networks:
                    for shard in map(ShardFile, sorted(path.parent.glob("shard-*.safetensors"))):
                        found |= {name: (shard, row) for row, name in enumerate(shard.names)}
        return found

    def _fill(self) -> None:
        todo = self._missing()
        if not todo:
            return
        keys, earlier = self._keys(), self._earlier()
        write_text(self.folder / _NETWORKS, self._networks)
        total = sum(len(self._portion(first)) for first in todo)
        with tqdm(total=total, unit="face", desc="encoding faces", dynamic_ncols=True) as bar:
            for start in todo:
                portion = self._portion(start)
                rows: dict[int, tuple[Tensor, Tensor]] = {}
                for index in portion if earlier else ():
                    if keys[index] in earlier:
                        shard, row = earlier[keys[index]]
                        rows[index] = shard.row("latent", row), shard.row("teacher", row)
                bar.update(len(rows))
                new = [index for index in portion if index not in rows]
                for place in range(0, len(new), self.batch_size):
                    indices = new[place : place + self.batch_size]
                    codes, outputs = self._compute(default_collate([self.faces[i]["image"] for i in indices]))
                    rows |= dict(zip(indices, zip(codes, outputs, strict=True), strict=True))
                    bar.update(len(indices))
                latents, teacher = (torch.stack(column) for column in zip(*(rows[i] for i in portion), strict=True))
                numbers = torch.arange(portion.start, portion.stop)
                names = tuple(keys[portion.start : portion.stop])
                write_shard(
                    self._path(start), Shard(latents, teacher, numbers, self.domain.classifier_outputs, names=names)
                )

    def __getstate__(self) -> dict[str, object]:
        # Worker processes read files alone. Where nothing is stored, they load the networks that they need themselves.
        domain = Domain(self.domain.config, self.domain.device)
        domain.precision = self.domain.precision
        return {**self.__dict__, "domain": domain}

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
