"""The zip container of `torch.save`: stored entries only, found through the directory at the file's end."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from utils.weight_files.foreign import other_archive
from utils.weight_files.refusal import RefusedFile, shown

_END, _END_64, _LOCATOR_64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_END_SIZE, _END_64_SIZE, _LOCATOR_SIZE, _LOCAL_SIZE, _CENTRAL_SIZE = 22, 56, 20, 30, 46
_MOST_ENTRIES = 100_000  # a training checkpoint has a few thousand tensors
_FULL_32 = 0xFFFFFFFF  # "the real number stands in the zip64 field"
_ENCRYPTED = 1


@dataclass(frozen=True)
class Entry:
    """Bytes of one file in the archive.

    Attributes:
        checksum: their CRC-32; 0 where the writer left it out, as PyTorch can be told to.
    """

    data: memoryview
    checksum: int

    def checked(self) -> memoryview:
        """The bytes.

        Raises:
            RefusedFile: they are not those that were written.
        """
        if self.checksum and zlib.crc32(self.data) != self.checksum:
            raise RefusedFile("is damaged: its bytes do not match their checksum; fetch the file again")
        return self.data


class _Record(NamedTuple):
    """What the directory says of one file; `stored`: neither compressed nor encrypted."""

    name: str
    offset: int
    size: int
    checksum: int
    stored: bool


def zip_entries(data: memoryview) -> dict[str, Entry]:
    """The entries by name; exactly one is `data.pkl` in a folder.

    `zipfile` would do the same, but reads a directory of any length, and inflates.

    Raises:
        RefusedFile: torn, damaged, compressed or encrypted, or none of `torch.save`.
    """
    try:
        return _entries(data)
    except (struct.error, UnicodeDecodeError, OverflowError):
        raise RefusedFile("is torn or damaged: its zip directory cannot be read; fetch the file again") from None


def _entries(data: memoryview) -> dict[str, Entry]:
    records = list(_records(data))
    other = other_archive([record.name for record in records])
    if other:
        raise RefusedFile(other)
    total = 0
    entries: dict[str, Entry] = {}
    for record in records:
        if not record.stored:
            raise RefusedFile(
                f"its entry '{shown(record.name)}' is compressed or encrypted, which torch.save never does; "
                f"fetch the original file"
            )
        total += record.size
        if total > len(data):  # each entry is checked as a whole: shared bytes would be summed up again and again
            raise RefusedFile("its entries overlap, which torch.save never lets them")
        if record.name in entries:
            raise RefusedFile(f"has two entries '{shown(record.name)}'")
        entries[record.name] = Entry(_content(data, record.offset, record.size, record.name), record.checksum)
    return entries


def _records(data: memoryview) -> Iterator[_Record]:
    position, count = _directory(data)
    for _ in range(count):
        header = struct.unpack_from("<4s6H3I5H2I", data, position)
        signature, _, _, flags, method, _, _, checksum, packed, size, name_length, extra, comment = header[:13]
        offset = header[16]
        if signature != b"PK\x01\x02":
            raise RefusedFile("is torn or damaged: its zip directory cannot be read; fetch the file again")
        position += _CENTRAL_SIZE
        name = bytes(data[position : position + name_length]).decode("utf-8")
        fields = data[position + name_length : position + name_length + extra]
        position += name_length + extra + comment
        size, packed, offset = _zip64(fields, size, packed, offset)
        yield _Record(name, offset, size, checksum, method == 0 and packed == size and not flags & _ENCRYPTED)


def _directory(data: memoryview) -> tuple[int, int]:
    """Where the directory begins, and how many entries it has."""
    end = len(data) - _END_SIZE
    if end < 0 or bytes(data[end : end + 4]) != _END:
        raise RefusedFile("is torn: the zip directory at its end is missing; fetch the file again")
    _, _, _, _, count, _, start, _ = struct.unpack_from("<4s4H2IH", data, end)
    locator = end - _LOCATOR_SIZE
    if locator >= 0 and bytes(data[locator : locator + 4]) == _LOCATOR_64:
        (place,) = struct.unpack_from("<Q", data, locator + 8)
        if place > locator - _END_64_SIZE or bytes(data[place : place + 4]) != _END_64:
            raise RefusedFile("is torn or damaged: its zip directory cannot be read; fetch the file again")
        (count,), (start,) = struct.unpack_from("<Q", data, place + 32), struct.unpack_from("<Q", data, place + 48)
    if count > _MOST_ENTRIES or start + count * _CENTRAL_SIZE > len(data):
        raise RefusedFile(f"its zip directory claims {count:,} entries, more than a weight file has")
    return start, count


def _zip64(fields: memoryview, size: int, packed: int, offset: int) -> tuple[int, int, int]:
    """The three numbers, those that are too large for their place taken from the extra field."""
    position = 0
    while position + 4 <= len(fields):
        kind, length = struct.unpack_from("<2H", fields, position)
        position += 4
        if kind == 1:
            numbers = iter(struct.unpack_from(f"<{length // 8}Q", fields, position))
            size, packed, offset = (
                next(numbers, number) if number == _FULL_32 else number for number in (size, packed, offset)
            )
        position += length
    return size, packed, offset


def _content(data: memoryview, offset: int, size: int, name: str) -> memoryview:
    if bytes(data[offset : offset + 4]) != b"PK\x03\x04":
        raise RefusedFile(f"is torn or damaged: its entry '{shown(name)}' is not where it should be")
    name_length, extra = struct.unpack_from("<2H", data, offset + 26)
    start = offset + _LOCAL_SIZE + name_length + extra
    if start + size > len(data):
        raise RefusedFile(f"is torn: its entry '{shown(name)}' reaches beyond its end; fetch the file again")
    return data[start : start + size]
