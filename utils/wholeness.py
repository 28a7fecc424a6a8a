"""Is a file a whole weight file? What its first and last bytes tell, without reading a tensor or running anything."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import IO

from utils.web_pages import is_page, read_page

_ZIP, _PICKLE, _LFS = b"PK\x03\x04", b"\x80", b"version https://git-lfs.github.com/"
_HEADER_LIMIT = 100_000_000  # bytes; safetensors allows no longer header


def damage(path: Path) -> str | None:
    """Why `path` cannot be a whole weight file, as the end of a sentence; nothing where it may be one.

    Known are PyTorch's zip archives (whose table of contents stands at the end), pickles (NVlabs' and PyTorch's older
    ones: only their beginning is known) and safetensors (whose header has the length of the rest).

    Raises:
        OSError: the file cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        head = stream.read(4096)
        if not head:
            return "is empty"
        if is_page("", head):
            return f"is a web page{read_page(head).called()}, not weights"
        if head.startswith(_LFS):
            return "is a Git LFS pointer, not the weights that it points to"
        if head.startswith(_ZIP):
            return None if zipfile.is_zipfile(stream) else "is cut short: the end of the archive is missing"
        if head.startswith(_PICKLE):
            return None
        if head[8:9] == b"{":
            return _safetensors_damage(stream, size)
    return f"is in none of the formats of weight files (it begins with {head[:12]!r})"


def _safetensors_damage(stream: IO[bytes], size: int) -> str | None:
    stream.seek(0)
    length = int.from_bytes(stream.read(8), "little")
    if length > min(size, _HEADER_LIMIT):
        return "is cut short or no safetensors file: its header does not fit"
    try:
        header = json.loads(stream.read(length))
        ends = [int(entry["data_offsets"][1]) for key, entry in header.items() if key != "__metadata__"]
    except (ValueError, LookupError, TypeError, AttributeError):
        return "is no safetensors file: its header cannot be read"
    wanted = 8 + length + max(ends, default=0)
    return None if size == wanted else f"has {size:,} bytes where its header says {wanted:,}"
