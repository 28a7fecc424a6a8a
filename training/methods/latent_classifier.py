"""The classifier of latent codes that Latent Transformer learns from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from criteria.cross_entropy import known_cross_entropy
from models import NETWORKS
from models.domain import Domain
from training.method import Batch, Method, Phase
from training.methods.classifier import ranked_faces
from utils.config import Section
from utils.ranges import NonNegative, Positive, Sizes


class LatentClassifierMethod(Method):
    """One phase, `classifier`, with the term `bce`: what the teacher decides of a picture is read off its code.

    Batches hold `latent` (B, L, D), `teacher` (B, A) and `image` (B, 3, S, S), which is only shown.

    Args:
        hidden: widths of the network.
        learning_rate, weight_decay: of Adam (published 1e-4 and 5e-4, batch 256, 20 epochs).
    """

    term_names = ("bce",)

    needs = ("image", "latent", "teacher")

    def __init__(
        self,
        domain: Domain,
        hidden: Sizes = (2048, 512),
        learning_rate: Positive = 1e-4,
        weight_decay: NonNegative = 5e-4,
    ) -> None:
        super().__init__()
        self.domain = domain
        count = len(domain.attributes)
        sizes = {"inputs": domain.styles * domain.style_dim, "hidden": list(hidden), "outputs": count}
        self.section = {"name": "latent_classifier", **sizes}
        self.network = NETWORKS.build(Section(self.section, "method"))
        self.learning_rate, self.weight_decay = learning_rate, weight_decay

    def phases(self) -> list[Phase]:
        parameters = list(self.network.parameters())
        adam = torch.optim.Adam(parameters, lr=self.learning_rate, weight_decay=self.weight_decay)
        return [Phase("classifier", parameters, adam)]

    def losses(self, phase: str, batch: Batch) -> dict[str, Tensor]:
        return {"bce": known_cross_entropy(self.network(batch["latent"]), (batch["teacher"] > 0.5).float())}

    @torch.no_grad()
    def validate(self, batch: Batch) -> dict[str, float]:
        """Share of the teacher's decisions that are read off the codes, by attribute."""
        right = (self.network(batch["latent"]) > 0) == (batch["teacher"] > 0.5)
        shares = right.float().mean(0).tolist()
        return {f"accuracy_{name}": share for name, share in zip(self.domain.attributes, shares, strict=True)}

    @torch.no_grad()
    def preview(self, batch: Batch) -> Tensor:
        decisions = batch["teacher"] > 0.5
        clear = torch.ones_like(decisions)
        return ranked_faces(batch["image"], self.network(batch["latent"]), decisions, clear)

    def exports(self) -> Mapping[str, tuple[Mapping[str, Tensor], Mapping[str, Any]]]:
        metadata = {
            "network": "latent_classifier",
            "attributes": list(self.domain.attributes),
            "fingerprints": self.domain.fingerprints(("generator", "encoder")),
        }
        return {"latent_classifier": (self.network.state_dict(), metadata)}
