"""The SDFlow editor: take the semantics out of a code, put changed ones back in (paper, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from models.editors.base import Editor
from models.flows.cnf import ContinuousFlow
from models.semantic_encoder import SemanticEncoder


class SDFlowEditor(Editor):
    """s = E_s(I); z = Φ(w; s); w_e = Φ⁻¹(z; ŝ). No density is computed.

    The networks are used as they are, in evaluation mode during a call.
    """

    def __init__(self, flow: ContinuousFlow, semantic_encoder: SemanticEncoder, attributes: Sequence[str]) -> None:
        super().__init__(attributes)
        self.flow = flow
        self.semantic_encoder = semantic_encoder
        self.eval()

    @torch.no_grad()
    def semantics(self, w: Tensor, image: Tensor) -> Tensor:
        return self.semantic_encoder.eval()(image)

    @torch.no_grad()
    def prepare(self, w: Tensor, semantics: Tensor) -> Tensor:
        """z = Φ(w; s), which every edit of a face shares."""
        return self.flow.eval().transport(w, semantics)

    @torch.no_grad()
    def move(self, prepared: Tensor, semantics: Tensor, wanted: Tensor) -> Tensor:
        return self.flow.eval().inverse(prepared, wanted)
