"""StyleFlow: a flow that is conditioned on what a frozen classifier says ("StyleFlow: Attribute-conditioned Exploration
of StyleGAN-Generated Images using Conditional Continuous Normalizing Flows", 2021).
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from models.domain import Domain
from models.editors.sdflow import SDFlowEditor
from models.editors.stored import StoredEditor


class TeacherSemantics(nn.Module):
    """A domain's frozen classifier C in the place of a semantic encoder; it has no weights of its own."""

    def __init__(self, domain: Domain) -> None:
        super().__init__()
        self.domain = domain

    def forward(self, image: Tensor) -> Tensor:
        """C's probabilities (B, A) of images (B, 3, S, S)."""
        return self.domain.teacher_probabilities(image)


class StyleFlowEditor(SDFlowEditor):
    """SDFlow's edit with C's probabilities in the place of E_s; built with `TeacherSemantics`."""

    name: ClassVar[str] = "styleflow"
    title: ClassVar[str] = "StyleFlow"

    @classmethod
    def restore(cls, stored: StoredEditor) -> StyleFlowEditor:
        return cls(cls._flow_for_edits(stored), TeacherSemantics(stored.domain), stored.attributes)
