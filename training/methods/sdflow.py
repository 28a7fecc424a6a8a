"""SDFlow: the semantic encoder E_s and the flow Φ, trained together under four losses (paper, section 3)."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from criteria.distillation import distillation
from criteria.latent_distance import latent_distance
from criteria.likelihood import negative_log_likelihood
from criteria.mutual_information import mutual_information
from models.domain import Domain
from models.editors.sdflow import SDFlowEditor
from models.editors.stored import build_network
from models.editors.styleflow import StyleFlowEditor, TeacherSemantics
from models.flows.cnf import ContinuousFlow
from models.protocols import Classifier
from models.semantic_encoder import SemanticEncoder
from training.editing import AttributeEditorMethod, check_terms
from training.layout import channels_last, is_channels_last
from training.method import Batch, Phase
from training.targets import replace_one_attribute
from utils.config import ConfigError, as_section
from utils.ranges import Betas, Interval, Positive

TERMS = ("nll", "kd", "mi", "reg")


class SDFlowMethod(AttributeEditorMethod):
    """One phase, `editor`, with the terms `nll`, `kd`, `mi` and `reg`, or some of them.

    Gradients flow through the frozen generator to the edited code, and to nothing frozen. Without a semantic encoder
    the frozen classifier takes its place; with the term `nll` alone that is StyleFlow.

    Args:
        flow: section of Φ; its `style_dim` and `semantics` come from the domain.
        semantic_encoder: section of E_s; its `attributes` come from the domain. None: the domain's classifier C.
        terms: which are computed; their weights are the config's `training.loss_weights`.
        learning_rate, betas: of Adam (paper 1e-4 and (0.9, 0.99); the authors' code (0.9, 0.999)).
        edited_range: bounds of the uniform draw that replaces one semantic variable (paper [0, 1]).
        semantic_encoder_start: `random`, or `teacher`: E_s begins with the residual network of C. (The authors' code
            begins with one trained on ImageNet.)
    Raises:
        ConfigError: an unknown term, `kd` without an encoder that could learn, or a teacher of another layout.
    """

    term_names = TERMS

    def __init__(
        self,
        domain: Domain,
        flow: dict[str, Any],
        semantic_encoder: dict[str, Any] | None,
        terms: tuple[str, ...] = TERMS,
        learning_rate: Positive = 1e-4,
        betas: Betas = (0.9, 0.99),
        edited_range: Interval = (0.0, 1.0),
        semantic_encoder_start: Literal["random", "teacher"] = "random",
    ) -> None:
        super().__init__(domain)
        check_terms("sdflow", terms, TERMS)
        if "kd" in terms and semantic_encoder is None:
            raise ConfigError("method.terms: 'kd' trains a semantic encoder, and method.semantic_encoder is null")
        self.terms = terms
        self.flow = build_network(as_section(flow, "method.flow"), domain, ContinuousFlow)
        self.sections = {"flow": dict(flow)}
        self.semantic_encoder: nn.Module
        if semantic_encoder is None:
            self.semantic_encoder = TeacherSemantics(domain)
            self.parts = (*self.parts, "teacher")
        else:
            section = as_section(semantic_encoder, "method.semantic_encoder")
            encoder = build_network(section, domain, SemanticEncoder)
            if semantic_encoder_start == "teacher":
                begin_with_trunk(encoder, domain.teacher)
            self.semantic_encoder = channels_last(encoder)
            self.sections["semantic_encoder"] = dict(semantic_encoder)
        channels = is_channels_last(self.semantic_encoder)
        self._layout = torch.channels_last if channels else torch.contiguous_format
        self.learning_rate, self.betas = learning_rate, betas
        self.edited_range = edited_range
        self._semantics = torch.zeros(0, len(domain.attributes))
        self._evaluations = 0

    @property
    def frozen(self) -> bool:
        """Whether semantics are the domain's classifier's."""
        return isinstance(self.semantic_encoder, TeacherSemantics)

    def phases(self) -> list[Phase]:
        parameters = [*self.flow.parameters(), *self.semantic_encoder.parameters()]
        return [Phase("editor", parameters, torch.optim.Adam(parameters, lr=self.learning_rate, betas=self.betas))]

    def losses(self, phase: str, batch: Batch) -> dict[str, Tensor]:
        latent = batch["latent"]
        semantics = batch["teacher"]
        if not self.frozen:
            semantics = self.semantic_encoder(batch["image"].contiguous(memory_format=self._layout))
        z, log_det = self.flow.forward_and_log_det(latent, semantics)
        self._evaluations = self.flow.evaluations
        self._semantics = semantics.detach()
        values = {"nll": negative_log_likelihood(z, log_det), "kd": distillation(semantics, batch["teacher"])}
        if "mi" in self.terms or "reg" in self.terms:
            wanted = replace_one_attribute(semantics, *self.edited_range)
            edited = self.flow.inverse(z, wanted)  # w_e (paper, equation 4)
            self._evaluations += self.flow.evaluations
            values["reg"] = latent_distance(edited, latent)
            if "mi" in self.terms:
                values["mi"] = mutual_information(self.semantic_encoder(self.domain.synthesise(edited)), wanted)
        return {name: values[name] for name in self.terms}

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
        kind = StyleFlowEditor if self.frozen else SDFlowEditor
        return kind(self.flow, self.semantic_encoder, self.domain.attributes)


def begin_with_trunk(encoder: SemanticEncoder, classifier: Classifier) -> None:
    """Copy the classifier's residual network into the encoder's, whose head stays as it is.

    Raises:
        ConfigError: they are of different layouts.
    """
    trunk, own = classifier.get_submodule("extractor").state_dict(), encoder.backbone.state_dict()
    shapes = {key: value.shape for key, value in own.items() if not key.startswith("fc.")}
    if {key: value.shape for key, value in trunk.items()} != shapes:
        raise ConfigError(
            "method.semantic_encoder_start: the teacher's residual network has another layout than the semantic "
            "encoder's (method.semantic_encoder)"
        )
    encoder.backbone.load_state_dict(trunk, strict=False)
