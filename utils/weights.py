"""Weights in safetensors files with JSON metadata, and strict loading that says what differs."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from utils.files import write_atomically
from utils.paths import displayed
from utils.weight_files.refusal import WeightsError, shown

_DERIVABLE = (r"(^|\.)num_batches_tracked$",)
METADATA_KEY = "sdflow"  # safetensors metadata maps text to text: one key holds everything as JSON


def save_weights(path: str | Path, state: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write tensors and metadata atomically; the tensors are stored contiguous and on the CPU."""
    tensors = {key: value.detach().cpu().contiguous().clone() for key, value in state.items()}
    header = {METADATA_KEY: json.dumps(metadata, sort_keys=True)}
    write_atomically(path, lambda temporary: save_file(tensors, temporary, metadata=header))


def load_weights(path: str | Path, hint: str = "") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and metadata of a safetensors file.

    Args:
        hint: what to do when the file is missing (a command that makes or fetches it); by default the call that
            fetches it if it is a public one.
    Raises:
        WeightsError: missing or damaged file.
    """
    path = existing(path, hint)
    try:
        with safe_open(path, framework="pt") as stream:
            header, names = stream.metadata() or {}, stream.keys()
            state = {key: stream.get_tensor(key) for key in names}
        metadata = json.loads(header.get(METADATA_KEY, "{}"))
        if not isinstance(metadata, dict):
            raise ValueError("its metadata are no record")
        return state, metadata
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"{displayed(path)}: not a whole safetensors file ({error})") from error


def existing(path: str | Path, hint: str = "") -> Path:
    """The path of a weight file, if there is one.

    Args:
        hint: as in `load_weights`.
    Raises:
        WeightsError: there is none, and how to get it.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise WeightsError(f"{displayed(path)}: is a folder, not a weight file")
        if path.is_file():
            return path
    except OSError as error:  # a folder that is closed to us, or no possible name
        raise WeightsError(f"{displayed(path)}: cannot be read: {error.strerror or error}") from error
    if not hint:
        from utils.manifest import download_hint  # only now: reading weights needs no list of public files

        hint = download_hint(path)
    raise WeightsError(f"{displayed(path)}: no such weight file{'; ' + hint if hint else ''}")


@dataclass
class Differences:
    """How a state dict differs from a network's own.

    Attributes:
        missing, surplus: keys, without those that the network can derive.
        shapes: `key is (2, 3), expected (3, 3)` for each key of another shape.
        derived: keys that the state dict lacks and that the network can derive.
    """

    missing: list[str]
    surplus: list[str]
    shapes: list[str]
    derived: list[str]

    def __str__(self) -> str:
        """The first of each, in one line; empty where nothing differs."""
        named = (("missing keys", self.missing), ("unexpected keys", self.surplus), ("other shapes", self.shapes))
        return "; ".join(f"{title}: {_first(keys)}" for title, keys in named if keys)


def _first(keys: list[str], count: int = 5) -> str:
    more = f" and {len(keys) - count} more" if len(keys) > count else ""
    return ", ".join(shown(key) for key in keys[:count]) + more


def key_differences(module: nn.Module, state: Mapping[str, Tensor]) -> Differences:
    """What a state dict lacks, has too much or has in another shape.

    A network names the keys that it can do without as regexes in `derivable`; the counters of batch norms are such for
    every network, since only a training without momentum reads them.
    """
    patterns = [re.compile(pattern) for pattern in (*getattr(module, "derivable", ()), *_DERIVABLE)]

    def counts(key: str) -> bool:
        return not any(pattern.search(key) for pattern in patterns)

    own = module.state_dict()
    absent = [key for key in own if key not in state]
    shapes = [
        f"{key} is {tuple(state[key].shape)}, expected {tuple(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    return Differences(
        missing=[key for key in absent if counts(key)],
        surplus=[key for key in state if key not in own and counts(key)],
        shapes=shapes,
        derived=[key for key in absent if not counts(key)],
    )


def load_strict(module: nn.Module, state: Mapping[str, Tensor], source: str | Path = "weights") -> None:
    """Copy `state` into `module`; only what the module can derive may be missing or surplus, see `key_differences`.

    Raises:
        WeightsError: other keys differ, or shapes do; lists the first of each.
    """
    problems = str(key_differences(module, state))
    if problems:
        name = displayed(source) if isinstance(source, Path) else source
        raise WeightsError(f"{name}: does not fit {type(module).__name__}: {problems}")
    own = module.state_dict()
    module.load_state_dict({key: value for key, value in state.items() if key in own}, strict=False)


def check_finite(state: Mapping[str, Tensor], source: str | Path) -> None:
    """Refuse weights that no training that went well leaves behind; with them every result would be NaN.

    Raises:
        WeightsError: a value is not finite.
    """
    for key, value in state.items():
        # the sum takes one pass and no memory; only where it is not finite, its terms are looked at
        if value.is_floating_point() and not bool(value.sum().isfinite()) and not bool(value.isfinite().all()):
            name = displayed(source) if isinstance(source, Path) else source
            raise WeightsError(f"{name}: '{shown(key)}' holds values that are not finite; train or fetch it again")


def fingerprint(module: nn.Module) -> str:
    """Short hash of a network's weights, independent of the file format they came from."""
    digest = hashlib.sha256()
    for key, value in sorted(module.state_dict().items()):
        digest.update(key.encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def freeze(module: nn.Module) -> nn.Module:
    """Evaluation mode, and no parameter requires a gradient."""
    return module.eval().requires_grad_(False)
