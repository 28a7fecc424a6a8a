"""A weight file of any known format, recognised by its first bytes and read into tensors and plain values."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from utils.checkpoints.refusal import RefusedFile
from utils.checkpoints.torch_files import read_legacy, read_nvlabs, read_zip
from utils.paths import displayed
from utils.weights import WeightsError, load_weights

SAFETENSORS, TORCH_ZIP, TORCH_LEGACY, NVLABS = "safetensors", "PyTorch zip", "PyTorch legacy", "NVlabs pickle"
_LEGACY_START = bytes.fromhex("80028a0a6cfc9c46f9206aa850192e")  # the whole first pickle: protocol 2, the magic number
# Files that come in place of weights, by how they begin.
_MISTAKEN = (
    (b"<", "is a web page, not a weight file: the download was refused or asked for a confirmation; fetch it again"),
    (b"\x1f\x8b", "is packed with gzip; unpack it first"),
    (b"\x89HDF", "is an HDF5 file (Keras); only PyTorch and safetensors files are read"),
    (b"version https://git-lfs", "is a Git LFS pointer, not the file itself; run 'git lfs pull' where it came from"),
)


@dataclass
class Checkpoint:
    """What a weight file holds.

    Attributes:
        format: one of the constants above.
        content: nested dicts and lists; tensors are `StoredTensor` (or tensors, for safetensors), modules of an NVlabs
            pickle `PersistentModule`.
        metadata: this project's own, of a safetensors file.
        size: bytes of the file.
    """

    path: Path
    format: str
    content: Any
    size: int
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def is_own(self) -> bool:
        """This project wrote the file, and not as the copy of another project's, which names the kind of network."""
        return self.format == SAFETENSORS and not isinstance(self.metadata.get("network"), str)


def read_checkpoint(path: str | Path, hint: str = "") -> Checkpoint:
    """Read a weight file without running anything that it contains.

    Tensors stay in the file until they are used, so the memory that this takes is that of the pickle.

    Args:
        hint: what to do when the file is missing (a command that makes or fetches it).
    Raises:
        WeightsError: missing, damaged, of no known format or not safe to read; one sentence that names the file.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"{displayed(path)}: no such weight file{'; ' + hint if hint else ''}")
    try:
        data = _mapped(path)
        kind, reader = _recognised(data)
        if reader is not None:
            return Checkpoint(path, kind, reader(data), len(data))
    except RefusedFile as error:
        raise WeightsError(f"{displayed(path)}: {error}") from None
    except OSError as error:
        raise WeightsError(f"{displayed(path)}: cannot be read: {error.strerror or error}") from None
    state, metadata = load_weights(path)
    return Checkpoint(path, SAFETENSORS, state, len(data), metadata)


def _mapped(path: Path) -> memoryview:
    """The file's bytes; written to, they change in memory alone."""
    with path.open("rb") as stream:
        if not path.stat().st_size:
            raise RefusedFile("is empty")
        return memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY))


def _recognised(data: memoryview) -> tuple[str, Callable[[memoryview], Any] | None]:
    """Format and reader; none for safetensors, which its own library reads."""
    start = bytes(data[:64])
    if start.startswith(b"PK\x03\x04"):
        return TORCH_ZIP, read_zip
    if start.startswith(_LEGACY_START):
        return TORCH_LEGACY, read_legacy
    # Safetensors begin with the length of their header, whose first byte may be a pickle's.
    header = start[8:9] == b"{"
    if start.startswith(b"\x80") and not (header and int.from_bytes(start[:8], "little") <= len(data) - 8):
        return NVLABS, read_nvlabs
    if header:
        return SAFETENSORS, None
    for beginning, reason in _MISTAKEN:
        if start.lstrip().startswith(beginning):
            raise RefusedFile(reason)
    raise RefusedFile("is no weight file of a known format (safetensors, PyTorch's .pt and .pth, NVlabs' .pkl)")
