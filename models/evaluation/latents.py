"""What the flow does to latent codes: likelihood, closure, and how much of the attributes stays in z."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from models.editors.sdflow import SDFlowEditor


def gaussian_nll(train: Tensor, test: Tensor) -> float:
    """−log density of test codes (N, L, D) under a diagonal Gaussian fitted to training codes, nats per dimension."""
    mean, variance = train.mean(0), train.var(0)
    terms = 0.5 * ((test - mean).square() / variance + variance.log() + math.log(2 * math.pi))
    return float(terms.mean())


@torch.no_grad()
def flow_nll(editor: SDFlowEditor, latent: Tensor, semantics: Tensor, batch_size: int = 8) -> float:
    """The same under the flow, with the exact trace."""
    device = next(editor.parameters()).device
    values = [
        editor.flow.log_prob(w.to(device), s.to(device), exact=True).cpu()
        for w, s in zip(latent.split(batch_size), semantics.split(batch_size), strict=True)
    ]
    return float(-torch.cat(values).mean() / latent[0].numel())


@torch.no_grad()
def closure(editor: SDFlowEditor, latent: Tensor, semantics: Tensor) -> dict[str, float]:
    """Relative error of w → z → w and of z → w → z at the editing tolerance, over all elements."""
    device = next(editor.parameters()).device
    w, s = latent.to(device), semantics.to(device)
    z = editor.flow(w, s)
    back = editor.flow.inverse(z, s)
    again = editor.flow(back, s)
    return {
        "w_z_w": float((back - w).norm() / w.norm()),
        "z_w_z": float((again - z).norm() / z.norm()),
    }


@torch.no_grad()
def to_gaussian(editor: SDFlowEditor, latent: Tensor, semantics: Tensor, batch_size: int = 64) -> Tensor:
    """z (N, L, D) on the CPU."""
    device = next(editor.parameters()).device
    pairs = zip(latent.split(batch_size), semantics.split(batch_size), strict=True)
    return torch.cat([editor.flow(w.to(device), s.to(device)).cpu() for w, s in pairs])


def probe_accuracy(train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], seed: int = 0) -> np.ndarray:
    """Share (A,) of test decisions that a small network reads off codes: 128 hidden units, 300 steps of Adam.

    Args:
        train, test: codes (N, L, D) and decisions (N, A) as bool.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        codes = train[0].flatten(1)
        mean, deviation = codes.mean(0), codes.std(0).clamp_min(1e-6)
        network = nn.Sequential(
            nn.Linear(codes.shape[1], 128), nn.ReLU(), nn.Dropout(0.3), nn.Linear(128, train[1].shape[1])
        )
        optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-2)
        for _ in range(300):
            rows = torch.randint(0, len(codes), (256,))
            logits = network((codes[rows] - mean) / deviation)
            loss = nn.functional.binary_cross_entropy_with_logits(logits, train[1][rows].float())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        network.eval()
        with torch.no_grad():
            decisions = network((test[0].flatten(1) - mean) / deviation) > 0
    return (decisions == test[1]).float().mean(0).numpy()
