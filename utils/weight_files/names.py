"""The names that weight files refer to, and what each becomes here. No other name is accepted."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from utils.weight_files.refusal import RefusedFile, shown
from utils.weight_files.restricted_pickle import Builder, Restored, checked_key
from utils.weight_files.stored_tensor import Storage, StoredTensor

_STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
_TYPES = ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")
# Code of a number in NumPy's records and in struct's.
_NUMBERS = {"f8": "d", "f4": "f", "f2": "e", "i8": "q", "i4": "i", "i2": "h", "i1": "b", "b1": "?"}
_NUMBERS |= {"u8": "Q", "u4": "I", "u2": "H", "u1": "B"}


class Attributes(dict[Any, Any], Restored):
    """An object of which only the attributes are wanted (`argparse.Namespace`, `EasyDict`)."""

    def set_state(self, state: Any) -> None:
        if state is not None and not isinstance(state, dict):
            raise RefusedFile("its pickle hands an object attributes that are none")
        self.update(state or {})


@dataclass
class NumberType(Restored):
    """`numpy.dtype` of a scalar."""

    code: str
    order: str = "<"

    def set_state(self, state: Any) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        if order not in ("<", ">", "|"):
            raise RefusedFile("a NumPy number has no byte order")
        self.order = "<" if order == "|" else order


@dataclass
class PersistentModule:
    """A module as NVlabs records it: its class's name and its attributes. Its source code is left where it is."""

    class_name: str
    attributes: dict[Any, Any] = field(default_factory=dict)


class WholeModule(PersistentModule, Restored):
    """A module as Python pickles it: its class's name and its attributes. Its program is neither needed nor here."""

    def set_state(self, state: Any) -> None:
        if not isinstance(state, dict) or "_parameters" not in state:
            raise RefusedFile(f"holds an object of class '{self.class_name}', which is no network and not read here")
        self.attributes = state


def network_class(name: str) -> Builder:
    """What stands for the class of a module."""
    return Builder(lambda: WholeModule(shown(name)))


def _ordered_dict(pairs: Any = ()) -> dict[Any, Any]:
    """Empty, or filled as Python 2 wrote it."""
    if not isinstance(pairs, list | tuple) or any(not isinstance(pair, list | tuple) for pair in pairs):
        raise RefusedFile("its pickle fills a dict in a way that no writer uses")
    return {checked_key(key): value for key, value in pairs}


def _set(items: Any = ()) -> set[Any]:
    if not isinstance(items, list | tuple):
        raise RefusedFile("its pickle fills a set in a way that no writer uses")
    return {checked_key(item) for item in items}


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> StoredTensor:
    if not isinstance(storage, Storage) or not isinstance(shape, tuple) or not isinstance(stride, tuple):
        raise RefusedFile("a tensor of its pickle is made of something else than numbers and a shape")
    return StoredTensor(storage, offset, shape, stride)


def _parameter(tensor: Any, *_: Any) -> StoredTensor:
    if not isinstance(tensor, StoredTensor):
        raise RefusedFile("a parameter of its pickle is no tensor")
    return tensor


def _shape(sizes: Any = ()) -> tuple[int, ...]:
    if not isinstance(sizes, list | tuple) or not all(type(size) is int for size in sizes):
        raise RefusedFile("a shape in its pickle is no shape")
    return tuple(sizes)


def _device(*words: Any) -> str:
    return ":".join(shown(word) for word in words if isinstance(word, str | int))


def _encoded(text: Any, encoding: Any) -> bytes:
    """Python 3 writes bytes so in protocol 2."""
    if not isinstance(text, str) or encoding != "latin1":
        raise RefusedFile("its pickle encodes text in a way that no writer uses")
    return text.encode("latin-1")


def _number_type(code: Any, *_: Any) -> NumberType:
    if not isinstance(code, str) or code not in _NUMBERS:
        raise RefusedFile(f"holds NumPy values of type '{shown(code)}', which are no plain numbers")
    return NumberType(code)


def _number(kind: Any, data: Any) -> float | int | bool:
    if not isinstance(kind, NumberType) or not isinstance(data, bytes | memoryview):
        raise RefusedFile("a NumPy number in its pickle is damaged")
    form = kind.order + _NUMBERS[kind.code]
    if len(data) != struct.calcsize(form):
        raise RefusedFile("a NumPy number in its pickle is damaged")
    return struct.unpack(form, data)[0]


def _persistent_module(record: Any) -> PersistentModule:
    if not isinstance(record, dict) or record.get("type") != "class" or not isinstance(record.get("state"), dict):
        raise RefusedFile("a module of its pickle is not recorded as NVlabs' persistence does it")
    if record.get("version") != 6:
        raise RefusedFile(f"its modules are recorded in version {shown(record.get('version'))}; version 6 is known")
    return PersistentModule(shown(record.get("class_name")), record["state"])


def _plain(*_: Any) -> Attributes:
    return Attributes()


STORAGE_NAMES: Mapping[str, Any] = {f"torch.{name}": dtype for name, dtype in _STORAGES.items()}
_TENSORS: Mapping[str, Any] = {
    "collections.OrderedDict": Builder(_ordered_dict),
    "torch._utils._rebuild_tensor_v2": Builder(_tensor),
    "torch._utils._rebuild_parameter": Builder(_parameter),
    "torch.Size": Builder(_shape),
    "torch.device": Builder(_device),
    **STORAGE_NAMES,
    **{f"torch.{name}": f"torch.{name}" for name in _TYPES},
}
_SETTINGS: Mapping[str, Any] = {
    "argparse.Namespace": Builder(_plain),
    "_codecs.encode": Builder(_encoded),
    "numpy.dtype": Builder(_number_type),
    "numpy.core.multiarray.scalar": Builder(_number),
    "numpy._core.multiarray.scalar": Builder(_number),
    "builtins.set": Builder(_set),
    "__builtin__.set": Builder(_set),
}
# Modules of NVlabs' training code: in its own pickles and, tuned for one picture, in files of torch.save.
_MODULES: Mapping[str, Any] = {
    "torch_utils.persistence._reconstruct_persistent_obj": Builder(_persistent_module),
    "dnnlib.util.EasyDict": Builder(_plain),
}
TORCH_NAMES: Mapping[str, Any] = {**_TENSORS, **_SETTINGS, **_MODULES}


def nvlabs_names(load_from_bytes: Callable[[Any], Storage]) -> Mapping[str, Any]:
    """The names of an NVlabs pickle.

    Args:
        load_from_bytes: reads the legacy file of one storage that stands inside the pickle.
    """
    return {**TORCH_NAMES, "torch.storage._load_from_bytes": Builder(load_from_bytes)}
