"""Data order as a pure function of (seed, step), so that a resumed run sees what an unbroken one would have seen."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from training.method import Batch, Items


def batch_indices(seed: int, size: int, batch_size: int, step: int, shuffle: bool = True) -> list[int]:
    """Indices of the batch of a step: epochs are permutations seeded by (seed, epoch), batches may span two epochs.

    Args:
        shuffle: where it is off, see `TrainingSettings`; fewer items than a batch has come again in it.
    """
    if not shuffle:
        first = step % max(size // batch_size, 1) * batch_size
        return [index % size for index in range(first, first + batch_size)]
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

    def __init__(self, size: int, batch_size: int, seed: int, first: int, last: int, shuffle: bool = True) -> None:
        self.size, self.batch_size, self.seed, self.first, self.last = size, batch_size, seed, first, last
        self.shuffle = shuffle

    def __iter__(self) -> Iterator[list[int]]:
        for step in range(self.first, self.last):
            yield batch_indices(self.seed, self.size, self.batch_size, step, self.shuffle)

    def __len__(self) -> int:
        return max(self.last - self.first, 0)


@dataclass(frozen=True)
class Unreadable:
    """Stands for an item, or for the batch it belongs to, that could not be read; `reason` names the file."""

    reason: str


class _Readable(Dataset[Batch | Unreadable]):
    """Items of a data set, or why one cannot be read: an error that a worker process raises becomes its traceback."""

    def __init__(self, items: Items) -> None:
        self.items = items

    def __getitem__(self, index: int) -> Batch | Unreadable:
        return read_item(self.items, index)


def read_item(items: Items, index: int) -> Batch | Unreadable:
    """An item of a data set, or what the data set says of a file that cannot be read."""
    try:
        return items[index]
    except (MemoryError, OSError, ValueError, SafetensorError) as error:
        return Unreadable(str(error) or type(error).__name__)


def collate(items: Sequence[Batch | Unreadable]) -> Batch | Unreadable:
    """A batch of the items, or the first that cannot be read."""
    unreadable = next((item for item in items if isinstance(item, Unreadable)), None)
    batch: Batch | Unreadable = default_collate(list(items)) if unreadable is None else unreadable
    return batch


def _start_worker(number: int) -> None:
    """Ctrl-C reaches all processes of a terminal: the training finishes its step and stops the workers itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class StepLoader(DataLoader[Batch | Unreadable]):
    """A loader that says when the next batch is asked for that a worker process died, not in the midst of a step.

    PyTorch notices at once, by the signal SIGCHLD, and raises from its handler: half a step would be lost, and with it
    all since the last checkpoint, where the workers are killed for memory or end with the training's process group.
    """

    def __iter__(self) -> Any:
        if not hasattr(signal, "SIGCHLD") or threading.current_thread() is not threading.main_thread():
            return super().__iter__()
        handler = signal.getsignal(signal.SIGCHLD)
        batches = super().__iter__()
        of_another_loader = getattr(handler, "__module__", "").startswith("torch.")  # of this process, before this one
        signal.signal(signal.SIGCHLD, signal.SIG_DFL if handler is None or of_another_loader else handler)
        return batches


def step_loader(
    dataset: Items, batch_size: int, seed: int, first: int, last: int, workers: int, pin: bool, shuffle: bool = True
) -> DataLoader[Batch | Unreadable]:
    """A loader that yields one batch for each of the steps `first` … `last` − 1, or why it cannot be read."""
    batches = StepBatches(len(dataset), batch_size, seed, first, last, shuffle)  # type: ignore[arg-type]
    own = torch.Generator().manual_seed(seed)  # else the loader would draw from, and so disturb, the training's
    return StepLoader(
        _Readable(dataset), batch_sampler=batches, num_workers=workers, pin_memory=pin, generator=own,
        collate_fn=collate, worker_init_fn=_start_worker,
    )  # fmt: skip
