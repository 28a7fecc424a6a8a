"""Pairs of a drawn face and the numbers that it was drawn from, as a generator and an encoder learn from them."""

from __future__ import annotations

import torch
from torch import Tensor

from training.method import Batch
from utils.config import ConfigError


def normals_of(batch: Batch) -> Tensor:
    """The independent standard normal numbers (B, N) that the faces of a batch were drawn from.

    Raises:
        ConfigError: the data do not give them.
    """
    if "normals" not in batch:
        raise ConfigError("data: pairs need the numbers that faces were drawn from; set normals: true")
    return batch["normals"]


def drawn_z(batch: Batch, style_dim: int) -> Tensor:
    """z (B, style_dim) that begins with the drawn normals; the other numbers are random and mean nothing.

    Raises:
        ConfigError: the data do not give them.
    """
    normals = normals_of(batch)
    others = torch.randn(len(normals), style_dim - normals.shape[1], device=normals.device)
    return torch.cat([normals, others], dim=1)
