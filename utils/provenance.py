"""Provenance of edited pictures, stored in the file: what made them, how, and from what."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from utils.files import write_atomically
from utils.photos import Photograph

SOFTWARE = "SDFlow"
_RECORD = "SDFlow"  # key of the PNG text chunk that holds the record as JSON, and first word of a JPEG's comment
_PROCESSING_SOFTWARE, _IMAGE_HISTORY = 0x000B, 0x9213  # EXIF tags of whoever changed a picture after it was taken
_ORIENTATION, _GPS = 0x0112, 0x8825
_COMPRESSION = 3  # of PNG: a third of the time of the usual 6, for files larger by a tenth
_UNREADABLE = (OSError, SyntaxError, ValueError, RecursionError, Image.DecompressionBombError)  # the last: too large
_EXIF_LIMIT = 65_000  # bytes; a JPEG's segment takes a little more


def save_marked(path: Path, picture: Image.Image, description: str, record: Mapping[str, Any]) -> None:
    """Write a PNG whose text chunks say what made it: `Software`, `Description` for people, a record for programs.

    Raises:
        OSError: it cannot be written.
    """
    mark = _text_chunks(description, record)
    write_atomically(path, lambda temporary: picture.save(temporary, "PNG", pnginfo=mark, compress_level=_COMPRESSION))


def save_marked_photograph(
    path: Path, photograph: Photograph, description: str, record: Mapping[str, Any], keep_gps: bool = False
) -> None:
    """Write a photograph as the kind of file that it was, PNG or JPEG, with its colour profile, resolution and EXIF
    data, and the mark of `save_marked` (in a JPEG: EXIF history and comment).

    Orientation is left out, since the pixels are upright; so are the thumbnail, which would show the unedited picture,
    and, without `keep_gps`, the GPS position.

    Raises:
        OSError: it cannot be written.
    """
    options: dict[str, Any] = {"exif": _exif(photograph.exif, description, keep_gps)}
    if photograph.profile:
        options["icc_profile"] = photograph.profile
    if photograph.dpi:
        options["dpi"] = photograph.dpi
    if photograph.jpeg is None:
        options |= {"format": "PNG", "pnginfo": _text_chunks(description, record), "compress_level": _COMPRESSION}
    else:
        comment = f"{_RECORD} {json.dumps(record)}".encode()
        options |= {"format": "JPEG", "comment": comment, **photograph.jpeg}
    picture = photograph.own
    if photograph.jpeg is not None and picture.mode == "RGBA":
        picture = picture.convert("RGB")
    write_atomically(path, lambda temporary: picture.save(temporary, **options))


def save_marked_animation(
    path: Path, frames: Sequence[Image.Image], description: str, record: Mapping[str, Any], seconds: float
) -> None:
    """Write an endless GIF of RGB pictures whose comment is the mark of `save_marked`.

    Args:
        seconds: that each picture is shown.
    Raises:
        OSError: it cannot be written.
    """
    comment = f"{_RECORD} {json.dumps({**record, 'description': description})}".encode()
    colours = [frame.quantize(dither=Image.Dither.FLOYDSTEINBERG) for frame in frames]
    options: dict[str, Any] = {"save_all": True, "append_images": colours[1:], "loop": 0, "comment": comment}
    options |= {"duration": round(1000 * seconds), "disposal": 1}
    write_atomically(path, lambda temporary: colours[0].save(temporary, "GIF", **options))


def _text_chunks(description: str, record: Mapping[str, Any]) -> PngInfo:
    mark = PngInfo()
    mark.add_text("Software", SOFTWARE)
    mark.add_itxt("Description", description)
    mark.add_itxt(_RECORD, json.dumps(record))
    return mark


def _exif(data: bytes, description: str, keep_gps: bool) -> bytes:
    """A photograph's EXIF data for its edited copy; only the note of the edit where the rest is too much."""
    note = "".join(character if character.isascii() else "?" for character in description)
    for source in (data, b""):
        exif = Image.Exif()
        if source:
            exif.load(source)
        for tag in (_ORIENTATION, *(() if keep_gps else (_GPS,))):
            if tag in exif:
                del exif[tag]
        history = exif.get(_IMAGE_HISTORY)
        exif[_IMAGE_HISTORY] = f"{history}; {note}" if isinstance(history, str) and history else note
        exif[_PROCESSING_SOFTWARE] = SOFTWARE
        written = exif.tobytes()
        if len(written) <= _EXIF_LIMIT:
            break
    return written


def read_mark(path: Path) -> dict[str, Any] | None:
    """The record of a whole marked picture; None for any other file."""
    try:
        with Image.open(path) as picture:
            picture.load()
            return _record(picture)
    except _UNREADABLE:
        return None


def mark_of(data: bytes) -> dict[str, Any] | None:
    """The record in the bytes of a marked picture, whose pixels are not looked at; None for any other bytes."""
    try:
        with Image.open(io.BytesIO(data)) as picture:
            return _record(picture)
    except _UNREADABLE:
        return None


def _record(picture: Image.Image) -> dict[str, Any] | None:
    text = picture.info.get(_RECORD)
    comment = picture.info.get("comment", b"")
    if text is None and isinstance(comment, bytes) and comment.startswith(f"{_RECORD} ".encode()):
        text = comment[len(_RECORD) + 1 :].decode()
    record = json.loads(text) if isinstance(text, str) else None
    return record if isinstance(record, dict) else None
