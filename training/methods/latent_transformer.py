"""Latent Transformer: one network an attribute learns to turn what a frozen classifier reads off a code."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from criteria.balanced_cross_entropy import balanced_cross_entropy
from criteria.latent_distance import latent_distance
from models.domain import Domain
from models.editors.latent_transformer import LatentTransformerEditor, attribute_columns
from models.editors.loading import check_fingerprints
from models.editors.stored import build_network
from models.latent_transformer import LatentTransformer, amount_to_other_side
from models.weight_files import load_network
from training.editing import AttributeEditorMethod, codes_and_scores
from training.method import Batch, Items, Phase
from utils.config import ConfigError
from utils.paths import displayed, resolve
from utils.ranges import Depth, FileName, NonNegative, Positive


class LatentTransformerMethod(AttributeEditorMethod):
    """One phase, `editor`; the attributes' networks learn side by side, each from all codes.

    Terms, summed over the attributes a, with p the classifier's probabilities of w and w_e = w + α f_a(w) turning a:
      target      class-balanced cross-entropy of a's other side on w_e;
      reg         mean squared difference of w_e and w;
      attributes  mean squared difference of the classifier's logits on w_e and w, each weighted by
                  1 − |its correlation with a| before it is squared.
    The published weights are 1, 10 and 1. Correlations are of the classifier's decisions on all training codes.

    Args:
        classifier: file of the classifier of codes: `train.py`'s, or the public one with CelebA's 40 outputs.
        learning_rate, weight_decay: of Adam (published 1e-3 and 5e-4).
        edited_styles: see `LatentTransformerEditor`; in training all rows move.
    Raises:
        ConfigError: the classifier takes other codes or has other attributes.
        WeightsError: it is not there, or was trained with another generator or encoder.
    """

    weights: Tensor

    term_names = ("target", "reg", "attributes")

    def __init__(
        self,
        domain: Domain,
        classifier: FileName,
        learning_rate: Positive = 1e-3,
        weight_decay: NonNegative = 5e-4,
        edited_styles: Depth | None = None,
    ) -> None:
        super().__init__(domain)
        path = resolve(classifier)
        loaded = load_network(path, "latent_classifier", "train.py makes it: configs/peers/latent_classifier_*.yaml")
        check_fingerprints(domain, loaded.metadata.get("fingerprints", {}), displayed(path), "classifier of codes")
        if loaded.sizes["inputs"] != domain.styles * domain.style_dim:
            raise ConfigError(
                f"method.classifier: {displayed(path)} takes codes of {loaded.sizes['inputs']} numbers, "
                f"those of domain '{domain.name}' have {domain.styles * domain.style_dim}"
            )
        self.classifier = loaded.module
        self.columns = attribute_columns(loaded.sizes["outputs"], domain)
        section = {"name": "latent_transformer"}
        transformers = (build_network(section, domain, LatentTransformer) for _ in domain.attributes)
        self.transformers = torch.nn.ModuleList(transformers)
        self.sections = {"transformer": section, "classifier": {"name": "latent_classifier", **loaded.sizes}}
        self.settings = {"edited_styles": edited_styles}
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.register_buffer("weights", torch.ones(len(self.columns), loaded.sizes["outputs"]))

    @torch.no_grad()
    def fit(self, data: Items) -> dict[str, float]:
        codes, _ = codes_and_scores(data)
        device = self.weights.device
        decisions = torch.cat([(self.classifier(part.to(device)) > 0).double().cpu() for part in codes.split(1024)])
        correlation = torch.corrcoef(decisions.t()).nan_to_num(0.0)  # of an attribute that never varies
        correlation.fill_diagonal_(1.0)
        self.weights.copy_(1 - correlation[self.columns].abs())
        return {}

    def phases(self) -> list[Phase]:
        parameters = list(self.transformers.parameters())
        adam = torch.optim.Adam(parameters, lr=self.learning_rate, weight_decay=self.weight_decay)
        return [Phase("editor", parameters, adam)]

    def losses(self, phase: str, batch: Batch) -> dict[str, Tensor]:
        w = batch["latent"]
        before = self.classifier(w)
        terms = {name: w.new_zeros(()) for name in ("target", "reg", "attributes")}
        for transformer, column, weights in zip(self.transformers, self.columns, self.weights, strict=True):
            probability = before[:, column].sigmoid()
            edited = transformer(w, amount_to_other_side(probability))
            after = self.classifier(edited)
            terms["target"] = terms["target"] + balanced_cross_entropy(after[:, column], (probability < 0.5).float())
            terms["reg"] = terms["reg"] + latent_distance(edited, w)
            terms["attributes"] = terms["attributes"] + F.mse_loss(after * weights, before * weights)
        return terms

    def editor(self) -> LatentTransformerEditor:
        attributes = self.domain.attributes
        transformers, classifier = list(self.transformers), self.classifier
        return LatentTransformerEditor(transformers, classifier, self.columns, attributes, **self.settings)  # type: ignore[arg-type]
