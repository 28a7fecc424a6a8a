"""How much of the attributes a small network reads off latent codes: of w, and of z, which should not tell them.

Information is counted in bits: log2 of the probability that a probe gives the judge's decision on a held-out face, less
log2 of that decision's share. The mean is what a reader of that kind gets, a lower bound of what is there; 0 is
nothing, and a probe that is overconfident falls below. Accuracy is the share of decisions that a probe gets right.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from models.editors.sdflow import SDFlowEditor
from models.evaluation.curves import interval, resampling_weights
from models.evaluation.faces import Decomposition, TestSet, in_batches

Kind = Literal["linear", "MLP"]
PROBES: tuple[Kind, ...] = ("linear", "MLP")
_RARE = 10  # training faces with and without an attribute that a probe needs: cross-validation and stopping split them


@dataclass(frozen=True)
class Reading:
    """What a probe says of test decisions, face by face: bits that it knows (N, A), whether it is right (N, A)."""

    bits: np.ndarray
    right: np.ndarray


def probe(train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], kind: Kind, seed: int = 0) -> Reading:
    """Learn the decisions on each attribute from codes, and say them of test codes.

    Of an attribute that fewer than ten training faces have or lack, a probe knows the share alone: 0 bits.

    Args:
        train, test: codes (N, …) and decisions (N, A) as bool.
        kind: `linear` (logistic regression, its penalty chosen by cross-validation) or `MLP` (128 hidden units, stopped
            by a tenth of the training codes).
    """
    codes, held_out = (part[0].flatten(1).double().numpy() for part in (train, test))
    bits, right = [], []
    for answer, truth in zip(train[1].numpy().T, test[1].numpy().T, strict=True):
        share = min(max(float(answer.mean()), 1e-3), 1 - 1e-3)
        present = np.full(len(truth), share)
        if _RARE <= answer.sum() <= len(answer) - _RARE:
            with warnings.catch_warnings():  # what weak penalties reach in time, cross-validation judges
                warnings.simplefilter("ignore", ConvergenceWarning)
                fitted = make_pipeline(StandardScaler(), _classifier(kind, seed)).fit(codes, answer)
            present = np.clip(fitted.predict_proba(held_out)[:, 1], 1e-3, 1 - 1e-3)
        known = np.where(truth, share, 1 - share)
        bits.append(np.log2(np.where(truth, present, 1 - present) / known))
        right.append((present > 0.5) == truth)
    return Reading(np.stack(bits, axis=1), np.stack(right, axis=1))


def _classifier(kind: Kind, seed: int) -> Any:
    if kind == "MLP":
        return MLPClassifier((128,), early_stopping=True, alpha=1e-2, max_iter=100, random_state=seed)
    penalties = {"C": np.logspace(-4, 0, 5)}
    return GridSearchCV(LogisticRegression(max_iter=200), penalties, scoring="neg_log_loss", cv=3)


def information(
    editor: SDFlowEditor,
    train: tuple[Tensor, Decomposition, Tensor],
    faces: TestSet,
    before: Decomposition,
    seed: int,
) -> dict[str, dict[str, Any]]:
    """For JSON: bits in w, in z, and in z of a shuffled condition (as if nothing had been taken out), by kind of probe.

    Args:
        train: codes (N, L, D), their decomposition and the judge's decisions (N, A) that the probes learn from.
        before: decomposition of the test faces.
    """
    latent, known, decisions = train

    def shuffled(w: Tensor, condition: Tensor) -> Tensor:
        order = torch.randperm(len(w), generator=torch.Generator().manual_seed(seed))
        return in_batches(editor.prepare, w, condition[order], device=next(editor.parameters()).device)

    codes = {
        "w": (latent, faces.latent),
        "z": (known.rest, before.rest),
        "z, shuffled condition": (shuffled(latent, known.condition), shuffled(faces.latent, before.condition)),
    }
    weights = resampling_weights(len(faces), seed)
    result: dict[str, dict[str, Any]] = {}
    truth = faces.decisions["inversion"]
    for name, (learned, held_out) in codes.items():
        for kind in PROBES:
            bits = probe((learned, decisions), (held_out, truth), kind, seed).bits
            low, high = interval(bits.mean(1), weights)
            result.setdefault(name, {})[kind] = {
                "bits": dict(zip(editor.attributes, bits.mean(0).tolist(), strict=True)),
                "mean": float(bits.mean()),
                "interval": [float(low), float(high)],
            }
    share = truth.float().mean(0).double().clamp(1e-6, 1 - 1e-6)
    entropy = -(share * share.log2() + (1 - share) * (1 - share).log2())
    result["decisions themselves"] = {"bits": dict(zip(editor.attributes, entropy.tolist(), strict=True))}
    return result
