"""A weight file of any known format, recognised by its first bytes and read into tensors and plain values."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import safe_open

from utils.integrity import is_safetensors, mistaken_for
from utils.paths import displayed
from utils.weight_files.refusal import RefusedFile
from utils.weight_files.torch_files import read_legacy, read_nvlabs, read_zip
from utils.weights import METADATA_KEY, WeightsError, existing, load_weights

SAFETENSORS, TORCH_ZIP, TORCH_LEGACY, NVLABS = "safetensors", "PyTorch zip", "PyTorch legacy", "NVlabs pickle"
_LEGACY_START = bytes.fromhex("80028a0a6cfc9c46f9206aa850192e")  # the whole first pickle: protocol 2, the magic number


@dataclass
class Checkpoint:
    """What a weight file holds.

    Attributes:
        format: one of the constants above.
        content: nested dicts and lists; tensors are `StoredTensor` (or tensors, for safetensors), modules of an NVlabs
            pickle `PersistentModule`.
        metadata: this project's own, of a safetensors file.
        size: bytes of the file.
        has_own_metadata: it is a safetensors file with this project's metadata, though these may be empty.
    """

    path: Path
    format: str
    content: Any
    size: int
    metadata: dict[str, Any] = field(default_factory=dict)
    has_own_metadata: bool = False

    @property
    def is_own(self) -> bool:
        """This project wrote the file, and not as the copy of another project's, which names the kind of network."""
        return self.has_own_metadata and not isinstance(self.metadata.get("network"), str)


def read_checkpoint(path: str | Path, hint: str = "") -> Checkpoint:
    """Read a weight file without running anything that it contains.

    Tensors stay in the file until they are used, so the memory that this takes is that of the pickle.

    Args:
        hint: what to do when the file is missing (a command that makes or fetches it); by default the call that
            fetches it if it is a public one.
    Raises:
        WeightsError: missing, damaged, of no known format or not safe to read; one sentence that names the file.
    """
    path = existing(path, hint)
    try:
        data = mapped(path)
        kind, reader = _recognised(data)
        if reader is not None:
            return Checkpoint(path, kind, reader(data), len(data))
    except RefusedFile as error:
        raise WeightsError(f"{displayed(path)}: {error}") from None
    except OSError as error:
        raise WeightsError(f"{displayed(path)}: cannot be read: {error.strerror or error}") from None
    state, metadata = load_weights(path)
    with safe_open(path, framework="pt") as stream:
        has_own = METADATA_KEY in (stream.metadata() or {})
    return Checkpoint(path, SAFETENSORS, state, len(data), metadata, has_own)


def mapped(path: Path) -> memoryview:
    """The file's bytes; written to, they change in memory alone."""
    with path.open("rb") as stream:
        if not path.stat().st_size:
            raise RefusedFile("is empty")
        return memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY))


def _recognised(data: memoryview) -> tuple[str, Callable[[memoryview], Any] | None]:
    """Format and reader; none for safetensors, which its own library reads."""
    start = bytes(data[:4096])
    if is_safetensors(start):
        return SAFETENSORS, None
    if start.startswith(b"PK\x03\x04"):
        return TORCH_ZIP, read_zip
    if start.startswith(_LEGACY_START):
        return TORCH_LEGACY, read_legacy
    if start.startswith(b"\x80"):
        return NVLABS, read_nvlabs
    unknown = "is no weight file of a known format (safetensors, PyTorch's .pt and .pth, NVlabs' .pkl)"
    raise RefusedFile(mistaken_for(start) or unknown)
