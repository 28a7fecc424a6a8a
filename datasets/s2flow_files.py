"""The data that S²-Flow's authors publish: codes (`all_latents.pickle`) and what a face API says of each face
(`all_att.pickle`). Nothing in a file is executed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.parsing.donors import FaceRecord
from utils.paths import displayed
from utils.weight_files.array_pickles import arrays_of, read_array_pickle
from utils.weight_files.refusal import RefusedFile
from utils.weights import WeightsError


def read_latents(path: str | Path) -> Tensor:
    """The codes (N, L, D) float32 under the key `Latent`, published as (N, 1, 18, 512).

    Raises:
        WeightsError: no such file, damaged, objects in it, or no codes; names the file.
    """
    values, size = _entry(path, "Latent")
    try:
        tensors = arrays_of(values if isinstance(values, list) else [values], size)
        if not tensors or len({tensor.shape for tensor in tensors}) != 1:
            raise RefusedFile("holds codes of different shapes under 'Latent', or none")
        codes = tensors[0] if not isinstance(values, list) else torch.stack(tensors)
        codes = codes[:, 0] if codes.ndim == 4 and codes.shape[1] == 1 else codes
        if codes.ndim != 3 or not codes.is_floating_point():
            raise RefusedFile(f"holds no codes (N, 1, styles, width) under 'Latent', but {tuple(codes.shape)}")
    except RefusedFile as error:
        raise WeightsError(f"{displayed(path)}: {error}") from None
    return codes.float()


def read_records(path: str | Path) -> list[FaceRecord]:
    """What is known of each face, in the order of the codes: the first entry under the key `Attribute`.

    A face without a record has one that knows nothing, so that the others keep their places.

    Raises:
        WeightsError: no such file, damaged, objects in it, or no records; names the file.
    """
    values, _ = _entry(path, "Attribute")
    first = values[0] if isinstance(values, list | tuple) and values else None
    if not isinstance(first, list | tuple):
        raise WeightsError(f"{displayed(path)}: holds no list of face records as the first entry of 'Attribute'")
    return [FaceRecord.of(record) for record in first]


def _entry(path: str | Path, key: str) -> tuple[Any, int]:
    """A value of the dict in a pickle, and the bytes of the file."""
    content, size = read_array_pickle(path)
    if not isinstance(content, Mapping) or key not in content:
        raise WeightsError(f"{displayed(path)}: has no entry '{key}'")
    return content[key], size
