"""All that is measured of an editor beyond the paper's curves, on faces that no network saw."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from models.domain import Domain
from models.editors.base import AttributeEditor
from models.editors.sdflow import SDFlowEditor
from models.evaluation.agreement import agreement
from models.evaluation.consistency import consistency
from models.evaluation.cost import seconds_an_edit
from models.evaluation.faces import TestSet, decompose
from models.evaluation.information import information
from models.evaluation.likelihood import flow_measures


def everything(
    editor: AttributeEditor,
    domain: Domain,
    faces: TestSet,
    train: tuple[Tensor, Tensor, Tensor],
    strength: float,
    seed: int = 0,
) -> dict[str, Any]:
    """For JSON: agreement with the judge, consistency and cost; information in z and likelihood where there is a flow.

    Args:
        train: codes, pictures and the judge's decisions that the probes learn from.
        strength: of the flips.
    """
    before = decompose(editor, faces.latent, faces.image, domain.device)
    result: dict[str, Any] = {
        "strength": strength,
        "agreement": agreement(editor, domain, faces, before, strength),
        "consistency": consistency(editor, domain, faces, before, strength),
        "seconds an edit": seconds_an_edit(editor, domain, faces, before),
    }
    if isinstance(editor, SDFlowEditor):
        latent, image, decisions = train
        known = decompose(editor, latent, image, domain.device)
        result["information"] = information(editor, (latent, known, decisions), faces, before, seed)
        result["flow"] = flow_measures(editor, faces.latent, before.condition)
    return result
