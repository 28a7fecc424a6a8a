"""What an edit costs."""

from __future__ import annotations

import time

import numpy as np

from models.domain import Domain
from models.editors.base import AttributeEditor
from models.editors.targets import Flip, resolve_targets
from models.evaluation.faces import Decomposition, TestSet


def seconds_an_edit(
    editor: AttributeEditor, domain: Domain, faces: TestSet, before: Decomposition, count: int = 16, rounds: int = 3
) -> float:
    """Seconds of one edit of one face in a batch, code to code, without synthesis or estimate; median over rounds."""
    latent, condition = (rows[:count].to(domain.device) for rows in (faces.latent, before.condition))
    target = resolve_targets(condition, {editor.attributes[0]: Flip()}, editor.attributes)
    taken = []
    for _ in range(rounds + 1):  # the first one warms up
        began = time.perf_counter()
        editor.move(editor.prepare(latent, condition), condition, target)
        taken.append((time.perf_counter() - began) / len(latent))
    return float(np.median(taken[1:]))
