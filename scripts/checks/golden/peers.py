"""Golden cases of the methods that SDFlow is compared with."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.adatrans import AdaTrans, adatrans_sizes
from models.editors.interfacegan import InterFaceGANEditor, projected
from models.flows.realnvp import RealNVP, realnvp_sizes
from models.latent_transformer import (
    LatentClassifier,
    LatentTransformer,
    amount_to_other_side,
    latent_classifier_sizes,
    latent_transformer_sizes,
)
from scripts.checks.golden.case import GoldenCase
from training.methods.interfacegan import fit_boundary

Outputs = dict[str, Any]


@torch.no_grad()
def latent_transformer(case: GoldenCase) -> Outputs:
    """Codes moved by each code's own amount and by 1, and the amount that a probability asks for."""
    network = LatentTransformer(**latent_transformer_sizes(case.shapes)).eval()
    case.fill(network)
    w, amount = case.tensor("w"), case.tensor("coeff")
    probabilities = torch.from_numpy(case.expected("in_probabilities"))
    return {
        "out": network(w, amount),
        "out_coeff_1": network(w, torch.ones_like(amount)),
        "in_probabilities": probabilities,
        "coeff_of_probabilities": amount_to_other_side(probabilities),
    }


@torch.no_grad()
def latent_classifier(case: GoldenCase) -> Outputs:
    """Logits and probabilities."""
    network = LatentClassifier(**latent_classifier_sizes(case.shapes)).eval()
    case.fill(network)
    logits = network(case.tensor("w"))
    return {"logits": logits, "probabilities": logits.sigmoid()}


@torch.no_grad()
def adatrans(case: GoldenCase) -> Outputs:
    """The path of ten steps, their lengths, and where three steps end."""
    network = AdaTrans(**adatrans_sizes(case.shapes)).eval()
    case.fill(network)
    w, target = case.tensor("w"), case.tensor("target")
    path, lengths = network(w, target, steps=10)
    return {
        "trajectory": path,
        "last": path[-1],
        "displacement": path[-1] - w,
        "step_sizes": lengths,
        "last_of_3_steps": network(w, target, steps=3)[0][-1],
        "in_target": target,
    }


@torch.no_grad()
def realnvp(case: GoldenCase) -> Outputs:
    """Both directions; the published numbers are per style vector, and per dimension but for the determinant."""
    network = RealNVP(**realnvp_sizes(case.shapes)).eval()
    case.fill(network, derivable=network.derivable)
    w = case.tensor("w").flatten(0, 1)
    z, log_det = network.forward_and_log_det(w)
    log_prob, width = network.log_prob(w), w.shape[1]
    return {
        "loss": -log_prob.mean() / width,
        "logz": (log_prob - log_det) / width,
        "log_det": log_det,
        "z": z,
        "w_from_z": network.inverse(case.tensor("z")),
    }


def _interpolated(code: Tensor, normal: Tensor, start: float, end: float, steps: int) -> Tensor:
    """The published walk: codes of one vector END at these distances, codes of several are moved by them."""
    one = torch.ones(1)
    editor = InterFaceGANEditor(normal[None], torch.zeros(1), one, ["attribute"])
    rows = code if code.ndim == 3 else code[:, None]
    own = editor.read(rows, rows) if code.ndim == 2 else 0.5 * one[None]
    distances = torch.linspace(start, end, steps)[:, None]
    moved = editor.move(rows.expand(steps, -1, -1), own.expand(steps, -1), 0.5 + distances)
    return moved if code.ndim == 3 else moved[:, 0]


def interfacegan(case: GoldenCase) -> Outputs:
    """Projections, walks along a normal, and the hyperplane with the samples that it was fitted to."""
    primal = case.tensor("primal")
    conditions = torch.cat([case.tensor(f"condition {number}") for number in (1, 2, 3)])
    outputs: Outputs = {f"project_{count}": projected(primal[0], conditions[:count])[None] for count in (1, 2, 3)}
    outputs["interpolate_z"] = _interpolated(case.tensor("z"), primal, -3, 3, 10)
    outputs["interpolate_z_5"] = _interpolated(case.tensor("z"), primal, -1, 2, 5)
    outputs["interpolate_wp"] = _interpolated(case.tensor("wp"), primal, -3, 3, 3)
    for name in ("in_condition_1", "in_condition_2", "in_scores"):
        outputs[name] = case.inputs[name.removeprefix("in_").replace("_", " ")]
    boundary = fit_boundary(
        case.inputs["codes"], case.inputs["scores"][:, 0], np.random.RandomState(0), share=0.2, training_share=0.7
    )
    return outputs | {
        "boundary": boundary.normal[None],
        "train_positive": boundary.training[0],
        "train_negative": boundary.training[1],
    }


CASES = {
    "latent_transformer": latent_transformer,
    "latent_classifier": latent_classifier,
    "adatrans": adatrans,
    "realnvp": realnvp,
    "interfacegan": interfacegan,
}
