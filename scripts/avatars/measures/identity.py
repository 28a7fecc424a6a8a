"""How well the recognition network distinguishes people that it was not trained on."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from datasets.avatars import AvatarIdentities
from models.domain import Domain
from scripts.avatars.measures.common import Sizes, collect, drawn
from utils.statistics import roc_auc

VIEWS = 6


def verification_report(embedding: np.ndarray, identity: np.ndarray, values: np.ndarray) -> dict[str, Any]:
    """Verification over all pairs of pictures.

    `hard` holds only pairs of one person that differ in three attributes or more, against pairs of two people that
    agree in all: there, looking at attributes misleads.

    Args:
        embedding: unit-norm (N, E).
        identity: (N,).
        values: attribute values (N, A).
    """
    rows, columns = np.triu_indices(len(embedding), 1)
    cosines = (embedding @ embedding.T)[rows, columns]
    same = identity[rows] == identity[columns]
    decisions = values > 0.5
    differing = (decisions[rows] != decisions[columns]).sum(1)
    genuine, impostor = cosines[same], cosines[~same]
    hard_genuine, hard_impostor = cosines[same & (differing >= 3)], cosines[~same & (differing == 0)]
    threshold = float(np.quantile(impostor, 0.999))
    return {
        "auc": roc_auc(genuine, impostor),
        "same_person_cosine": float(genuine.mean()),
        "different_people_cosine": float(impostor.mean()),
        "true_accepts_at_0.1_percent_false": float((genuine > threshold).mean()),
        "pairs": {"same": int(len(genuine)), "different": int(len(impostor))},
        "hard": {
            "auc": roc_auc(hard_genuine, hard_impostor),
            "same_person_cosine": float(hard_genuine.mean()),
            "different_people_cosine": float(hard_impostor.mean()),
            "pairs": {"same": int(len(hard_genuine)), "different": int(len(hard_impostor))},
        },
    }


def measure_identity(domain: Domain, sizes: Sizes) -> dict[str, Any]:
    """Verification report on people of their own split, each under other attributes, pose, light and background."""
    people = max(sizes.faces // 10, 20)
    faces = AvatarIdentities(people, VIEWS, "identity_test", cache=sizes.cache).prepare()

    def embed(image: Tensor) -> dict[str, Tensor]:
        return {"embedding": domain.identity_embedding(image)}

    found = collect(drawn(faces, sizes.batch), len(faces), embed, "identity", domain.device)
    report = verification_report(found["embedding"], found["identity"], found["values"])
    return {"people": people, "views": VIEWS, **report}
