"""The drawn truth, which drawn faces alone have: how far edits are from it, and what a true edit itself keeps.

A true edit is measured twice. As drawn, it shows what an edit of the photo has to change. Encoded and synthesised
again, it shows what these networks leave of a true edit: every edit has gone through them. Neither is a bound. An edit
starts from the face's own code and repeats the errors of its inversion; the encoded truth has errors of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.domain import Domain
from models.evaluation.curves import (
    Curve,
    Outcomes,
    at_crossing,
    crossing,
    curves,
    interval,
    reading,
    resampling_weights,
)
from models.evaluation.faces import TestSet, decisions_of, in_batches

DRAWN, ENCODED, NO_EDIT = "true counterfactual, drawn", "true counterfactual, encoded", "no edit (inversion)"
AT = 0.95  # average accuracy at which edits are compared


def root_mean_square(first: Tensor, second: Tensor) -> Tensor:
    """Root mean square difference (B,) of pictures (B, 3, H, W), in units of the full range 0 … 1."""
    return (first - second).square().flatten(1).mean(1).sqrt() / 2


def truth_rows(faces: TestSet, domain: Domain, seed: int) -> list[dict[str, Any]]:
    """For JSON: what true edits and no edit keep of photo and inversion, and their distance to the drawn truth.

    Args:
        seed: of the bootstrap over faces.
    Returns:
        Nothing (an empty list) where there is no drawn truth.
    """
    if faces.counterfactual is None:
        return []

    def encoded(image: Tensor) -> Tensor:
        return domain.synthesise(domain.encode(image))

    true = list(faces.counterfactual.unbind(1))
    again = [in_batches(encoded, image, device=domain.device) for image in true]
    unchanged = [faces.inversion] * len(true)
    rows = []
    for title, pictures, references in (
        (DRAWN, true, ("photo",)), (ENCODED, again, ("photo", "inversion")), (NO_EDIT, unchanged, ("photo",)),
    ):  # fmt: skip
        distance = torch.stack([root_mean_square(*pair) for pair in zip(pictures, true, strict=True)]).numpy()[:, None]
        decisions = np.stack([decisions_of(domain, image).numpy() for image in pictures])[:, None]
        embedding = torch.stack(
            [in_batches(domain.identity_embedding, image, device=domain.device) for image in pictures]
        )
        for reference in references:
            identity = (embedding * faces.embedding[reference]).sum(2).numpy()[:, None]
            nothing = np.zeros_like  # all attributes at once: there is no such truth
            found = Outcomes(
                domain.attributes, (0.0,), faces.decisions[reference].numpy(),
                np.concatenate([decisions, nothing(decisions[:1])]), np.concatenate([identity, nothing(identity[:1])]),
                distance,
            )  # fmt: skip
            rows.append(_row(title, reference, found, (0, 1.0), seed))
    return rows


def edit_rows(results: Mapping[str, Mapping[str, Outcomes]], seed: int) -> list[dict[str, Any]]:
    """For JSON: the same of edits, at 95 % average accuracy or the nearest that was measured.

    Args:
        results: editor → reference → outcomes.
        seed: of the bootstrap over faces.
    """
    rows = []
    for name, references in results.items():
        for reference in ("photo", "inversion"):
            average = curves(references[reference])["average"]
            accuracy = average.flipped.mean(1)
            nearest = 0 if accuracy[0] > AT else int(accuracy.argmax())
            row = _row(name, reference, references[reference], crossing(accuracy, AT) or (nearest, 1.0), seed)
            read = reading(average, AT, resampling_weights(average.flipped.shape[1], seed)) or {}
            rows.append(row | {key: value for key, value in read.items() if key.endswith("_interval")})
    return rows


def _row(title: str, reference: str, outcomes: Outcomes, place: tuple[int, float], seed: int) -> dict[str, Any]:
    """Means over faces at a place of the sweep, of the average and of each attribute alone; intervals at that place."""
    found = curves(outcomes)
    row: dict[str, Any] = {"picture": title, "reference": reference, **_means(found["average"], place)}
    weights = resampling_weights(len(outcomes.reference), seed)
    for quantity in ("preservation", "identity"):
        low, high = interval(at_crossing(_values(found["average"])[quantity], place), weights)
        row[f"{quantity}_interval"] = [float(low), float(high)]
    return row | {"attributes": {name: _means(found[name], place) for name in outcomes.attributes}}


def _values(curve: Curve) -> dict[str, np.ndarray]:
    assert curve.preserved is not None and curve.distance is not None
    return {
        "accuracy": curve.flipped, "preservation": curve.preserved, "identity": curve.identity,
        "distance": curve.distance,
    }  # fmt: skip


def _means(curve: Curve, place: tuple[int, float]) -> dict[str, float]:
    return {name: float(at_crossing(values, place).mean()) for name, values in _values(curve).items()}
