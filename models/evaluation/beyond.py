"""What an editor does beyond the paper's curves: information left in z, honesty of its semantics, consistency of edits.

All measures take faces that no network saw. Information is counted in bits: log2 of the probability that a probe gives
the judge's decision on a held-out face, less log2 of that decision's share. The mean is what a reader of that kind
gets, a lower bound of what is there; 0 is nothing, and a probe that is surer than it may be falls below.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from models.domain import Domain
from models.editors.base import AttributeEditor
from models.editors.sdflow import SDFlowEditor
from models.editors.targets import Flip, SetTo, resolve_targets
from models.evaluation.curves import interval, resampling_weights
from models.evaluation.latents import closure, flow_nll, to_gaussian
from models.evaluation.sweep import TestSet, in_batches, root_mean_square

PROBES = ("linear", "MLP")
SWEEP = (-0.2, 0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2)


def probe_bits(train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], kind: str, seed: int = 0) -> np.ndarray:
    """Bits (N, A) that a probe knows of each test decision.

    Args:
        train, test: codes (N, …) and decisions (N, A).
        kind: `linear` (logistic regression, its penalty chosen by cross-validation) or `MLP` (128 hidden units, stopped
            by a tenth of the training codes).
    """
    codes, held_out = (part[0].flatten(1).double().numpy() for part in (train, test))
    columns = []
    for answer, truth in zip(train[1].numpy().T, test[1].numpy().T, strict=True):
        share = min(max(float(answer.mean()), 1e-3), 1 - 1e-3)
        known = np.where(truth, share, 1 - share)
        if answer.all() or not answer.any():
            columns.append(np.zeros(len(truth)))
            continue
        penalties = {"C": np.logspace(-4, 0, 5)}
        reader: Any = GridSearchCV(LogisticRegression(max_iter=200), penalties, scoring="neg_log_loss", cv=3)
        if kind == "MLP":
            reader = MLPClassifier((128,), early_stopping=True, alpha=1e-2, max_iter=100, random_state=seed)
        probe = make_pipeline(StandardScaler(), reader).fit(codes, answer)
        present = np.clip(probe.predict_proba(held_out)[:, 1], 1e-3, 1 - 1e-3)
        columns.append(np.log2(np.where(truth, present, 1 - present) / known))
    return np.stack(columns, axis=1)


def information(
    editor: SDFlowEditor, train: tuple[Tensor, Tensor, Tensor], faces: TestSet, semantics: Tensor, seed: int
) -> dict[str, dict[str, Any]]:
    """Bits in w, in z, and in z of a shuffled condition (as if nothing had been taken out), by kind of probe.

    Args:
        train: codes (N, L, D), semantics (N, A) and the judge's decisions (N, A) that the probes learn from.
        semantics: of the test faces (N, A).
    """
    latent, known, decisions = train
    order = torch.randperm(len(latent), generator=torch.Generator().manual_seed(seed))
    test_order = torch.randperm(len(faces), generator=torch.Generator().manual_seed(seed))
    codes = {
        "w": (latent, faces.latent),
        "z": (to_gaussian(editor, latent, known), to_gaussian(editor, faces.latent, semantics)),
        "z, shuffled condition": (
            to_gaussian(editor, latent, known[order]),
            to_gaussian(editor, faces.latent, semantics[test_order]),
        ),
    }
    weights = resampling_weights(len(faces), seed)
    result: dict[str, dict[str, Any]] = {}
    truth = faces.decisions["inversion"]
    for name, (learned, held_out) in codes.items():
        for kind in PROBES:
            bits = probe_bits((learned, decisions), (held_out, truth), kind, seed)
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


def honesty(editor: AttributeEditor, domain: Domain, faces: TestSet, strength: float) -> dict[str, Any]:
    """Agreement of the editor's semantics with the judge on inversions and on edits; their gap is collusion.

    A flow and an estimator that learn together can agree on an edit that nobody else sees.

    Args:
        strength: of the flips, one attribute of each face at a time.
    """
    device = domain.device
    own = in_batches(editor.read, faces.latent, faces.inversion, device=device)
    truth = faces.decisions["inversion"]
    on_faces = ((own >= 0.5) == truth).float().mean(0)
    prepared, semantics = _prepared(editor, faces, device)
    agreed, table = [], []
    for column, name in enumerate(editor.attributes):
        wanted = resolve_targets(semantics, {name: Flip(strength)}, editor.attributes, truth)
        latent = in_batches(editor.move, prepared, semantics, wanted, device=device)
        image = in_batches(domain.synthesise, latent, device=device)
        said = in_batches(editor.read, latent, image, device=device)[:, column]
        judged = in_batches(domain.judge_probabilities, image, device=device)[:, column] > 0.5
        agreed.append(float(((said >= 0.5) == judged).float().mean()))
        table.append(reliability(own[:, column].numpy(), truth[:, column].numpy()))
    names = editor.attributes
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


def consistency(editor: AttributeEditor, domain: Domain, faces: TestSet, strength: float) -> dict[str, float]:
    """Edit and edit back, two edits in either order, and how steadily the judge follows a rising value.

    Cycle: an attribute is turned and set back to the first estimate, on what the edit drew; relative error of the code
    and root mean square difference of the pictures (of the full range). Order: the difference of the pictures of two
    edits made one after the other, in either order. Monotone: rank correlation of the values of a sweep with the
    judge's probability, mean over faces and attributes.

    Args:
        strength: of the flips.
    """
    device, names, truth = domain.device, editor.attributes, faces.decisions["inversion"]
    prepared, semantics = _prepared(editor, faces, device)
    code_errors, cycle, order, steady = [], [], [], []

    def turned(latent: Tensor, image: Tensor, name: str, decisions: Tensor) -> tuple[Tensor, Tensor]:
        step = in_batches(
            lambda w, i, d: editor.edit(w, i, {name: Flip(strength)}, d), latent, image, decisions, device=device
        )
        return step, in_batches(domain.synthesise, step, device=device)

    for column, name in enumerate(names):
        latent, image = turned(faces.latent, faces.image, name, truth)
        estimate = in_batches(editor.read, latent, image, device=device)
        wish = estimate.clone()
        wish[:, column] = semantics[:, column]
        again = in_batches(editor.prepare, latent, estimate, device=device)
        back = in_batches(editor.move, again, estimate, wish, device=device)
        code_errors.append((back - faces.latent).flatten(1).norm(dim=1) / faces.latent.flatten(1).norm(dim=1))
        cycle.append(root_mean_square(in_batches(domain.synthesise, back, device=device), faces.inversion))
        other = names[(column + 1) % len(names)]
        there = turned(latent, image, other, truth)[1]
        first = turned(faces.latent, faces.image, other, truth)
        order.append(root_mean_square(there, turned(*first, name, truth)[1]))
        seen = []
        for value in SWEEP:
            wanted = resolve_targets(semantics, {name: SetTo(value)}, names)
            moved = in_batches(editor.move, prepared, semantics, wanted, device=device)
            picture = in_batches(domain.synthesise, moved, device=device)
            seen.append(in_batches(domain.judge_probabilities, picture, device=device)[:, column])
        ranks = rankdata(torch.stack(seen, 1).numpy(), axis=1)
        steady.append(_correlation_with_order(ranks))
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


def seconds_an_edit(editor: AttributeEditor, domain: Domain, faces: TestSet, count: int = 16, rounds: int = 3) -> float:
    """Seconds that one edit of one face takes, code to code, without picture or estimate; median over rounds."""
    device = domain.device
    latent, image = (rows[:count].to(device) for rows in (faces.latent, faces.image))
    semantics = editor.read(latent, image)
    wanted = resolve_targets(semantics, {editor.attributes[0]: Flip()}, editor.attributes)
    taken = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        editor.move(editor.prepare(latent, semantics), semantics, wanted)
        taken.append((time.perf_counter() - began) / len(latent))
    return float(np.median(taken[1:]))


def flow_measures(editor: SDFlowEditor, faces: TestSet, semantics: Tensor, count: int = 64) -> dict[str, Any]:
    """Likelihood with the exact trace, nats per dimension, and closure."""
    few = faces.latent[:count], semantics[:count]
    return {"NLL, exact trace": flow_nll(editor, *few), "closure": closure(editor, *few), "faces": len(few[0])}


def everything(
    editor: AttributeEditor,
    domain: Domain,
    faces: TestSet,
    train: tuple[Tensor, Tensor, Tensor],
    strength: float,
    seed: int = 0,
) -> dict[str, Any]:
    """All measures of this module; those of a flow where the editor is one.

    Args:
        train: codes, pictures and the judge's decisions of training faces, for the probes.
    """
    device = domain.device
    result: dict[str, Any] = {
        "strength": strength,
        "honesty": honesty(editor, domain, faces, strength),
        "consistency": consistency(editor, domain, faces, strength),
        "seconds an edit": seconds_an_edit(editor, domain, faces),
    }
    if isinstance(editor, SDFlowEditor):
        semantics = in_batches(editor.read, faces.latent, faces.image, device=device)
        known = in_batches(editor.read, train[0], train[1], device=device)
        result["information"] = information(editor, (train[0], known, train[2]), faces, semantics, seed)
        result["flow"] = flow_measures(editor, faces, semantics)
    return result


def _prepared(editor: AttributeEditor, faces: TestSet, device: torch.device) -> tuple[Tensor, Tensor]:
    semantics = in_batches(editor.read, faces.latent, faces.image, device=device)
    return in_batches(editor.prepare, faces.latent, semantics, device=device), semantics
