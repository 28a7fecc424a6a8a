"""What edit.py does, on the published networks and one photo at a time.

Reading, writing and the measures of a report are the command's own; the recognition network, which the published demo
does without, is shared.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.domain import Domain
from models.editing.pipeline import EditingPipeline
from models.editors.base import AttributeEditor
from models.editors.sdflow import SDFlowEditor
from scripts.published.encoders import E4eEncoder, SemanticEncoder
from scripts.published.flow import Flow
from scripts.published.generator import Generator


class PublishedDomain(Domain):
    """A domain whose generator and encoder are the published ones."""

    def _load(self, part: str) -> tuple[nn.Module, dict[str, Tensor]]:
        network, extra = super()._load(part)
        if part == "generator":
            return Generator.with_weights(network.state_dict()), extra
        if part == "encoder":
            return E4eEncoder.with_weights(network.state_dict()), extra
        return network, extra

    def synthesise_full(self, latent: Tensor) -> Tensor:
        return self.generator.synthesis(latent).clamp(-1, 1)


class PublishedEditor(AttributeEditor):
    """SDFlow's editor, which takes every edit through both directions of the flow."""

    def __init__(self, own: SDFlowEditor) -> None:
        super().__init__(own.attributes)
        self.flow = Flow.with_weights(own.flow.state_dict()).eval()
        self.semantic_encoder = SemanticEncoder.with_weights(own.semantic_encoder.state_dict()).eval()

    @torch.no_grad()
    def read(self, w: Tensor, image: Tensor) -> Tensor:
        return self.semantic_encoder(image)

    @torch.no_grad()
    def move(self, rest: Tensor, condition: Tensor, target: Tensor) -> Tensor:
        return self.flow.inverse(self.flow(rest, condition), target)


def published_pipeline(domain: Domain, editor: SDFlowEditor) -> EditingPipeline:
    """The pipeline of an editor and its domain on the published networks."""
    published = PublishedDomain(domain.config, domain.device)
    return EditingPipeline(published, PublishedEditor(editor).to(domain.device))
