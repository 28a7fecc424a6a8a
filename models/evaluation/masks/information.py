"""Does the rest of a face keep what its mask says, and what the mask does not say?"""

from __future__ import annotations

import torch
from torch import Tensor

from models.domain import Domain
from models.editors.base import Editor
from models.evaluation.faces import Decomposition, in_batches
from models.evaluation.information import PROBES, probe
from models.evaluation.masks.faces import MaskTestSet
from models.evaluation.masks.readings import Measured, taken_apart


def mask_information(editor: Editor, domain: Domain, test: MaskTestSet, before: Decomposition, seed: int) -> Measured:
    """Bits (N, T) that probes know of each truth, and whether they are right (N, T), by code and kind of probe.

    Codes: w; z; z of a condition that was read off another face, as if nothing had been taken out; the condition.
    Nothing (an empty dict) where there are no other faces to learn from.
    """
    known = test.probed
    if known is None:
        return {}
    learned = taken_apart(editor, domain, known.latent, known.image)

    def shuffled(w: Tensor, condition: Tensor) -> Tensor:
        order = torch.randperm(len(w), generator=torch.Generator().manual_seed(seed))
        return in_batches(editor.prepare, w, condition[order], device=domain.device)

    codes = {
        "w": (known.latent, test.faces.latent),
        "z": (learned.rest, before.rest),
        "z, shuffled condition": (
            shuffled(known.latent, learned.condition), shuffled(test.faces.latent, before.condition),
        ),
        "condition": (learned.condition, before.condition),
    }  # fmt: skip
    measured: Measured = {}
    for name, (train, held_out) in codes.items():
        for kind in PROBES:
            reading = probe((train, known.truth), (held_out, known.own_truth), kind, seed)
            measured |= {f"probe.{name}.{kind}.bits": reading.bits, f"probe.{name}.{kind}.right": reading.right}
    return measured
