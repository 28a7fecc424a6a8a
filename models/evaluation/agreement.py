"""Does an editor read off a face what the judge sees in it, also after its own edits?"""

from __future__ import annotations

from typing import Any

import numpy as np

from models.domain import Domain
from models.editors.base import AttributeEditor
from models.editors.targets import Flip, resolve_targets
from models.evaluation.faces import Decomposition, TestSet, decisions_of, in_batches


def agreement(
    editor: AttributeEditor, domain: Domain, faces: TestSet, before: Decomposition, strength: float
) -> dict[str, Any]:
    """For JSON: agreement of the editor's semantics with the judge on inversions and on edits; the difference is `gap`.

    A flow and an estimator that learn together can agree on an edit that nobody else sees.

    Args:
        before: decomposition of the faces.
        strength: of the flips, one attribute of each face at a time.
    """
    device, names = domain.device, editor.attributes
    own = in_batches(editor.read, faces.latent, faces.inversion, device=device)
    truth = faces.decisions["inversion"]
    on_faces = ((own >= 0.5) == truth).float().mean(0)
    agreed, table = [], []
    for column, name in enumerate(names):
        target = resolve_targets(before.condition, {name: Flip(strength)}, names, truth)
        latent = in_batches(editor.move, before.rest, before.condition, target, device=device)
        image = in_batches(domain.synthesise, latent, device=device)
        said = in_batches(editor.read, latent, image, device=device)[:, column]
        judged = decisions_of(domain, image)[:, column]
        agreed.append(float(((said >= 0.5) == judged).float().mean()))
        table.append(reliability(own[:, column].numpy(), truth[:, column].numpy()))
    return {
        "agreement on inversions": dict(zip(names, on_faces.tolist(), strict=True)),
        "agreement on edits": dict(zip(names, agreed, strict=True)),
        "gap": float(on_faces.mean()) - float(np.mean(agreed)),
        "reliability": dict(zip(names, table, strict=True)),
    }


def reliability(estimate: np.ndarray, truth: np.ndarray, bins: int = 10) -> list[dict[str, float]]:
    """For each bin of an estimate in [0, 1]: its mean, the share of present decisions and the number of faces."""
    place = np.clip((estimate * bins).astype(int), 0, bins - 1)
    rows = [(estimate[place == b], truth[place == b]) for b in range(bins)]
    return [{"said": float(e.mean()), "present": float(t.mean()), "faces": len(t)} for e, t in rows if len(t)]
