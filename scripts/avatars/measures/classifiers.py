"""How often judge and teacher are right about faces that they never saw."""

from __future__ import annotations

from typing import Any

import numpy as np

from models.domain import Domain
from scripts.avatars.measures.common import Sizes, by_attribute, collect, drawn
from utils.statistics import rank_correlation

AMBIGUOUS = 0.05  # of the range on either side of the threshold: continuous attributes there are left out
CONTINUOUS = ("Young", "Smiling")


def accuracy_report(domain: Domain, logits: np.ndarray, values: np.ndarray) -> dict[str, Any]:
    """Accuracy against the drawn truth, without ambiguous faces and with them, and rank correlations.

    Args:
        logits: (N, A).
        values: drawn values (N, A) in [0, 1]; the truth is value > 0.5.
    """
    right = (logits > 0) == (values > 0.5)
    clear = np.abs(values - 0.5) >= AMBIGUOUS
    return {
        "faces": len(values),
        "accuracy": by_attribute(domain, (right & clear).sum(0) / np.maximum(clear.sum(0), 1)),
        "clear_faces": {name: int(count) for name, count in zip(domain.attributes, clear.sum(0), strict=True)},
        "accuracy_all_faces": by_attribute(domain, right.mean(0)),
        "rank_correlation": {
            name: rank_correlation(logits[:, index], values[:, index])
            for index, name in enumerate(domain.attributes)
            if name in CONTINUOUS
        },
    }


def measure_classifier(domain: Domain, part: str, sizes: Sizes) -> dict[str, Any]:
    """Reports of the judge or the teacher on both kinds of held-out faces."""
    network = getattr(domain, part)
    report: dict[str, Any] = {}
    for kind, faces in (("decorrelated", sizes.decorrelated()), ("correlated", sizes.correlated())):
        title = f"{part}, {kind} faces"
        batches = drawn(faces, sizes.batch)
        found = collect(batches, len(faces), lambda image: {"logits": network(image)}, title, domain.device)
        report[kind] = accuracy_report(domain, found["logits"], found["values"])
    return report
