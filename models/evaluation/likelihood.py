"""How well a flow fits latent codes, and how exactly it returns to them."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from models.editors.sdflow import SDFlowEditor
from models.evaluation.faces import in_batches


def gaussian_nll(train: Tensor, test: Tensor) -> float:
    """−log density of test codes (N, L, D) under a diagonal Gaussian fitted to training codes, nats per dimension."""
    mean, variance = train.mean(0), train.var(0)
    terms = 0.5 * ((test - mean).square() / variance + variance.log() + math.log(2 * math.pi))
    return float(terms.mean())


@torch.no_grad()
def flow_nll(editor: SDFlowEditor, latent: Tensor, semantics: Tensor, batch_size: int = 8) -> float:
    """−log density of codes (N, L, D) under the flow, with the exact trace, nats per dimension."""

    def log_prob(w: Tensor, s: Tensor) -> Tensor:
        return editor.flow.log_prob(w, s, exact=True)

    device = next(editor.parameters()).device
    values = in_batches(log_prob, latent, semantics, device=device, batch_size=batch_size)
    return float(-values.mean() / latent[0].numel())


@torch.no_grad()
def closure(editor: SDFlowEditor, latent: Tensor, semantics: Tensor) -> dict[str, float]:
    """Relative error of w → z → w and of z → w → z at the editing tolerance, over all elements."""
    device = next(editor.parameters()).device
    w, s = latent.to(device), semantics.to(device)
    z = editor.prepare(w, s)
    back = editor.move(z, s, s)
    again = editor.prepare(back, s)
    return {
        "w_z_w": float((back - w).norm() / w.norm()),
        "z_w_z": float((again - z).norm() / z.norm()),
    }


def flow_measures(editor: SDFlowEditor, latent: Tensor, semantics: Tensor, count: int = 64) -> dict[str, Any]:
    """For JSON: likelihood with the exact trace (nats per dimension) and closure of the first `count` codes."""
    few = latent[:count], semantics[:count]
    return {"NLL, exact trace": flow_nll(editor, *few), "closure": closure(editor, *few), "faces": len(few[0])}
