"""Editors whose rest is the end of a flow."""

from __future__ import annotations

import torch
from torch import Tensor

from models.editors.base import Editor
from models.flows.cnf import ContinuousFlow


class FlowEditor(Editor):
    """z = Φ(w; c); w_e = Φ⁻¹(z; ĉ). No density is computed.

    The flow is used in evaluation mode: in training mode an edit changes the statistics that the next one uses.

    Attributes:
        flow: Φ, to be set by the subclass.
    """

    flow: ContinuousFlow

    @torch.no_grad()
    def prepare(self, w: Tensor, condition: Tensor, image: Tensor | None = None) -> Tensor:
        """z (B, L, D), which every edit of a face shares."""
        z: Tensor = self.flow.eval()(w, condition)
        return z

    @torch.no_grad()
    def move(self, rest: Tensor, condition: Tensor, target: Tensor) -> Tensor:
        return self.flow.eval().inverse(rest, target)
