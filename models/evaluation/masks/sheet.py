"""Pictures of mask edits beside their masks and the truth."""

from __future__ import annotations

from pathlib import Path

from PIL import Image
from torch import Tensor

from models.domain import Domain
from models.editors.base import Editor
from models.evaluation.masks.faces import MaskRequest, MaskTestSet, look
from models.evaluation.masks.readings import answer, taken_apart
from models.parsing.masks import as_image
from utils.images import to_pillow
from utils.sheets import SheetWriter

_EACH = 2  # faces of each kind of request
_SMALLEST = 128  # side of a shown picture
_STRONGER = 4  # differences are shown so many times as large


def edits_sheet(editor: Editor, domain: Domain, test: MaskTestSet, folder: Path) -> None:
    """`sheet.png`: two faces for each kind of request, with masks, edit, truth and difference."""
    titles = ["source,inverted", "mask,found in it", "target,mask", "edit", "mask,found in it"]
    if any(request.truth is not None for request in test.requests):
        titles += ["truth,as drawn", "truth,inverted"]
    titles += [f"edit less source,{_STRONGER} times"]
    rows = [
        (request, (_EACH * place + number) % len(test.faces))
        for place, request in enumerate(test.requests)
        for number in range(_EACH)
    ]
    writer = SheetWriter(folder, titles, rows=len(rows))
    for request, index in rows:
        label = request.labels[index] if request.labels else ""
        writer.add(request.kind + (f": {label}" if label else ""), _cells(editor, domain, test, request, index))
    writer.flush()
    writer.remove_older()


def _cells(editor: Editor, domain: Domain, test: MaskTestSet, request: MaskRequest, index: int) -> list[Image.Image]:
    faces, row = test.faces, slice(index, index + 1)
    one = MaskRequest(request.kind, request.target[row], request.ceiling[row])
    before = taken_apart(editor, domain, faces.latent[row], faces.image[row])
    latent = answer(editor, domain, one, before)
    assert latent is not None
    source, (edit, mask) = faces.inversion[row], look(domain, latent, faces.side)
    cells = [source, as_image(faces.found[row]), as_image(request.target[row]), edit, as_image(mask)]
    if request.truth is not None:
        cells += [request.truth[row], look(domain, one.ceiling, faces.side)[0]]
    difference = (_STRONGER * (edit - source) / 2).clamp(-1, 1)  # grey where they are equal
    return [_enlarged(cell[0]) for cell in (*cells, difference)]


def _enlarged(image: Tensor) -> Image.Image:
    """Without smoothing, so that masks stay masks."""
    times = max(1, -(-_SMALLEST // image.shape[-1]))
    picture = to_pillow(image)
    return picture.resize((times * picture.width, times * picture.height), Image.Resampling.NEAREST)
