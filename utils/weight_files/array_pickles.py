"""Pickles of data: numbers, texts and records, NumPy arrays and tensors, read without running anything in them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from utils.paths import displayed
from utils.weight_files.formats import mapped
from utils.weight_files.names import NumberType
from utils.weight_files.refusal import RefusedFile
from utils.weight_files.restricted_pickle import Budget, Builder, Restored
from utils.weight_files.stored_tensor import AnyTensor, Storage, StoredTensor, read_tensors
from utils.weight_files.torch_files import read_nvlabs
from utils.weights import WeightsError, existing

_OPERATIONS = 20_000_000  # 10,000 records of a face API take some three million
_TYPES = {
    "f8": torch.float64, "f4": torch.float32, "f2": torch.float16, "i8": torch.int64, "i4": torch.int32,
    "i2": torch.int16, "i1": torch.int8, "u1": torch.uint8, "b1": torch.bool,
}  # fmt: skip


@dataclass
class _Array(Restored):
    """A NumPy array; its numbers come with its state."""

    tensor: StoredTensor | None = None

    def set_state(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise RefusedFile("a NumPy array in its pickle is damaged")
        _, shape, kind, by_column, data = state
        self.tensor = _stored(shape, kind, by_column, data)


def _stored(shape: Any, kind: Any, by_column: Any, data: Any) -> StoredTensor:
    if not isinstance(kind, NumberType) or kind.code not in _TYPES or kind.order != "<":
        raise RefusedFile("a NumPy array in its pickle is of a type that is not read")
    if not isinstance(data, bytes | memoryview) or not isinstance(shape, tuple):
        raise RefusedFile("a NumPy array in its pickle is damaged")
    count, strides = 1, []
    for size in shape if by_column else shape[::-1]:
        if type(size) is not int or size < 0:
            raise RefusedFile("a NumPy array in its pickle has no shape")
        strides.append(count)
        count *= size
    numbers = memoryview(data if isinstance(data, memoryview) else bytearray(data))  # tensors may be written to
    storage = Storage(_TYPES[kind.code], count, numbers)
    return StoredTensor(storage, 0, shape, tuple(strides if by_column else strides[::-1]))


def _from_buffer(data: Any, kind: Any, shape: Any, order: Any) -> _Array:
    """As protocol 5 writes an array."""
    return _Array(_stored(shape, kind, order == "F", data))


_NAMES: dict[str, Any] = {"numpy.ndarray": "numpy.ndarray", "builtins.bytearray": Builder(lambda data: data)}
for _package in ("numpy.core", "numpy._core"):
    _NAMES[f"{_package}.multiarray._reconstruct"] = Builder(lambda *_: _Array())
    _NAMES[f"{_package}.numeric._frombuffer"] = Builder(_from_buffer)


def read_array_pickle(path: str | Path) -> tuple[Any, int]:
    """Content of a pickle, arrays as `stored_array` takes them, and the bytes of the file.

    Raises:
        WeightsError: no such file, damaged, or with anything else in it; one sentence that names the file.
    """
    path = existing(path)
    try:
        data = mapped(path)
        return read_nvlabs(data, _NAMES, Budget(_OPERATIONS)), len(data)
    except RefusedFile as error:
        raise WeightsError(f"{displayed(path)}: {error}") from None
    except OSError as error:
        raise WeightsError(f"{displayed(path)}: cannot be read: {error.strerror or error}") from None


def stored_array(value: Any) -> AnyTensor | None:
    """The array or tensor that a value of `read_array_pickle` is; None if it is none."""
    if isinstance(value, _Array):
        return value.tensor
    return value if isinstance(value, Tensor | StoredTensor) else None


def arrays_of(values: list[Any], file_size: int) -> list[Tensor]:
    """The tensors of a list of arrays.

    Raises:
        RefusedFile: one is no array, damaged, or not finite; or together they are larger than the file.
    """
    stored = {f"array {index}": stored_array(value) for index, value in enumerate(values)}
    found = {key: array for key, array in stored.items() if array is not None}
    if len(found) != len(values):
        raise RefusedFile("holds something else where arrays of numbers are expected")
    return list(read_tensors(found, file_size).values())
