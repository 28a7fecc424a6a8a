"""Tensors as they lie in a file: described and checked at once, read when they are used."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from utils.weight_files.refusal import RefusedFile, shown

_MOST_DIMENSIONS = 8
# NumPy reads numbers at any address, PyTorch has types that NumPy lacks (bfloat16): bits are taken as integers.
_BIT_PATTERNS = {1: np.uint8, 2: np.int16, 4: np.int32, 8: np.int64}
_NARROWEST = 2  # bytes of a float; of narrower ones PyTorch cannot tell everywhere whether they are finite
_VIEWS = 64 * 2**20  # bytes that tensors may take beyond the file's own, for those that share numbers (expanded ones)


@dataclass
class Storage:
    """A row of numbers of one type.

    Attributes:
        count: how many.
        data: their bytes, little-endian; None until the place in the file is known.
        checksum: CRC-32 of the bytes; 0 where the file records none.
    """

    dtype: torch.dtype
    count: int
    data: memoryview | None = None
    checksum: int = 0

    def __post_init__(self) -> None:
        if type(self.count) is not int or self.count < 0:
            raise RefusedFile("a tensor's storage has no size")
        if self.data is not None:
            self.place(self.data)

    @property
    def size(self) -> int:
        """Bytes."""
        return self.count * self.dtype.itemsize

    def place(self, data: memoryview) -> None:
        """Say where the bytes lie.

        Raises:
            RefusedFile: more or fewer than the numbers take.
        """
        if len(data) != self.size:
            raise RefusedFile(f"a tensor's storage of {self.count} numbers has {len(data)} bytes, not {self.size}")
        self.data = data

    def checked(self) -> memoryview:
        """The bytes.

        Raises:
            RefusedFile: they are missing, or not those that were written.
        """
        if self.data is None:
            raise RefusedFile("a tensor's numbers are missing")
        if self.checksum and zlib.crc32(self.data) != self.checksum:
            raise RefusedFile("is damaged: a tensor's bytes do not match their checksum; fetch the file again")
        self.checksum = 0  # once is enough, however many tensors lie here
        return self.data


@dataclass(frozen=True, eq=False)
class StoredTensor:
    """A tensor that was not read yet, with those of a tensor's attributes that can be told without."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def __post_init__(self) -> None:
        numbers = (self.offset, *self.shape, *self.stride)
        if any(type(n) is not int or n < 0 for n in numbers):
            raise RefusedFile("a tensor's shape is no shape")
        if len(self.shape) != len(self.stride) or len(self.shape) > _MOST_DIMENSIONS:
            raise RefusedFile(f"a tensor of {len(self.shape)} dimensions has {len(self.stride)} strides")
        last = self.offset + sum((n - 1) * step for n, step in zip(self.shape, self.stride, strict=True))
        if last >= self.storage.count and self.count:
            raise RefusedFile(f"a tensor of shape {shown(str(self.shape))} reaches beyond its storage")

    @property
    def dtype(self) -> torch.dtype:
        """Type of the numbers."""
        return self.storage.dtype

    @property
    def count(self) -> int:
        """How many numbers."""
        count = 1
        for side in self.shape:
            count *= side
        return count

    @property
    def nbytes(self) -> int:
        """Bytes that the tensor takes on its own."""
        return self.count * self.dtype.itemsize

    def tensor(self) -> Tensor:
        """The tensor; it shares memory with the file where its numbers stand there in one row, aligned."""
        if not self.count:
            return torch.empty(self.shape, dtype=self.dtype)
        width = self.dtype.itemsize
        steps = [step * width for step in self.stride]
        array: np.ndarray = np.ndarray(
            self.shape, _BIT_PATTERNS[width], self.storage.checked(), self.offset * width, steps
        )
        if not (array.flags.c_contiguous and array.flags.aligned):
            array = array.copy()
        return torch.from_numpy(array).view(self.dtype)


AnyTensor = Tensor | StoredTensor


def read_tensors(state: Mapping[str, AnyTensor], file_size: int) -> dict[str, Tensor]:
    """The tensors of a state dict.

    Raises:
        RefusedFile: together they are larger than the file, damaged, not finite, or of a type that is not read.
    """
    total = sum(stored.nbytes for stored in state.values())
    if total > file_size + _VIEWS:
        raise RefusedFile(f"its tensors would take {total:,} bytes, the file has {file_size:,}")
    tensors = {}
    for key, stored in state.items():
        tensors[key] = tensor = stored.tensor() if isinstance(stored, StoredTensor) else stored
        if tensor.is_floating_point() and tensor.dtype.itemsize < _NARROWEST:
            raise RefusedFile(f"'{shown(key)}' is of type {tensor.dtype}, which no known weight file has")
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise RefusedFile(f"'{shown(key)}' holds values that are not finite; the file is damaged")
    return tensors
