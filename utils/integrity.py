"""Is a file a complete weight file, and the expected one? Told by its bytes; no tensor is read and nothing is run."""

from __future__ import annotations

import hashlib
import html
import json
import re
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from utils.weight_files.foreign import other_archive, other_pickle

_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"
_HEAD = 1 << 16  # bytes of a pickle that tell what it is
_HEADER_LIMIT = 100_000_000  # bytes; safetensors allows no longer header
_PAGE_BEGINNINGS = (b"<!doctype html", b"<html", b"<head", b"<!--")
# Other files that come in place of weights, by how they begin.
_MISTAKEN = (
    (b"\x1f\x8b", "is packed with gzip; unpack it first"),
    (b"\x89HDF", "is an HDF5 file (Keras); only PyTorch and safetensors files are read"),
    (b"version https://git-lfs", "is a Git LFS pointer, not the file itself; run 'git lfs pull' where it came from"),
    (b"\x93NUMPY", "is a NumPy array (.npy); of weights only PyTorch and safetensors files are read"),
    (b"model_checkpoint_path", "is TensorFlow's list of checkpoints; only PyTorch and safetensors files are read"),
    (b"GGUF", "is a GGUF file (a language model); only PyTorch and safetensors files are read"),
    *((bytes((8, version, field)), "is an ONNX model; only PyTorch and safetensors files are read: save the network's "
       "state_dict() where it was exported") for version in range(3, 14) for field in (0x12, 0x3A)),
    (b"\x08\1\x12", "is a TensorFlow model; only PyTorch and safetensors files are read"),
    *((beginning, "is a packed archive; unpack it first")
      for beginning in (b"7z\xbc\xaf", b"Rar!", b"\xfd7zXZ", b"BZh", b"\x28\xb5\x2f\xfd")),
    *((beginning, "is a picture, not weights") for beginning in (b"\x89PNG", b"\xff\xd8\xff")),
)  # fmt: skip


@dataclass(frozen=True)
class Expected:
    """What is known of a file beforehand.

    Attributes:
        size: in bytes.
        sha256: in hexadecimal.
        said_by: who knows, for messages.
    """

    size: int | None = None
    sha256: str | None = None
    said_by: str = "the manifest"

    def difference(self, size: int, sha256: str) -> str | None:
        """How a file differs from it, as the end of a sentence; None if it does not."""
        if self.size is not None and size != self.size:
            return f"has {size:,} bytes where {self.said_by} says {self.size:,}"
        if self.sha256 is not None and sha256 != self.sha256:
            return f"has the SHA-256 {sha256} where {self.said_by} says {self.sha256}"
        return None


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def inspect(path: Path, expected: Expected) -> tuple[int, str, str | None]:
    """Size and SHA-256 of a weight file, and the reason (as the end of a sentence) if it is not the expected one.

    Raises:
        OSError: it cannot be read.
    """
    size, sha256 = path.stat().st_size, file_sha256(path)
    return size, sha256, damage(path) or expected.difference(size, sha256)


def is_safetensors(head: bytes) -> bool:
    """Whether a file that begins so is a safetensors file: JSON after its length, whatever bytes that has."""
    return head[8:9] == b"{"


def is_page(content_type: str, head: bytes) -> bool:
    """Whether something is HTML, by its declared type or by its first bytes."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return content_type.lower().startswith("text/html") or start.startswith(_PAGE_BEGINNINGS)


def page_title(page: bytes) -> str:
    """` ('its title')` for messages, at most 78 characters; empty if the page has no title."""
    found = re.search(r"<title[^>]*>([^<]*)", page.decode("utf-8", "replace"), re.IGNORECASE)
    words = " ".join(html.unescape(found.group(1)).split()) if found else ""
    title = "".join(character for character in words if character.isprintable())
    return f" ('{title[:77] + '…' if len(title) > 78 else title}')" if title else ""


def mistaken_for(head: bytes) -> str | None:
    """What a file that begins so is instead of weights, as the end of a sentence; None where that is not known."""
    if is_page("", head) or head.lstrip().startswith(b"<"):
        title = page_title(head)
        return f"is a web page{title}, not weights: the download was refused or wanted a confirmation; fetch it again"
    if head[257:262] == b"ustar":
        return "is a tar archive; unpack it first"
    return next((reason for beginning, reason in _MISTAKEN if head.startswith(beginning)), None)


def damage(path: Path) -> str | None:
    """Why `path` cannot be a complete weight file, as the end of a sentence; None where it may be one.

    Recognised are PyTorch's zip archives (the table of contents is at the end and names the pickle), pickles (of NVlabs
    and of PyTorch before 1.6: only the beginning can be checked) and safetensors (the header has the length of the
    rest).

    Raises:
        OSError: the file cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        head = stream.read(_HEAD)
        if not head:
            return "is empty"
        if is_safetensors(head):
            return _safetensors_damage(stream, size)
        if head.startswith(_ZIP):
            return _zip_damage(stream)
    if head.startswith(_PICKLE):
        return other_pickle(head)
    return mistaken_for(head) or f"is in none of the formats of weight files (it begins with {head[:12]!r})"


def _zip_damage(stream: IO[bytes]) -> str | None:
    if not zipfile.is_zipfile(stream):
        return "is cut short: the end of the archive is missing"
    try:
        with zipfile.ZipFile(stream) as archive:
            names = archive.namelist()
            other = other_archive(names)
            if other:
                return other
            with archive.open(next(name for name in names if name.endswith("/data.pkl"))) as pickled:
                return other_pickle(pickled.read(_HEAD))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, EOFError, struct.error, zlib.error):
        return "is damaged: the archive's table of contents cannot be read"


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
