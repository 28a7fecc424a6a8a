"""RealNVP on style vectors: the density that AdaTrans keeps its paths in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from models.domain import Domain
from models.editors.stored import build_network
from models.flows.realnvp import Blocks, RealNVP
from training.method import Batch, Method, Phase
from utils.config import Section
from utils.images import grid
from utils.ranges import Depth, Positive, Size


class RealNVPMethod(Method):
    """One phase, `density`, with the term `nll` in nats per dimension; batches hold `latent` (B, L, D).

    Args:
        couplings, width, blocks: of the network.
        learning_rate: of Adam.
    """

    term_names = ("nll",)

    needs = ("image", "latent", "teacher")

    def __init__(
        self,
        domain: Domain,
        couplings: Depth = 10,
        width: Size = 32,
        blocks: Blocks = 2,
        learning_rate: Positive = 1e-4,
    ) -> None:
        super().__init__()
        self.domain, self.learning_rate = domain, learning_rate
        section = {"name": "realnvp", "couplings": couplings, "width": width, "blocks": blocks}
        self.network = build_network(Section(section, "method"), domain, RealNVP)

    def phases(self) -> list[Phase]:
        parameters = list(self.network.parameters())
        return [Phase("density", parameters, torch.optim.Adam(parameters, lr=self.learning_rate))]

    def losses(self, phase: str, batch: Batch) -> dict[str, Tensor]:
        return {"nll": -self.network.log_prob(batch["latent"]).mean() / self.domain.style_dim}

    def validate(self, batch: Batch) -> dict[str, float]:
        """The term on held-out codes, under the running statistics."""
        return {"nll": float(self.losses("density", batch)["nll"])}

    def preview(self, batch: Batch) -> Tensor:
        """Faces of drawn codes: each style vector is drawn alone, so that they need not look like one face."""
        z = torch.randn_like(batch["latent"])
        return grid(self.domain.synthesise(self.network.inverse(z)), columns=len(z))

    def exports(self) -> Mapping[str, tuple[Mapping[str, Tensor], Mapping[str, Any]]]:
        fingerprints = self.domain.fingerprints(("generator", "encoder"))
        return {"realnvp": (self.network.state_dict(), {"network": "realnvp", "fingerprints": fingerprints})}
