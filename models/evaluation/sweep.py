"""Edits of a test set at rising strength, judged by the domain's judge and recognition network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from models.domain import Domain
from models.editors.base import AttributeEditor
from models.editors.targets import Flip, resolve_targets
from models.evaluation.counterfactual import root_mean_square
from models.evaluation.curves import Outcomes
from models.evaluation.faces import Decomposition, TestSet, decisions_of, decompose, in_batches

ENOUGH = 0.99  # average accuracy at which the strength is not raised further


@dataclass
class _Edited:
    decisions: Tensor  # (N, A)
    embedding: Tensor  # (N, E)
    distance: Tensor | None  # (N,)


class Sweep:
    """The sweep of one editor over a test set.

    Args:
        report: called with the number of edits done, for a progress bar (those done twice count once).
        before: decomposition of the faces, if it is known already.
    """

    def __init__(
        self,
        editor: AttributeEditor,
        domain: Domain,
        faces: TestSet,
        report: Callable[[int], object],
        before: Decomposition | None = None,
    ) -> None:
        self.editor, self.domain, self.faces, self.report = editor, domain, faces, report
        self.before = before or decompose(editor, faces.latent, faces.image, domain.device)

    def run(self, strengths: Sequence[float]) -> dict[str, Outcomes]:
        """Outcomes against `inversion` and against `photo`; strengths rise until 99 % accuracy, of single
        attributes on average and of all at once.

        The two references ask for the same edit wherever their decisions agree; only the other faces are edited twice.
        """
        attributes = self.domain.attributes
        sets = [[name] for name in attributes] + [list(attributes)]
        results: dict[str, list[list[_Edited]]] = {"inversion": [], "photo": []}
        used = []
        for strength in sorted(strengths):
            row: dict[str, list[_Edited]] = {name: [] for name in results}
            for names in sets:
                edited = self._edit(names, strength, self.faces.decisions["inversion"])
                row["inversion"].append(edited)
                row["photo"].append(self._again_where_decisions_differ(names, strength, edited))
            for name, columns in row.items():
                results[name].append(columns)
            used.append(float(strength))
            if min(self._accuracy(row["inversion"])) >= ENOUGH:
                break
        return {name: self._outcomes(name, rows, tuple(used)) for name, rows in results.items()}

    def _accuracy(self, row: list[_Edited]) -> tuple[float, float]:
        """Of single attributes, on average, and of all at once."""
        reference = self.faces.decisions["inversion"]
        turned = [(row[c].decisions[:, c] != reference[:, c]).float().mean() for c in range(reference.shape[1])]
        return float(torch.stack(turned).mean()), float((row[-1].decisions != reference).float().mean())

    def _edit(self, names: list[str], strength: float, decisions: Tensor, rows: Tensor | None = None) -> _Edited:
        faces, device = self.faces, self.domain.device
        chosen = torch.arange(len(faces)) if rows is None else rows
        targets = {name: Flip(strength) for name in names}
        rest, condition = self.before.rest[chosen], self.before.condition[chosen]
        target = resolve_targets(condition, targets, self.domain.attributes, decisions[chosen])

        def picture(rest: Tensor, condition: Tensor, target: Tensor) -> Tensor:
            return self.domain.synthesise(self.editor.move(rest, condition, target))

        image = in_batches(picture, rest, condition, target, device=device)
        distance = None
        if faces.counterfactual is not None and len(names) == 1:
            column = self.domain.attributes.index(names[0])
            distance = root_mean_square(image, faces.counterfactual[chosen, column])
        if rows is None:
            self.report(len(chosen))
        return _Edited(
            decisions_of(self.domain, image),
            in_batches(self.domain.identity_embedding, image, device=device),
            distance,
        )

    def _again_where_decisions_differ(self, names: list[str], strength: float, edited: _Edited) -> _Edited:
        columns = [self.domain.attributes.index(name) for name in names]
        photo, inversion = self.faces.decisions["photo"], self.faces.decisions["inversion"]
        rows = torch.nonzero((photo[:, columns] != inversion[:, columns]).any(1))[:, 0]
        if not len(rows):
            return edited
        other = self._edit(names, strength, photo, rows)
        merged = _Edited(edited.decisions.clone(), edited.embedding.clone(), edited.distance)
        merged.decisions[rows], merged.embedding[rows] = other.decisions, other.embedding
        if edited.distance is not None and other.distance is not None:
            merged.distance = edited.distance.clone()
            merged.distance[rows] = other.distance
        return merged

    def _outcomes(self, reference: str, rows: list[list[_Edited]], strengths: tuple[float, ...]) -> Outcomes:
        embedding = self.faces.embedding[reference]
        by_edit = list(zip(*rows, strict=True))  # (A + 1) × S
        decisions = np.stack([[e.decisions.numpy() for e in edit] for edit in by_edit])
        identity = np.stack([[(e.embedding * embedding).sum(1).numpy() for e in edit] for edit in by_edit])
        distance = None
        if self.faces.counterfactual is not None:
            distance = np.stack([[e.distance for e in edit] for edit in by_edit[:-1]])
        return Outcomes(
            self.domain.attributes, strengths, self.faces.decisions[reference].numpy(), decisions, identity, distance
        )


def swept(
    editor: AttributeEditor,
    domain: Domain,
    faces: TestSet,
    strengths: Sequence[float],
    name: str,
    before: Decomposition | None = None,
    quiet: bool = False,
) -> dict[str, Outcomes]:
    """Outcomes of a sweep by reference, with a progress bar that shows `name`."""
    total = len(faces) * (len(domain.attributes) + 1) * len(strengths)
    with tqdm(total=total, unit="edit", desc=f"editing with {name}", dynamic_ncols=True, disable=quiet) as bar:
        return Sweep(editor, domain, faces, bar.update, before).run(strengths)
