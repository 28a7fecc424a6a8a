"""Pictures of edited faces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from models.domain import Domain
from models.editors.base import AttributeEditor, attribute_editor
from models.editors.targets import Flip
from models.evaluation.contestants import Contestant
from models.evaluation.faces import TestSet
from utils.images import grid, to_pillow
from utils.sheets import SheetWriter

_FACES, _STRENGTHS = 5, (-0.5, -0.2, 0.0, 0.2, 0.5)  # of `edits_sheet`


@torch.no_grad()
def edits_sheet(editor: AttributeEditor, domain: Domain, faces: TestSet) -> Tensor:
    """Picture (3, H, W). Rows: faces, one attribute each; columns: photo, inversion, the flip at rising strength."""
    rows = []
    for index in range(min(_FACES, len(faces))):
        name = domain.attributes[index % len(domain.attributes)]
        image, latent = faces.image[index : index + 1], faces.latent[index : index + 1]
        decisions = faces.decisions["inversion"][index : index + 1].to(domain.device)
        cells = [image, faces.inversion[index : index + 1]]
        for strength in _STRENGTHS:
            edited = editor.edit(latent.to(domain.device), image.to(domain.device), {name: Flip(strength)}, decisions)
            cells.append(domain.synthesise(edited).cpu())
        rows += cells
    return grid(torch.cat(rows), columns=2 + len(_STRENGTHS))


@torch.no_grad()
def comparison_sheet(
    contestants: Sequence[Contestant], domain: Domain, faces: TestSet, strengths: Mapping[str, float], folder: Path,
    count: int = 3,
) -> None:  # fmt: skip
    """Fig. 3 of the paper as `sheet.png`: the first faces of the set, a row each method, a column each attribute.

    Args:
        strengths: of each method's flips.
    """
    latent, image = (rows[:count].to(domain.device) for rows in (faces.latent, faces.image))
    decisions = faces.decisions["inversion"][:count].to(domain.device)
    first = {one.method: one for one in reversed(contestants)}
    names = list(domain.attributes)
    writer = SheetWriter(folder, ["photo", "inversion", *names, "all at once"], rows=count * len(first))
    rows: dict[str, list[torch.Tensor]] = {}
    for method in dict.fromkeys(one.method for one in contestants):
        columns = [faces.image, faces.inversion]
        for edit in [*([name] for name in names), names]:
            targets = {name: Flip(strengths[method]) for name in edit}
            editor = attribute_editor(first[method].editor)
            columns.append(domain.synthesise(editor.edit(latent, image, targets, decisions)).cpu())
        rows[method] = columns
    for index in range(len(image)):
        for method, columns in rows.items():
            label = f"face {index + 1}, {method}, d = {strengths[method]:.2f}"
            writer.add(label, [to_pillow(column[index]) for column in columns])
    writer.flush()
