"""Data order as a pure function of (seed, step), so that a resumed run sees what an unbroken one would have seen."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler

from training.method import Batch, Items


def batch_indices(seed: int, size: int, batch_size: int, step: int) -> list[int]:
    """Indices of the batch of a step: epochs are permutations seeded by (seed, epoch), batches may span two epochs."""
    first = step * batch_size
    indices: list[int] = []
    while len(indices) < batch_size:
        epoch, offset = divmod(first + len(indices), size)
        order = _permutation(seed, epoch, size)
        indices.extend(order[offset : offset + batch_size - len(indices)].tolist())
    return indices


_last: tuple[tuple[int, int, int], np.ndarray] | None = None


def _permutation(seed: int, epoch: int, size: int) -> np.ndarray:
    global _last  # one epoch's order is asked for thousands of times in a row
    if _last is None or _last[0] != (seed, epoch, size):
        _last = ((seed, epoch, size), np.random.default_rng([seed, epoch]).permutation(size))
    return _last[1]


class StepBatches(Sampler[list[int]]):
    """Batches of the steps `first` … `last` − 1."""

    def __init__(self, size: int, batch_size: int, seed: int, first: int, last: int) -> None:
        self.size, self.batch_size, self.seed, self.first, self.last = size, batch_size, seed, first, last

    def __iter__(self) -> Iterator[list[int]]:
        for step in range(self.first, self.last):
            yield batch_indices(self.seed, self.size, self.batch_size, step)

    def __len__(self) -> int:
        return max(self.last - self.first, 0)


class StepLoader(DataLoader[Batch]):
    """A loader that says when the next batch is asked for that a worker process died, not in the midst of a step.

    PyTorch notices at once, by the signal SIGCHLD, and raises from its handler: half a step would be lost, and with it
    all since the last checkpoint, where the workers are killed for memory or end with the training's process group.
    """

    def __iter__(self) -> Any:
        if not hasattr(signal, "SIGCHLD") or threading.current_thread() is not threading.main_thread():
            return super().__iter__()
        handler = signal.getsignal(signal.SIGCHLD)
        batches = super().__iter__()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL if handler is None else handler)
        return batches


def step_loader(
    dataset: Items, batch_size: int, seed: int, first: int, last: int, workers: int, pin: bool
) -> DataLoader[Batch]:
    """A loader that yields one batch for each of the steps `first` … `last` − 1."""
    batches = StepBatches(len(dataset), batch_size, seed, first, last)  # type: ignore[arg-type]
    own = torch.Generator().manual_seed(seed)  # else the loader would draw from, and so disturb, the training's
    return StepLoader(dataset, batch_sampler=batches, num_workers=workers, pin_memory=pin, generator=own)
