"""A mask under a brush: what the browser draws it with, and how it travels between browser and server.

A mask travels as text, `FACE SIDE CLASS*COUNT CLASS*COUNT …`: a key of the face that it belongs to, and runs of pixels
of one class, row by row. A brush paints classes, not colours, so that no edge is smoothed. `#NUMBER` may follow: how
often the mask was changed, with which the browser tells what the server made of an older mask from what is new.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np

from models.editing.studio import Face
from models.parsing.palette import CLASSES, PALETTE, MaskError

SCRIPT = (Path(__file__).parent / "painter.js").read_text(encoding="utf-8")
_NUMBER = re.compile(r" #(\d{1,9})$", re.ASCII)
_RUN = re.compile(r"(\d{1,2})\*(\d{1,7})")


def template() -> str:
    """HTML of the brush."""
    classes = "".join(
        f"<button type='button' data-class='{index}' data-colour='{red},{green},{blue}' "
        f"aria-pressed='{'true' if index == 1 else 'false'}'>"
        f"<i style='background:rgb({red},{green},{blue})'></i>{name}</button>"
        for index, (name, (red, green, blue)) in enumerate(zip(CLASSES, PALETTE.tolist(), strict=True))
    )
    return (
        "<div class='sd-paint'><canvas tabindex='0' role='application' aria-label='Mask under the brush: arrow keys "
        "move, the space bar paints'></canvas><span class='sd-brush'></span></div>"
        "<div class='sd-tools'><label>Brush<input type='range' data-width min='1' max='16' value='4'></label>"
        "<label>Mask over face<input type='range' data-cover min='0' max='100' value='65'></label>"
        "<button type='button' data-undo disabled>Undo</button></div>"
        f"<div class='sd-classes' role='group' aria-label='Class that the brush paints'>{classes}</div>"
    )


def key(face: Face) -> str:
    """Tells the masks of one face from those of another."""
    return hashlib.sha256(face.picture.tobytes()).hexdigest()[:16]


def written(face: Face, mask: np.ndarray) -> str:
    """A mask (H, H) of the face as text."""
    flat = mask.ravel()
    starts = np.flatnonzero(np.diff(flat, prepend=-1 - flat[:1].astype(int)))
    counts = np.diff(starts, append=flat.size)
    runs = " ".join(f"{value}*{count}" for value, count in zip(flat[starts].tolist(), counts.tolist(), strict=True))
    return f"{key(face)} {len(mask)} {runs}"


def changed(face: Face, mask: np.ndarray, before: object) -> str:
    """A mask (H, H) of the face as text, made of the mask that the text `before` holds."""
    number = _NUMBER.search(before) if isinstance(before, str) else None
    return f"{written(face, mask)} #{int(number[1]) + 1 if number else 1}"


def read(face: Face, text: object) -> np.ndarray | None:
    """The mask (H, H) uint8 of a text; None if it is another face's, or of none.

    Raises:
        MaskError: the text is no mask.
    """
    owner, _, rest = _NUMBER.sub("", text).partition(" ") if isinstance(text, str) else ("", "", "")
    if owner != key(face):
        return None
    side, *runs = rest.split(" ")
    found = [_RUN.fullmatch(run) for run in runs]
    size = len(face.mask)
    values = np.array([int(run[1]) for run in found if run])
    counts = np.array([int(run[2]) for run in found if run])
    if not found or not all(found) or side != str(size) or counts.sum() != size**2 or values.max() >= len(CLASSES):
        raise MaskError("this is no mask of this face")
    return values.repeat(counts).astype(np.uint8).reshape(size, size)
