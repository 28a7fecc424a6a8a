"""S²-Flow: the flow Φ and the mask encoder C, trained together so that a picture follows another mask.

The published code has no training. What is known of it is a list of weights; the formulas are ours.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from criteria.identity import identity_loss
from criteria.likelihood import negative_log_likelihood
from criteria.mask_agreement import mask_agreement
from criteria.unchanged_pixels import unchanged_pixels
from models.domain import Domain
from models.editors.s2flow import S2FlowEditor
from models.editors.stored import build_network
from models.flows.cnf import ContinuousFlow
from models.parsing.agreement import confusion, mean_iou
from models.parsing.mask_encoder import MaskEncoder
from models.parsing.masks import as_image
from training.editing import EditorMethod, check_terms
from training.method import Batch, Phase
from training.methods.e4e import FEATURE_LAYERS
from training.picture_distance import LPIPS_TRUNK, PictureDistance
from utils.config import as_section
from utils.images import at_side, grid
from utils.paths import resolve
from utils.ranges import Betas, FileName, Fraction, Positive, Whole

PUBLISHED = ("nll", "mask", "pixels", "perceptual")
TERMS = (*PUBLISHED, "identity")


class S2FlowMethod(EditorMethod):
    """One phase, `editor`. Batches hold `latent` (B, L, D) and `targets` (B, 3, S, S), see `datasets.mask_targets`.

    With x = G(w), its mask m as the domain's parser finds it, and m' one of the targets: z = Φ(w; C(m)),
    w' = Φ⁻¹(z; C(m')), x' = G(w'). Terms:
      nll         −log p(w | m), nats per dimension;
      mask        cross-entropy of the parser's logits on x' and m';
      pixels      mean |x' − x| where m = m';
      perceptual  distance of x' and x in the features of frozen networks (published: LPIPS);
      identity    1 − cosine of the face embeddings of x' and x (the published experiment has it, with the weight 0).
    Gradients flow through the frozen networks to w', and to nothing frozen. With `nll` alone no picture is edited.

    Args:
        flow: section of Φ; its `style_dim` and `semantics` come from the domain and the mask encoder.
        mask_encoder: section of C; its `side` is that of the targets.
        terms: which are computed; their weights are the config's `training.loss_weights`.
        learning_rate, betas: of Adam (published: 3e-4).
        level_steps: steps until the next level of targets joins: easy ones alone, with medium, all. 0: all at once.
        balance: how much small parts of a mask count, see `criteria.mask_agreement`.
        features: in which `perceptual` compares pictures, see `training.picture_distance`.
        feature_layers: the teacher's layers, where `features` name it.
        lpips_trunk: file of torchvision's AlexNet, where they name LPIPS.
    Raises:
        ConfigError: an unknown term.
    """

    term_names = TERMS
    needs = ("latent", "targets")

    def __init__(
        self,
        domain: Domain,
        flow: dict[str, Any],
        mask_encoder: dict[str, Any],
        terms: tuple[str, ...] = PUBLISHED,
        learning_rate: Positive = 3e-4,
        betas: Betas = (0.9, 0.999),
        level_steps: Whole = 0,
        balance: Fraction = 0.0,
        features: tuple[str, ...] = ("teacher",),
        feature_layers: tuple[str, ...] = FEATURE_LAYERS,
        lpips_trunk: FileName = LPIPS_TRUNK,
    ) -> None:
        super().__init__(domain)
        check_terms("s2flow", terms, TERMS)
        self.terms = terms
        if "perceptual" in terms:
            self.distance = PictureDistance(domain, features, resolve(lpips_trunk), feature_layers)
        self.mask_encoder = build_network(as_section(mask_encoder, "method.mask_encoder"), domain, MaskEncoder)
        outputs = self.mask_encoder.outputs
        self.flow = build_network(as_section(flow, "method.flow"), domain, ContinuousFlow, semantics=outputs)
        self.sections = {"flow": dict(flow), "mask_encoder": dict(mask_encoder)}
        self.parts = (*self.parts, "parser")
        self.learning_rate, self.betas, self.level_steps = learning_rate, betas, level_steps
        self.balance = balance
        self._step = 0
        self._evaluations = 0

    def phases(self) -> list[Phase]:
        parameters = [*self.flow.parameters(), *self.mask_encoder.parameters()]
        return [Phase("editor", parameters, torch.optim.Adam(parameters, lr=self.learning_rate, betas=self.betas))]

    def before_step(self, step: int) -> None:
        self._step = step

    def levels(self, count: int) -> int:
        """How many of so many levels of targets are drawn from in this step."""
        return min(count, 1 + self._step // self.level_steps) if self.level_steps else count

    def drawn(self, targets: Tensor) -> Tensor:
        """One target (B, S, S) int64 of each face, drawn from the levels that have joined."""
        faces, count = targets.shape[:2]
        level = torch.randint(self.levels(count), (faces,), device=targets.device)
        return targets[torch.arange(faces, device=targets.device), level].long()

    def losses(self, phase: str, batch: Batch) -> dict[str, Tensor]:
        w, side = batch["latent"], self.mask_encoder.side
        with torch.no_grad():
            picture = self.domain.synthesise(w)
            seen = at_side(picture, side)
            source = self.domain.parse(seen)
        target = self.drawn(batch["targets"])
        # Together: the encoder's batch normalisation must see both masks alike.
        condition, wanted = self.mask_encoder(torch.cat([source, target])).chunk(2)
        z, log_det = self.flow.forward_and_log_det(w, condition)
        self._evaluations = self.flow.evaluations
        values = {"nll": negative_log_likelihood(z, log_det)}
        if set(self.terms) == {"nll"}:
            return values
        edited = self.domain.synthesise(self.flow.inverse(z, wanted))
        self._evaluations += self.flow.evaluations
        edited_seen = at_side(edited, side)
        if "mask" in self.terms:
            values["mask"] = mask_agreement(self.domain.parser_logits(edited_seen), target, self.balance)
        if "pixels" in self.terms:
            values["pixels"] = unchanged_pixels(edited_seen, seen, source == target)
        if "perceptual" in self.terms:
            values["perceptual"] = self.distance(edited, picture)
        if "identity" in self.terms:
            with torch.no_grad():
                embedding = self.domain.identity_embedding(picture)
            values["identity"] = identity_loss(self.domain.identity_embedding(edited), embedding)
        return {name: values[name] for name in self.terms}

    def after_step(self, step: int) -> None:
        self.flow.update_statistics()

    def status(self) -> dict[str, float]:
        return {"evaluations": self._evaluations}

    def editor(self) -> S2FlowEditor:
        return S2FlowEditor(self.flow, self.mask_encoder, self.domain.parse)

    def _edited(self, w: Tensor, source: Tensor, target: Tensor) -> Tensor:
        """Pictures of faces whose masks (B, side, side) become others."""
        editor = self.editor()
        condition, wanted = editor.condition_of(source), editor.condition_of(target.long())
        return self.domain.synthesise(editor.move(editor.prepare(w, condition), condition, wanted))

    @torch.no_grad()
    def validate(self, batch: Batch) -> dict[str, float]:
        """Mean IoU with the hard targets, of the inversions and of their edits, and identity between the two."""
        target = batch["targets"][:, -1]
        picture = self.domain.synthesise(batch["latent"])
        source = self.editor().mask_of(picture)
        edited = self._edited(batch["latent"], source, target)
        one, other = (self.domain.identity_embedding(image) for image in (picture, edited))
        return {
            "iou_before": mean_iou(confusion(target, source)),
            "iou": mean_iou(confusion(target, self.editor().mask_of(edited))),
            "identity": float((one * other).sum(1).mean()),
        }

    @torch.no_grad()
    def preview(self, batch: Batch) -> Tensor:
        """A column a face: inversion and its mask, then each target and the edit towards it."""
        picture, side = self.domain.synthesise(batch["latent"]), self.domain.image_side
        source = self.editor().mask_of(picture)
        rows = [picture, at_side(as_image(source), side)]
        for target in batch["targets"].unbind(1):
            rows += [at_side(as_image(target), side), self._edited(batch["latent"], source, target)]
        return grid(torch.cat(rows), len(picture))
