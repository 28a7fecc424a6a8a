"""The SDFlow editor: take the semantics out of a code, put changed ones back in (paper, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from models.editors.base import AttributeEditor
from models.editors.by_flow import FlowEditor
from models.editors.stored import StoredEditor
from models.flows.cnf import ContinuousFlow

# A training may solve more coarsely than an edit. Of the shipped flow w_e was 2e-4 from the float64 solution at 1e-3,
# 2e-6 at 1e-5 and 2e-7 at 1e-6, for 7, 13 and 19 evaluations; the published solver comes to 1e-6 in a batch of 50 faces
# and to 3e-6 face by face.
EDITING_TOLERANCE = 1e-6


def solving_for_edits(flow: ContinuousFlow) -> ContinuousFlow:
    """The flow, solved at the editing tolerance from now on if it was solved more coarsely."""
    flow.tolerance = min(flow.tolerance, EDITING_TOLERANCE)
    return flow


class SDFlowEditor(FlowEditor, AttributeEditor):
    """s = E_s(I); z = Φ(w; s); w_e = Φ⁻¹(z; ŝ) (paper, equation 4).

    The networks are used as they are, in evaluation mode during a call.

    Args:
        semantic_encoder: from pictures (B, 3, S, S) to semantics (B, A).
    """

    name: ClassVar[str] = "sdflow"
    title: ClassVar[str] = "SDFlow"

    def __init__(self, flow: ContinuousFlow, semantic_encoder: nn.Module, attributes: Sequence[str]) -> None:
        super().__init__(attributes)
        self.flow = flow
        self.semantic_encoder = semantic_encoder
        self.eval()

    @classmethod
    def restore(cls, stored: StoredEditor) -> SDFlowEditor:
        return cls(cls._flow_for_edits(stored), stored.network("semantic_encoder"), stored.attributes)

    @staticmethod
    def _flow_for_edits(stored: StoredEditor) -> ContinuousFlow:
        return solving_for_edits(stored.network("flow"))

    @torch.no_grad()
    def read(self, w: Tensor, image: Tensor) -> Tensor:
        semantics: Tensor = self.semantic_encoder.eval()(image)
        return semantics
