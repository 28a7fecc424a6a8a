"""Edits of a test set at rising strength, judged by the domain's judge and recognition network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.domain import Domain
from models.editors.base import AttributeEditor
from models.editors.targets import Flip, resolve_targets
from models.evaluation.curves import Outcomes

ENOUGH = 0.99  # average accuracy at which the strength is not raised further


@dataclass
class TestSet:
    """Faces with everything that does not depend on the edit. All tensors are on the CPU, N rows each.

    Attributes:
        image: (N, 3, S, S); inversion: the same after encoding and synthesis.
        latent: (N, L, D).
        decisions, embedding: reference name (`photo`, `inversion`) → the judge's decisions (N, A) and unit vectors.
        counterfactual: (N, A, 3, S, S), the true answer to flipping each attribute, or None.
    """

    image: Tensor
    inversion: Tensor
    latent: Tensor
    decisions: dict[str, Tensor]
    embedding: dict[str, Tensor]
    counterfactual: Tensor | None = None

    def __len__(self) -> int:
        return len(self.image)


@torch.no_grad()
def in_batches(function: Callable[..., Tensor], *rows: Tensor, device: torch.device, batch_size: int = 64) -> Tensor:
    """`function` over tensors of equal length, portion by portion, result on the CPU."""
    portions = zip(*(tensor.split(batch_size) for tensor in rows), strict=True)
    return torch.cat([function(*(part.to(device) for part in portion)).cpu() for portion in portions])


def prepare(domain: Domain, image: Tensor, counterfactual: Tensor | None = None) -> TestSet:
    """Encode, invert and judge the faces (N, 3, S, S)."""
    device = domain.device
    latent = in_batches(domain.encode, image, device=device)
    inversion = in_batches(domain.synthesise, latent, device=device)
    pictures = {"photo": image, "inversion": inversion}
    decisions = {
        name: in_batches(domain.judge_probabilities, picture, device=device) > 0.5 for name, picture in pictures.items()
    }
    embedding = {
        name: in_batches(domain.identity_embedding, picture, device=device) for name, picture in pictures.items()
    }
    return TestSet(image, inversion, latent, decisions, embedding, counterfactual)


@dataclass
class _Edited:
    decisions: Tensor  # (N, A)
    embedding: Tensor  # (N, E)
    distance: Tensor | None  # (N,)


class Sweep:
    """The sweep of one editor over a test set.

    Args:
        report: called with the number of edits done, for a progress bar (those done twice count once).
    """

    def __init__(
        self, editor: AttributeEditor, domain: Domain, faces: TestSet, report: Callable[[int], object]
    ) -> None:
        self.editor, self.domain, self.faces, self.report = editor, domain, faces, report
        self.semantics = in_batches(editor.read, faces.latent, faces.image, device=domain.device)
        self.prepared = in_batches(editor.prepare, faces.latent, self.semantics, device=domain.device)

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
            row = {name: [] for name in results}  # type: ignore[var-annotated]
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
        wanted = resolve_targets(self.semantics[chosen], targets, self.domain.attributes, decisions[chosen])

        def picture(prepared: Tensor, semantics: Tensor, wish: Tensor) -> Tensor:
            return self.domain.synthesise(self.editor.move(prepared, semantics, wish))

        image = in_batches(picture, self.prepared[chosen], self.semantics[chosen], wanted, device=device)
        distance = None
        if faces.counterfactual is not None and len(names) == 1:
            column = self.domain.attributes.index(names[0])
            distance = root_mean_square(image, faces.counterfactual[chosen, column])
        if rows is None:
            self.report(len(chosen))
        return _Edited(
            in_batches(self.domain.judge_probabilities, image, device=device) > 0.5,
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


def root_mean_square(first: Tensor, second: Tensor) -> Tensor:
    """Root mean square difference (B,) of pictures (B, 3, H, W), in units of the full range 0 … 1."""
    return (first - second).square().flatten(1).mean(1).sqrt() / 2


def identity_ceilings(domain: Domain, faces: TestSet) -> list[float]:
    """Per attribute the mean cosine of a face and its drawn counterfactual: what a perfect edit keeps of the photo."""
    assert faces.counterfactual is not None
    ceilings = []
    for truth in faces.counterfactual.unbind(1):
        drawn = in_batches(domain.identity_embedding, truth, device=domain.device)
        ceilings.append(float((drawn * faces.embedding["photo"]).sum(1).mean()))
    return ceilings


def distances_unedited(faces: TestSet) -> Tensor:
    """Distance (A, N) of each face's inversion to each of its drawn counterfactuals."""
    assert faces.counterfactual is not None
    return torch.stack([root_mean_square(faces.inversion, truth) for truth in faces.counterfactual.unbind(1)])
