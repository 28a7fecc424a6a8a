"""Files of `torch.save`, the zip format (since 1.6) and the legacy one, and the pickles of NVlabs' StyleGAN2."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from typing import Any

import torch

from utils.weight_files.names import STORAGE_NAMES, TORCH_NAMES, network_class, nvlabs_names
from utils.weight_files.refusal import RefusedFile, shown
from utils.weight_files.restricted_pickle import Budget, Builder, PickleReader
from utils.weight_files.stored_tensor import Storage
from utils.weight_files.zip_archive import Entry, zip_entries

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of a legacy file
_LEGACY_VERSION = 1001


def read_zip(data: memoryview) -> Any:
    """Content of a zip file of `torch.save`; its tensors as `StoredTensor`, NVlabs' modules as `PersistentModule`, a
    whole network as `WholeModule`.

    Raises:
        RefusedFile: damaged, no weight file, or not safe to read.
    """
    entries = zip_entries(data)
    (root,) = (name.removesuffix("/data.pkl") for name in entries if re.fullmatch(r"[^/]+/data\.pkl", name))
    order = entries.get(f"{root}/byteorder")
    if order is not None and bytes(order.data[:8]) != b"little":
        raise RefusedFile("its numbers are not little-endian; save it again on another machine")
    storages: dict[str, Storage] = {}

    def persistent(record: Any) -> Storage:
        dtype, key, count = _storage_record(record)
        if key not in storages:
            entry = entries.get(f"{root}/data/{key}", Entry(memoryview(b""), 0))
            storages[key] = Storage(dtype, count, entry.data, entry.checksum)
        return _same(storages[key], dtype, count)

    pickled = entries[f"{root}/data.pkl"].checked()
    return PickleReader(pickled, 0, TORCH_NAMES, persistent, network=network_class).read()


def read_legacy(data: memoryview, budget: Budget | None = None, storage_only: bool = False) -> Any:
    """Content of a legacy file: pickles of magic number, version, machine, content and storage keys, then numbers.

    Args:
        storage_only: the content is one storage, as it stands inside other pickles.
    Raises:
        RefusedFile: damaged, no weight file, or not safe to read.
    """
    budget = budget or Budget()
    storages: dict[str, Storage] = {}

    def persistent(record: Any) -> Any:
        if isinstance(record, tuple) and len(record) == 4 and isinstance(record[1], Builder):
            return record[1]  # ('module', class, file, program): torch.save keeps the program of a network's class
        dtype, key, count = _storage_record(record)
        if key not in storages:
            storages[key] = Storage(dtype, count)
        return _same(storages[key], dtype, count)

    def pickle(position: int, names: Any = None) -> tuple[Any, int]:
        whole = network_class if names is TORCH_NAMES else None
        reader = PickleReader(data, position, names, persistent if names else None, budget, whole)
        return reader.read(), reader.position

    magic, position = pickle(0)
    version, position = pickle(position)
    if type(magic) is not int or magic != LEGACY_MAGIC or type(version) is not int or version != _LEGACY_VERSION:
        raise RefusedFile("is not a file of torch.save")
    machine, position = pickle(position)
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise RefusedFile("its numbers are not little-endian; save it again on another machine")
    content, position = pickle(position, STORAGE_NAMES if storage_only else TORCH_NAMES)
    keys, position = pickle(position)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise RefusedFile("is damaged: the list of its storages cannot be read")
    _place(storages, keys, data, position)
    return content


def read_nvlabs(data: memoryview, more_names: Mapping[str, Any] | None = None, budget: Budget | None = None) -> Any:
    """Content of a pickle of NVlabs' training code; its modules as `PersistentModule`, its tensors as `StoredTensor`.

    Args:
        more_names: that the pickle may refer to, see `PickleReader`.
    Raises:
        RefusedFile: damaged, no weight file, or not safe to read.
    """
    budget = budget or Budget()

    def load_from_bytes(piece: Any) -> Storage:
        if isinstance(piece, bytes):  # in protocol 2 they come from text
            piece = memoryview(bytearray(piece))
        if not isinstance(piece, memoryview):
            raise RefusedFile("a tensor's numbers in its pickle are no bytes")
        storage = read_legacy(piece, budget, storage_only=True)
        if not isinstance(storage, Storage):
            raise RefusedFile("a tensor's numbers in its pickle are something else")
        return storage

    names = {**nvlabs_names(load_from_bytes), **(more_names or {})}
    return PickleReader(data, 0, names, budget=budget).read()


def _storage_record(record: Any) -> tuple[torch.dtype, str, int]:
    """Type, key and length in `('storage', type, key, device, length[, view])`."""
    if (
        not isinstance(record, tuple)
        or len(record) not in (5, 6)
        or not isinstance(record[0], str)
        or record[0] != "storage"
        or not isinstance(record[1], torch.dtype)
        or not isinstance(record[2], str)
    ):
        raise RefusedFile("a tensor's storage is not recorded as torch.save does it")
    if len(record) == 6 and record[5] is not None:
        raise RefusedFile("a tensor's storage is a view of another, which only PyTorch before 0.4 wrote")
    if type(record[4]) is not int:
        raise RefusedFile("a tensor's storage has no size")
    return record[1], record[2], record[4]


def _same(storage: Storage, dtype: torch.dtype, count: int) -> Storage:
    if storage.dtype != dtype or storage.count != count:
        raise RefusedFile("one storage is recorded with two types or sizes")
    return storage


def _place(storages: dict[str, Storage], keys: list[str], data: memoryview, position: int) -> None:
    """Find the numbers of all storages behind the pickles: a count and the bytes of each, in the order of the keys."""
    for key in keys:
        if key not in storages:
            raise RefusedFile(f"has numbers of a storage '{shown(key)}' that no tensor uses")
        storage = storages[key]
        if position + 8 > len(data):
            raise RefusedFile("is torn: the numbers of its tensors end too soon; fetch the file again")
        (count,) = struct.unpack_from("<q", data, position)
        position += 8
        if count != storage.count or position + storage.size > len(data):
            raise RefusedFile("is torn: the numbers of its tensors end too soon; fetch the file again")
        storage.place(data[position : position + storage.size])
        position += storage.size
