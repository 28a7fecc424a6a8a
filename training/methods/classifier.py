"""Attribute classifiers: the judge and the teacher of a domain."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from criteria.cross_entropy import known_cross_entropy
from models.domain import Domain
from training.domain_part import DomainPartMethod
from training.method import Batch, Items, Phase
from utils.config import ConfigError
from utils.images import grid
from utils.ranges import BelowOne, Betas, NonNegative, Positive

AMBIGUOUS = 0.05  # of the range: continuous attributes this near to their threshold are not counted as right or wrong
_RIGHT, _WRONG, _OPEN = (-0.4, 0.5, -0.3), (1.0, -0.6, -0.6), (0.6, 0.6, 0.6)


def truth_and_clarity(values: Tensor) -> tuple[Tensor, Tensor]:
    """Truth of attribute values in [0, 1] and whether it is clear, both bool, of the values' shape.

    What is not known (NaN) is not clear.
    """
    return values > 0.5, (values - 0.5).abs() >= AMBIGUOUS


class ClassifierMethod(DomainPartMethod):
    """One phase, `classifier`, with the term `bce`; batches hold `image`, `values` (B, O) and `labels` (B, O).

    The columns are the domain's `classifier_outputs`. Values and labels that are not known are NaN; they count in no
    loss and no measure.

    Args:
        part: which classifier of the domain is trained.
        labels: `values`: the true value > 0.5; `labels`: what annotators said.
        softness: with `values`, targets are sigmoid((value − 0.5) / softness) instead of a step, so that the logit also
            tells how far a continuous attribute is from its threshold; 0: a step.
        learning_rate, weight_decay, betas: of AdamW.
        average_decay: decay per step of a moving average of the network that is exported; 0: none.
        augment: section of `training.augment.Augmentation`.
    Raises:
        ConfigError: the network has another number of outputs than the domain says, or age logits, which no data set
            here has labels of.
    """

    term_names = ("bce",)

    def __init__(
        self,
        domain: Domain,
        part: Literal["judge", "teacher"],
        labels: Literal["values", "labels"] = "labels",
        softness: NonNegative = 0.0,
        learning_rate: Positive = 1e-3,
        weight_decay: NonNegative = 1e-2,
        betas: Betas = (0.9, 0.99),
        average_decay: BelowOne = 0.0,
        augment: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(domain, part, average_decay, augment)
        self.labels, self.softness = labels, softness
        self.needs = ("image", labels)
        self.learning_rate, self.weight_decay, self.betas = learning_rate, weight_decay, betas
        heads, ages = self.network.attribute_count, self.network.age_logits
        if heads != len(domain.classifier_outputs) or ages:
            raise ConfigError(
                f"method: {domain.name}'s {part} has {heads} attribute heads and {ages} age logits; to be trained it "
                f"needs {len(domain.classifier_outputs)} (its classifier_outputs) and 0"
            )

    def check_data(self, data: Items) -> None:
        super().check_data(data)
        columns = getattr(data, "attributes", self.domain.classifier_outputs)
        if columns != self.domain.classifier_outputs:
            raise ConfigError(
                f"data: columns {', '.join(columns)}, but {self.domain.name}'s classifiers have the outputs "
                f"{', '.join(self.domain.classifier_outputs)}"
            )

    def phases(self) -> list[Phase]:
        matrices = [p for p in self.network.parameters() if p.ndim > 1]
        others = [p for p in self.network.parameters() if p.ndim <= 1]
        groups = [
            {"params": matrices, "weight_decay": self.weight_decay},
            {"params": others, "weight_decay": 0.0},  # decay of norms and biases only moves the scale elsewhere
        ]
        optimiser = torch.optim.AdamW(groups, lr=self.learning_rate, betas=self.betas)
        return [Phase("classifier", matrices + others, optimiser)]

    def targets(self, batch: Batch) -> Tensor:
        """What the probabilities (B, O) are drawn to; NaN where it is not known."""
        if self.labels == "labels":
            return batch["labels"].float()
        if self.softness:
            return torch.sigmoid((batch["values"] - 0.5) / self.softness)
        values = batch["values"]
        return truth_and_clarity(values)[0].float().masked_fill(values.isnan(), torch.nan)

    def losses(self, phase: str, batch: Batch) -> dict[str, Tensor]:
        logits = self.network(self.augmented(batch["image"]))
        return {"bce": known_cross_entropy(logits, self.targets(batch))}

    @torch.no_grad()
    def validate(self, batch: Batch) -> dict[str, float]:
        """Accuracy against the clear truth, by attribute; attributes without any are left out."""
        truth, clear = truth_and_clarity(batch["values"])
        right = (self.result(batch["image"]) > 0) == truth
        rights, counts = (right & clear).sum(0).tolist(), clear.sum(0).tolist()
        outputs = zip(self.domain.classifier_outputs, rights, counts, strict=True)
        return {f"accuracy_{name}": number / count for name, number, count in outputs if count}

    @torch.no_grad()
    def preview(self, batch: Batch) -> Tensor:
        columns = [self.domain.classifier_outputs.index(name) for name in self.domain.attributes]
        truth, clear = truth_and_clarity(batch["values"][:, columns])
        return ranked_faces(batch["image"], self.result(batch["image"])[:, columns], truth, clear)

    def metadata(self) -> dict[str, Any]:
        return {**super().metadata(), "method": "classifier", "attributes": list(self.domain.classifier_outputs)}


def ranked_faces(image: Tensor, logits: Tensor, truth: Tensor, clear: Tensor, count: int = 12) -> Tensor:
    """A row for each attribute of `count` pictures, from the surest no to the surest yes.

    Frames are green: right, red: wrong, grey: unclear or not known.

    Args:
        image: (B, 3, S, S).
        logits, truth, clear: (B, A).
    """
    count = min(count, len(image))
    shown = []
    for attribute in range(logits.shape[1]):
        order = logits[:, attribute].argsort()
        picks = order[torch.linspace(0, len(order) - 1, count, device=order.device).round().long()]
        for index in picks.tolist():
            right = bool((logits[index, attribute] > 0) == truth[index, attribute])
            colour = (_RIGHT if right else _WRONG) if clear[index, attribute] else _OPEN
            shown.append(framed(image[index], colour))
    return grid(torch.stack(shown), count)


def framed(image: Tensor, colour: tuple[float, float, float], width: int = 2) -> Tensor:
    """A picture (3, H, W) with a frame of the colour, channels in [−1, 1]."""
    framed_image = image.new_tensor(colour)[:, None, None].expand_as(image).clone()
    framed_image[:, width:-width, width:-width] = image[:, width:-width, width:-width]
    return framed_image
