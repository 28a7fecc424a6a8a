"""Latent Transformer: a network for each attribute, driven by a classifier of codes ("A Latent Transformer for
Disentangled Face Editing in Images and Videos", 2021).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from models.domain import Domain
from models.editors.base import AttributeEditor
from models.editors.stored import StoredEditor
from models.latent_transformer import LatentClassifier, LatentTransformer
from utils.config import ConfigError


class LatentTransformerEditor(AttributeEditor):
    """s = p(w), the classifier's probabilities; w_e = w + α f_a(w) for each changed attribute a, with α = ŝ_a − s_a.

    Several attributes change one after the other.

    Args:
        transformers: one for each attribute.
        columns: the classifier's outputs that are the attributes.
        edited_styles: so many rows of a code are changed, the others kept; None: all. (The published test program
            keeps rows 11 to 17 of 18.)
    """

    name: ClassVar[str] = "latent_transformer"
    title: ClassVar[str] = "Latent Transformer"

    def __init__(
        self,
        transformers: Sequence[LatentTransformer],
        classifier: LatentClassifier,
        columns: Sequence[int],
        attributes: Sequence[str],
        edited_styles: int | None = None,
    ) -> None:
        super().__init__(attributes)
        self.transformers = nn.ModuleList(transformers)
        self.classifier = classifier
        self.columns, self.edited_styles = list(columns), edited_styles

    @classmethod
    def restore(cls, stored: StoredEditor) -> LatentTransformerEditor:
        classifier: LatentClassifier = stored.network("classifier")
        transformers = [stored.network("transformer") for _ in stored.attributes]
        columns = attribute_columns(classifier.outputs, stored.domain)
        return cls(transformers, classifier, columns, stored.attributes, **stored.settings)

    @torch.no_grad()
    def read(self, w: Tensor, image: Tensor) -> Tensor:
        logits: Tensor = self.classifier(w)
        return logits[:, self.columns].sigmoid()

    @torch.no_grad()
    def move(self, rest: Tensor, condition: Tensor, target: Tensor) -> Tensor:
        moved = rest
        for transformer, amount in zip(self.transformers, (target - condition).unbind(1), strict=True):
            moved = transformer(moved, amount)
        if self.edited_styles is not None:
            moved = torch.cat([moved[:, : self.edited_styles], rest[:, self.edited_styles :]], dim=1)
        return moved


def attribute_columns(outputs: int, domain: Domain) -> list[int]:
    """Which outputs of a classifier of codes are the domain's attributes: one each, or those of all the teacher's.

    Raises:
        ConfigError: neither as many outputs as attributes nor as the teacher has.
    """
    if outputs == len(domain.attributes):
        return list(range(outputs))
    if outputs == len(domain.classifier_outputs):
        return [domain.classifier_outputs.index(name) for name in domain.attributes]
    raise ConfigError(
        f"a classifier of codes with {outputs} outputs fits neither the {len(domain.attributes)} attributes of domain "
        f"'{domain.name}' nor the {len(domain.classifier_outputs)} outputs of its teacher"
    )
