"""Do edits undo each other, do they commute, and does the judge follow a rising value?"""

from __future__ import annotations

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor

from models.domain import Domain
from models.editors.base import AttributeEditor
from models.editors.targets import Flip, SetTo, resolve_targets
from models.evaluation.counterfactual import root_mean_square
from models.evaluation.faces import Decomposition, TestSet, decompose, in_batches

VALUES = (-0.2, 0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2)


def consistency(
    editor: AttributeEditor, domain: Domain, faces: TestSet, before: Decomposition, strength: float
) -> dict[str, float]:
    """For JSON: edit and edit back, two edits in either order, and how steadily the judge follows a rising value.

    Cycle: an attribute is turned and set back to the first estimate, from what is read off the edited picture; relative
    error of the code and root mean square difference of the pictures (of the full range). Order: the difference of the
    pictures of two edits made one after the other, in either order. Monotone: rank correlation of rising values with
    the judge's probability, mean over faces and attributes.

    Args:
        before: decomposition of the faces.
        strength: of the flips.
    """
    device, names, truth = domain.device, editor.attributes, faces.decisions["inversion"]

    def synthesised(latent: Tensor) -> Tensor:
        return in_batches(domain.synthesise, latent, device=device)

    def turned(start: Decomposition, name: str) -> Tensor:
        target = resolve_targets(start.condition, {name: Flip(strength)}, names, truth)
        return in_batches(editor.move, start.rest, start.condition, target, device=device)

    code_errors, cycle, steady, both = [], [], [], {}
    for column, name in enumerate(names):
        latent = turned(before, name)
        after = decompose(editor, latent, synthesised(latent), device)
        target = after.condition.clone()
        target[:, column] = before.condition[:, column]
        back = in_batches(editor.move, after.rest, after.condition, target, device=device)
        code_errors.append((back - faces.latent).flatten(1).norm(dim=1) / faces.latent.flatten(1).norm(dim=1))
        cycle.append(root_mean_square(synthesised(back), faces.inversion))
        for neighbour in (names[column - 1], names[(column + 1) % len(names)]):
            both[name, neighbour] = synthesised(turned(after, neighbour))
        seen = []
        for value in VALUES:
            target = resolve_targets(before.condition, {name: SetTo(value)}, names)
            moved = in_batches(editor.move, before.rest, before.condition, target, device=device)
            seen.append(in_batches(domain.judge_probabilities, synthesised(moved), device=device)[:, column])
        ranks = rankdata(torch.stack(seen, 1).numpy(), axis=1)
        steady.append(_correlation_with_order(ranks))
    pairs = [(name, names[(column + 1) % len(names)]) for column, name in enumerate(names)]
    order = [root_mean_square(both[name, other], both[other, name]) for name, other in pairs]
    return {
        "cycle error of the code, relative": float(torch.stack(code_errors).mean()),
        "cycle error of the picture": float(torch.stack(cycle).mean()),
        "order of two edits, difference of the pictures": float(torch.stack(order).mean()),
        "rank correlation along a sweep": float(np.mean(steady)),
    }


def _correlation_with_order(ranks: np.ndarray) -> float:
    places = np.arange(ranks.shape[1]) - (ranks.shape[1] - 1) / 2
    centred = ranks - ranks.mean(1, keepdims=True)
    spread = np.sqrt((centred**2).sum(1) * (places**2).sum())
    return float(((centred @ places) / np.maximum(spread, 1e-9)).mean())
