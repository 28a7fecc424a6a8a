"""SDFlow: the semantic encoder E_s and the flow Φ, trained together under four losses (paper, section 3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from criteria.distillation import distillation
from criteria.latent_distance import latent_distance
from criteria.likelihood import negative_log_likelihood
from criteria.mutual_information import mutual_information
from models import NETWORKS
from models.domain import Domain
from models.editors.base import Flip
from models.editors.sdflow import SDFlowEditor
from models.editors.targets import replace_one_attribute
from training.layout import channels_last, is_channels_last
from training.method import Batch, Method, Phase
from utils.config import as_section
from utils.images import grid


class SDFlowMethod(Method):
    """One phase, `editor`, with the terms `nll`, `kd`, `mi` and `reg`.

    Batches hold `image` (B, 3, S, S), `latent` (B, L, D) and `teacher` (B, A), as `LatentCache` gives them. Gradients
    flow through the frozen generator to the edited code, and to nothing frozen.

    Args:
        flow: section of Φ; its `style_dim` and `semantics` come from the domain.
        semantic_encoder: section of E_s; its `attributes` come from the domain.
        learning_rate, betas: of Adam (paper 1e-4 and (0.9, 0.99); the authors' code (0.9, 0.999)).
        edited_range: bounds of the uniform draw that replaces one semantic variable (paper [0, 1]).
    """

    def __init__(
        self,
        domain: Domain,
        flow: dict,
        semantic_encoder: dict,
        learning_rate: float = 1e-4,
        betas: tuple[float, ...] = (0.9, 0.99),
        edited_range: tuple[float, ...] = (0.0, 1.0),
    ) -> None:
        super().__init__()
        self.domain = domain
        self.sections = {"flow": dict(flow), "semantic_encoder": dict(semantic_encoder)}
        attributes = len(domain.attributes)
        self.flow = NETWORKS.build(as_section(flow, "method.flow"), style_dim=domain.style_dim, semantics=attributes)
        encoder = NETWORKS.build(as_section(semantic_encoder, "method.semantic_encoder"), attributes=attributes)
        self.semantic_encoder = channels_last(encoder)
        self._layout = torch.channels_last if is_channels_last(encoder) else torch.contiguous_format
        self.learning_rate, self.betas = learning_rate, (betas[0], betas[1])
        self.edited_range = (edited_range[0], edited_range[1])
        self._semantics = torch.zeros(0, attributes)
        self._evaluations = 0

    def phases(self) -> list[Phase]:
        parameters = [*self.flow.parameters(), *self.semantic_encoder.parameters()]
        return [Phase("editor", parameters, torch.optim.Adam(parameters, lr=self.learning_rate, betas=self.betas))]

    def losses(self, phase: str, batch: Batch) -> dict[str, Tensor]:
        latent = batch["latent"]
        semantics = self.semantic_encoder(batch["image"].contiguous(memory_format=self._layout))
        z, log_det = self.flow.to_gaussian(latent, semantics)
        self._evaluations = self.flow.evaluations
        wanted = replace_one_attribute(semantics, *self.edited_range)
        edited = self.flow.inverse(z, wanted)
        self._evaluations += self.flow.evaluations
        recovered = self.semantic_encoder(self.domain.synthesise(edited))
        self._semantics = semantics.detach()
        return {
            "nll": negative_log_likelihood(z, log_det),
            "kd": distillation(semantics, batch["teacher"]),
            "mi": mutual_information(recovered, wanted),
            "reg": latent_distance(edited, latent),
        }

    def after_step(self, step: int) -> None:
        self.flow.update_statistics()

    def status(self) -> dict[str, float]:
        return {"evaluations": self._evaluations}

    def histograms(self) -> dict[str, Tensor]:
        return {
            f"semantics/{name}": self._semantics[:, column]
            for column, name in enumerate(self.domain.attributes)
            if len(self._semantics)
        }

    def editor(self) -> SDFlowEditor:
        """The editor that these networks make."""
        return SDFlowEditor(self.flow, self.semantic_encoder, self.domain.attributes)

    def preview(self, batch: Batch) -> Tensor:
        """Rows are faces; columns: picture, its inversion, then one flipped attribute each."""
        editor, latent, image = self.editor(), batch["latent"], batch["image"]
        columns = [image, self.domain.synthesise(latent)]
        for name in self.domain.attributes:
            columns.append(self.domain.synthesise(editor.edit(latent, image, {name: Flip(0.2)})))
        return grid(torch.stack(columns, dim=1).flatten(0, 1), columns=len(columns))

    def exports(self) -> Mapping[str, tuple[Mapping[str, Tensor], Mapping[str, Any]]]:
        metadata = {
            "method": "sdflow",
            "domain": self.domain.config.plain(),
            "attributes": list(self.domain.attributes),
            "networks": self.sections,
            "fingerprints": self.domain.fingerprints(("generator", "encoder")),
        }
        state = {f"flow.{key}": value for key, value in self.flow.state_dict().items()}
        state |= {f"semantic_encoder.{key}": value for key, value in self.semantic_encoder.state_dict().items()}
        return {"editor": (state, metadata)}
