"""Face recognition: embeddings that are alike for one person, whatever else changes."""

from __future__ import annotations

import math
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from criteria.margin_softmax import margin_softmax
from models.domain import Domain
from training.domain_part import DomainPartMethod
from training.method import Batch, Phase
from utils.images import grid
from utils.ranges import BelowOne, Betas, Between, NonNegative, Positive, Whole
from utils.statistics import roc_auc


def pair_cosines(embedding: Tensor, identity: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines of all pairs of pictures of one person and of all pairs of two people.

    Args:
        embedding: unit-norm (B, E).
        identity: (B,).
    """
    rows, columns = torch.triu_indices(len(embedding), len(embedding), offset=1, device=embedding.device)
    cosines = (embedding @ embedding.T)[rows, columns]
    same = identity[rows] == identity[columns]
    return cosines[same], cosines[~same]


class IdentityMethod(DomainPartMethod):
    """One phase, `identity`, with the term `margin_softmax`; batches hold `image` and `identity` (B,).

    The network learns to distinguish the training people by the cosine to one centre each (ArcFace); the centres are
    discarded after training.

    Args:
        identities: people in the training data, numbered from 0.
        scale, angular_margin, cosine_margin: see `criteria.margin_softmax`.
        margin_steps: steps over which the margins rise from 0 (a margin from the start can keep a small network stuck).
        learning_rate, weight_decay, betas: of AdamW.
        average_decay: decay per step of a moving average of the network that is exported; 0: none.
        augment: section of `training.augment.Augmentation`.
    """

    term_names = ("margin_softmax",)

    def __init__(
        self,
        domain: Domain,
        identities: Annotated[int, Between(1, 10_000_000)],
        scale: Positive = 32.0,
        angular_margin: Annotated[float, Between(0, math.pi)] = 0.0,
        cosine_margin: Annotated[float, Between(0, 2)] = 0.2,
        margin_steps: Whole = 0,
        learning_rate: Positive = 1e-3,
        weight_decay: NonNegative = 1e-2,
        betas: Betas = (0.9, 0.99),
        average_decay: BelowOne = 0.0,
        augment: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(domain, "identity", average_decay, augment)
        self.needs = ("image", "identity")
        self.scale, self.angular_margin, self.cosine_margin = scale, angular_margin, cosine_margin
        self.margin_steps = margin_steps
        self.learning_rate, self.weight_decay, self.betas = learning_rate, weight_decay, betas
        embedding_dim = self.network.features.num_features
        self.centres = nn.Parameter(torch.randn(identities, embedding_dim) * 0.01)
        self._margin_share = 1.0

    def phases(self) -> list[Phase]:
        parameters = [*self.network.parameters(), self.centres]
        decayed = [p for p in self.network.parameters() if p.ndim > 1]
        others = [p for p in parameters if not any(p is q for q in decayed)]  # centres count by direction alone
        groups = [
            {"params": decayed, "weight_decay": self.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        optimiser = torch.optim.AdamW(groups, lr=self.learning_rate, betas=self.betas)
        return [Phase("identity", parameters, optimiser)]

    def before_step(self, step: int) -> None:
        self._margin_share = min((step + 1) / self.margin_steps, 1.0) if self.margin_steps else 1.0

    def losses(self, phase: str, batch: Batch) -> dict[str, Tensor]:
        embedding = self.network.embedding(self.augmented(batch["image"]))
        cosines = embedding @ F.normalize(self.centres).T
        share = self._margin_share
        loss = margin_softmax(
            cosines, batch["identity"], self.scale, share * self.angular_margin, share * self.cosine_margin
        )
        return {"margin_softmax": loss}

    @torch.no_grad()
    def validate(self, batch: Batch) -> dict[str, float]:
        """Verification on people that training never saw: AUC, mean cosine of one person and of two."""
        same, different = pair_cosines(self.result.embedding(batch["image"]), batch["identity"])
        if not len(same) or not len(different):
            return {}
        return {
            "auc": roc_auc(same.cpu().numpy(), different.cpu().numpy()),
            "same_cosine": float(same.mean()),
            "different_cosine": float(different.mean()),
        }

    @torch.no_grad()
    def preview(self, batch: Batch, rows: int = 8, columns: int = 8) -> Tensor:
        """A row a face: itself, then the faces of the batch that the network holds most alike, the most alike first."""
        image = batch["image"]
        embedding = self.result.embedding(image)
        asked = torch.linspace(0, len(image) - 1, min(rows, len(image)), device=image.device).round().long()
        cosines = embedding[asked] @ embedding.T
        cosines[torch.arange(len(asked)), asked] = torch.inf
        nearest = cosines.argsort(dim=1, descending=True)[:, :columns]
        return grid(image[nearest.flatten()], nearest.shape[1])

    def metadata(self) -> dict[str, Any]:
        return {**super().metadata(), "method": "identity"}
