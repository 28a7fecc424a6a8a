"""Pictures that say of themselves that they were edited, how, and from what."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from utils.files import write_atomically

SOFTWARE = "SDFlow"
_RECORD = "SDFlow"  # key of the PNG text chunk that holds the record as JSON


def save_marked(path: Path, picture: Image.Image, description: str, record: Mapping[str, Any]) -> None:
    """Write a PNG whose text chunks say what made it: `Software`, `Description` for people, a record for programs.

    Raises:
        OSError: it cannot be written.
    """
    mark = PngInfo()
    mark.add_text("Software", SOFTWARE)
    mark.add_itxt("Description", description)
    mark.add_itxt(_RECORD, json.dumps(record))
    write_atomically(path, lambda temporary: picture.save(temporary, "PNG", pnginfo=mark))


def read_mark(path: Path) -> dict[str, Any] | None:
    """The record of a whole marked PNG; None for any other file."""
    try:
        with Image.open(path) as picture:
            picture.load()
            record = json.loads(picture.info.get(_RECORD, "null"))
    except (OSError, SyntaxError, ValueError):
        return None
    return record if isinstance(record, dict) else None
