"""Distance of pictures to the drawn truth, which drawn faces alone have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.domain import Domain
from models.evaluation.curves import Outcomes, at_crossing, crossing, curves
from models.evaluation.faces import TestSet, in_batches


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


def counterfactual_report(
    results: Mapping[str, Mapping[str, Outcomes]], faces: TestSet, domain: Domain
) -> dict[str, Any]:
    """For JSON: distance to the drawn truth of edits at 95 % average accuracy and of no edit at all.

    Args:
        results: editor → reference → outcomes.
    Returns:
        Nothing (an empty dictionary) where there is no drawn truth.
    """
    if faces.counterfactual is None:
        return {}
    no_edit, ceilings = distances_unedited(faces), identity_ceilings(domain, faces)
    report: dict[str, Any] = {
        "unit": "root mean square pixel difference, range 0 to 1",
        "identity ceiling (drawn face to its drawn counterfactual)": {
            **dict(zip(domain.attributes, ceilings, strict=True)), "mean": float(np.mean(ceilings))
        },
        "no edit (inversion)": dict(zip(domain.attributes, no_edit.mean(1).tolist(), strict=True)),
    }  # fmt: skip
    for name, references in results.items():
        outcomes = references["inversion"]
        average = curves(outcomes)["average"].flipped.mean(1)
        place = crossing(average, 0.95) or (int(average.argmax()), 1.0)
        assert outcomes.distance is not None
        values = np.asarray(at_crossing(outcomes.distance.mean(2).T, place))
        label = f"{name} at {100 * min(0.95, float(average.max())):.1f} % average accuracy"
        report[label] = dict(zip(domain.attributes, values.tolist(), strict=True))
    return report
