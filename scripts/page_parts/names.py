"""Names of uploads, which are never trusted."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from utils.photo_files import SUFFIXES

_LIMIT = 60  # characters of a name without suffix
_FORMATS = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"RIFF": ".webp", b"BM": ".bmp", b"GIF8": ".gif"}


def safe_name(given: object, data: bytes) -> str:
    """A file name of letters, digits, `-`, `_` and spaces with the suffix of a picture, as near to the given as that
    allows.

    Args:
        data: of the file; they decide where the name has no suffix of a picture.
    """
    last = str(given).replace("\\", "/").rsplit("/", 1)[-1] if isinstance(given, str) else ""
    path = PurePosixPath(last.strip() or "photo")
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        suffix = next((known for start, known in _FORMATS.items() if data.startswith(start)), ".png")
    stem = re.sub(r"[^\w -]+", "_", path.stem).strip(" -_")[:_LIMIT].strip(" -_")
    return f"{stem or 'photo'}{suffix}"
