"""A training step of SDFlow as published: the same four terms by the published networks.

Kept on purpose: the generator's weights ask for gradients, which are computed and dropped.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from criteria.distillation import distillation
from criteria.latent_distance import latent_distance
from criteria.likelihood import negative_log_likelihood
from criteria.mutual_information import mutual_information
from scripts.published.encoders import SemanticEncoder
from scripts.published.flow import Flow
from scripts.published.generator import Generator
from training.targets import replace_one_attribute


class TrainingStep:
    """Networks and optimiser of a training.

    Args:
        side: of the pictures that the semantic encoder sees; the generator's are reduced to it.
        resize: how, as the domain says.
    """

    def __init__(
        self,
        generator: Generator,
        flow: Flow,
        semantic_encoder: SemanticEncoder,
        side: int,
        resize: str,
        learning_rate: float,
        betas: tuple[float, float],
    ) -> None:
        self.generator, self.flow, self.semantic_encoder = generator, flow.train(), semantic_encoder.train()
        self.side, self.resize = side, resize
        self.parameters = [*flow.parameters(), *semantic_encoder.parameters()]
        self.optimiser = torch.optim.Adam(self.parameters, lr=learning_rate, betas=betas)

    def losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The four terms of a batch with `image`, `latent` and `teacher`."""
        latent = batch["latent"]
        semantics = self.semantic_encoder(batch["image"])
        z, log_det = self.flow.forward_and_log_det(latent, semantics)
        wanted = replace_one_attribute(semantics)
        edited = self.flow.inverse(z, wanted)
        picture = self.generator.synthesis(edited).clamp(-1, 1)
        recovered = self.semantic_encoder(F.interpolate(picture, size=(self.side, self.side), mode=self.resize))
        return {
            "nll": negative_log_likelihood(z, log_det),
            "kd": distillation(semantics, batch["teacher"]),
            "mi": mutual_information(recovered, wanted),
            "reg": latent_distance(edited, latent),
        }

    def step(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """One step of the optimiser; returns the terms."""
        self.optimiser.zero_grad(set_to_none=True)
        self.generator.zero_grad(set_to_none=True)
        terms = self.losses(batch)
        torch.stack(list(terms.values())).sum().backward()
        self.optimiser.step()
        self.flow.update_statistics()
        return terms
