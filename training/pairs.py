"""Pairs of a drawn face and the numbers that it was drawn from, as a generator and an encoder learn from them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from training.method import Batch
from utils.config import ConfigError


def normals_of(batch: Batch, count: int | None = None) -> Tensor:
    """The independent standard normal numbers (B, N) that the faces of a batch were drawn from.

    Args:
        count: N as the method's `drawn_normals` says.
    Raises:
        ConfigError: the data do not give them, or give another number of them.
    """
    if "normals" not in batch:
        raise ConfigError("data: pairs need the numbers that faces were drawn from; set normals: true")
    given = batch["normals"].shape[1]
    if count not in (None, given):
        raise ConfigError(f"method.drawn_normals: is {count}, but the data give {given} numbers a face")
    return batch["normals"]


def drawn_z(batch: Batch, style_dim: int, count: int | None = None) -> Tensor:
    """z (B, style_dim) that begins with the drawn normals; the other numbers are random and mean nothing.

    Raises:
        ConfigError: as `normals_of`.
    """
    normals = normals_of(batch, count)
    others = torch.randn(len(normals), style_dim - normals.shape[1], device=normals.device)
    return torch.cat([normals, others], dim=1)


def shares_of_numbers(generator: Any, count: int, samples: int = 8192) -> Tensor:
    """Share (count,) of the variance of w that depends linearly on each of the first `count` numbers of z."""
    z = torch.randn(samples, generator.style_dim, generator=torch.Generator().manual_seed(0))
    z = z.to(generator.input.input.device)
    w = generator.mapping(z)
    centred = w - w.mean(0)
    covariance = z[:, :count].T @ centred / samples
    shares: Tensor = covariance.square().sum(1) / centred.square().mean(0).sum()
    return shares


@torch.no_grad()
def begin_with_numbers(generator: Any, count: int, least_share: float = 0.0) -> None:
    """The mapping starts from the first `count` numbers of z alone, at their full strength; to learn that is slow.

    Applied again it changes nothing but the numbers whose share has fallen below `least_share`.

    Args:
        least_share: numbers that move w less than this share of its variance are made to move it about so much.
    """
    weight = generator.style[1].weight  # 0 normalises z
    norm = weight.norm()
    weight[:, count:] = 0
    weight *= norm / weight.norm()
    if not least_share:
        return
    for _ in range(3):  # the other layers are not linear
        shares = shares_of_numbers(generator, count)
        weight[:, :count] *= (least_share / shares).sqrt().clamp(1, 4)
