"""Pictures of exchanged identities beside the truth."""

from __future__ import annotations

from pathlib import Path

from models.domain import Domain
from models.editors.base import Editor
from models.evaluation.identities.faces import SwapTestSet
from models.evaluation.identities.readings import inverted, joined, vectors
from utils.images import to_pillow
from utils.sheets import SheetWriter

_SHOWN = 8


def swap_sheet(editor: Editor, domain: Domain, test: SwapTestSet, folder: Path) -> None:
    """`sheet.png`: A, B, the hybrid and, where it is known, the truth, of the first pairs."""
    count = min(_SHOWN, len(test))
    scene, person = test.scene[:count], test.person[:count]
    identity, (own, attribute) = vectors(editor, domain, person)[0], vectors(editor, domain, scene)
    columns = {
        "A,whose identity": person,
        "B,all else": scene,
        "hybrid": joined(editor, domain, identity, attribute),
    }
    if test.truth is not None:
        columns |= {"truth,as drawn": test.truth[:count]}
        if domain.has("encoder"):
            columns |= {"truth,inverted": inverted(domain, test.truth[:count])}
    columns |= {"B again,own identity": joined(editor, domain, own, attribute)}
    writer = SheetWriter(folder, list(columns), rows=count, cell=(128, 256))
    for row in range(count):
        writer.add("", [to_pillow(images[row]) for images in columns.values()])
    writer.flush()
    writer.remove_older()
