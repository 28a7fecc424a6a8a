"""AdaTrans: for each attribute a path of adaptive steps that turns it in the picture and stays among probable codes."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from criteria.identity import identity_loss
from criteria.latent_distance import latent_distance
from criteria.perceptual import output_and_features, perceptual_distance
from models.adatrans import AdaTrans
from models.domain import Domain
from models.editors.adatrans import MOST_STEPS, AdaTransEditor
from models.editors.loading import check_fingerprints
from models.editors.stored import build_network
from models.weight_files import load_network
from training.editing import AttributeEditorMethod
from training.method import Batch, Phase
from training.methods.e4e import FEATURE_LAYERS
from utils.config import ConfigError, as_section
from utils.paths import displayed, resolve
from utils.ranges import Between, Count, FileName, Positive, Whole
from utils.weights import freeze


class AdaTransMethod(AttributeEditorMethod):
    """One phase, `editor`: one attribute a step, in turn, turns in all of its faces, and its network learns.

    Terms, with w_e the end of the path and Î its picture:
      class       cross-entropy of C's probabilities on Î and what is wanted: the attribute's other side, the face's
                  own probabilities elsewhere;
      reg         mean squared difference of w_e and w;
      nll         −log density of the codes along the path, nats per dimension;
      identity    1 − cosine of the face embeddings of Î and of the inversion;
      perceptual  distance of the teacher's features on them. (Published: LPIPS, whose weights are no part of a domain.)
    The published weights are 1, 1, 1, 0.1 and 0.1.

    Args:
        transformer: section of the networks; codes come from the domain.
        density: file of the RealNVP of codes: `train.py`'s or the public one.
        steps: of a path (published: 10, which is also the most in an edit; the default of its program is 5).
        pictures: of the codes that pass at once so many are drawn; batch normalisation, `reg` and `nll` see all
            (published: 16 of 256). None: all.
        held_steps: in so many first steps of each network its paths are half as long as they may be (published: 0).
            Lengths learn faster than directions: a path that does not turn its attribute yet only costs and shrinks,
            and from near by a saturated classifier may not tell where to go.
        learning_rate: of AdamW without weight decay (published 1e-4).
    Raises:
        ConfigError: the density is of other style vectors, or the path longer than edits may be.
        WeightsError: it is not there, or was trained with another generator or encoder.
    """

    term_names = ("class", "reg", "nll", "identity", "perceptual")

    def __init__(
        self,
        domain: Domain,
        transformer: dict[str, Any],
        density: FileName,
        steps: Annotated[int, Between(1, MOST_STEPS)] = 5,
        pictures: Count | None = None,
        held_steps: Whole = 0,
        learning_rate: Positive = 1e-4,
    ) -> None:
        super().__init__(domain)
        self.steps, self.pictures, self.held_steps, self.learning_rate = steps, pictures, held_steps, learning_rate
        section = as_section(transformer, "method.transformer")
        transformers = (build_network(section, domain, AdaTrans) for _ in domain.attributes)
        self.transformers = torch.nn.ModuleList(transformers)
        self.sections, self.settings = {"transformer": dict(transformer)}, {"steps": steps}
        self.parts = (*self.parts, "teacher")
        path = resolve(density)
        loaded = load_network(path, "realnvp", "train.py makes it: configs/peers/realnvp_*.yaml")
        check_fingerprints(domain, loaded.metadata.get("fingerprints", {}), displayed(path), "density of codes")
        if loaded.sizes["style_dim"] != domain.style_dim:
            raise ConfigError(
                f"method.density: {displayed(path)} is of style vectors of {loaded.sizes['style_dim']}, "
                f"those of domain '{domain.name}' have {domain.style_dim}"
            )
        self._density: list[Any] = [freeze(loaded.module.to(domain.device))]  # frozen: outside of the module tree
        self._lengths = [0.0 for _ in domain.attributes]  # of the last paths of each
        self._step = 0

    def phases(self) -> list[Phase]:
        parameters = list(self.transformers.parameters())
        return [Phase("editor", parameters, torch.optim.AdamW(parameters, lr=self.learning_rate, weight_decay=0.0))]

    def before_step(self, step: int) -> None:
        self._step = step

    def losses(self, phase: str, batch: Batch) -> dict[str, Tensor]:
        w, wanted = batch["latent"], batch["teacher"].clone()
        turn, attribute = divmod(self._step, wanted.shape[1])
        wanted[:, attribute] = (wanted[:, attribute] <= 0.5).to(wanted.dtype)
        sides = 2 * wanted[:, attribute : attribute + 1] - 1
        path, lengths = self.transformers[attribute](w, sides, self.steps, turn < self.held_steps)
        self._lengths[attribute] = float(lengths.detach().sum(1).mean())
        edited, drawn = path[-1], slice(self.pictures)
        picture = self.domain.synthesise(edited[drawn])
        with torch.no_grad():
            inversion = self.domain.synthesise(w[drawn])
            embedding = self.domain.identity_embedding(inversion)
            _, features = output_and_features(self.domain.teacher, FEATURE_LAYERS, inversion)
        logits, edited_features = output_and_features(self.domain.teacher, FEATURE_LAYERS, picture)
        columns = [self.domain.classifier_outputs.index(name) for name in self.domain.attributes]
        return {
            "class": F.binary_cross_entropy_with_logits(logits[:, columns], wanted[drawn]),
            "reg": latent_distance(edited, w),
            "nll": -self._density[0].log_prob(path[1:]).mean() / self.domain.style_dim,
            "identity": identity_loss(self.domain.identity_embedding(picture), embedding),
            "perceptual": perceptual_distance(edited_features, features),
        }

    def status(self) -> dict[str, float]:
        return {"path_length": sum(self._lengths) / len(self._lengths)}

    def editor(self) -> AdaTransEditor:
        transformers: list[Any] = list(self.transformers)
        return AdaTransEditor(transformers, self.domain, self.domain.attributes, self.steps)
