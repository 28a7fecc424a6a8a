"""Test sets: drawn faces with their true counterfactuals, or a folder of aligned pictures."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def images_of(dataset: object, count: int) -> Tensor:
    """The first `count` pictures (N, 3, S, S) of a data set.

    Raises:
        ValueError: it has fewer.
    """
    size = len(dataset)  # type: ignore[arg-type]
    if size < count:
        raise ValueError(f"{count} faces were asked for, the data set has {size}")
    return torch.stack([dataset[index]["image"] for index in range(count)])  # type: ignore[index]


def draws_counterfactuals(dataset: object) -> bool:
    """Whether the true answer to an edit can be drawn."""
    return hasattr(dataset, "counterfactual")


def counterfactuals(dataset: object, count: int, attributes: Sequence[str]) -> Tensor:
    """(N, A, 3, S, S): each face with each attribute turned to the other side, all else equal."""
    return torch.stack(
        [
            torch.stack([dataset.counterfactual(index, name) for name in attributes])  # type: ignore[attr-defined]
            for index in range(count)
        ]
    )
