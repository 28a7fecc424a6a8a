"""The swap's grid: identities in the first row, photographs in the first column, and each photograph with each
identity; white in the corner."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from models.editing.records import INPUT, INVERSION, Job
from models.editing.requests.base import Request
from utils.provenance import save_marked

_LONGEST = 8192  # side of a grid, in pixels


def write_identity_grid(path: Path, jobs: Sequence[Job], requests: Sequence[Request]) -> bool:
    """Write the grid of all finished faces; False where there are none.

    Args:
        requests: whose `picture` stands in the first row; white where one has none.
    Raises:
        OSError: a picture cannot be read, or the grid cannot be written.
    """
    faces = [face for job in jobs for face in job.faces if face.is_done]
    if not faces:
        return False
    with Image.open(faces[0].outputs[requests[0].label]) as first:
        side = min(first.width, _LONGEST // (1 + max(len(faces), len(requests))))
    grid = Image.new("RGB", (side * (1 + len(requests)), side * (1 + len(faces))), "white")
    for column, request in enumerate(requests, 1):
        if request.picture is not None:
            grid.paste(_cell(request.picture, side), (column * side, 0))
    for row, face in enumerate(faces, 1):
        files = [face.outputs.get(INPUT, face.outputs[INVERSION]), *(face.outputs[one.label] for one in requests)]
        for column, file in enumerate(files):
            with Image.open(file) as picture:
                grid.paste(_cell(picture.convert("RGB"), side), (column * side, row * side))
    record = {"label": "grid", "edits": {request.label: request.described() for request in requests}}
    save_marked(path, grid, "Identities exchanged with SDFlow", record)
    return True


def _cell(picture: Image.Image, side: int) -> Image.Image:
    return picture if picture.size == (side, side) else picture.resize((side, side), Image.Resampling.LANCZOS)
