"""The face parser of a domain, from faces whose masks are known."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from models.domain import Domain
from models.parsing.agreement import confusion, mean_iou, pixel_accuracy
from models.parsing.masks import coloured, mirrored
from training.domain_part import DomainPartMethod
from training.method import Batch, Phase
from utils.config import ConfigError
from utils.images import grid
from utils.options import Precision
from utils.ranges import BelowOne, Betas, Fraction, NonNegative, Positive


class FaceParserMethod(DomainPartMethod):
    """One phase, `parser`, with the term `cross_entropy`; batches hold `image`, `mask` (B, S, S) and `latent`.

    A share of each batch is shown as the generator reproduces it from its codes, with the same mask as target: the
    parser must read the generator's pictures as well, edges and details of which are a little off.

    Args:
        inversions: that share.
        mirror: whether half of the pictures are mirrored, with their masks.
        precision: of the network's arithmetic while it learns.
        learning_rate, weight_decay, betas: of AdamW.
        average_decay: decay per step of a moving average of the network that is exported; 0: none.
        augment: section of `training.augment.Augmentation`.
    Raises:
        ConfigError: an augmentation that moves pictures, but not their masks.
    """

    term_names = ("cross_entropy",)
    needs = ("image", "mask", "latent")

    def __init__(
        self,
        domain: Domain,
        inversions: Fraction = 0.5,
        mirror: bool = True,
        precision: Precision = "float32",
        learning_rate: Positive = 1e-3,
        weight_decay: NonNegative = 1e-2,
        betas: Betas = (0.9, 0.99),
        average_decay: BelowOne = 0.0,
        augment: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(domain, "parser", average_decay, augment)
        if self.augment.shift:
            raise ConfigError("method.augment.shift: masks would not move with the pictures; leave it out")
        self.inversions, self.mirror, self.precision = inversions, mirror, precision
        self.learning_rate, self.weight_decay, self.betas = learning_rate, weight_decay, betas

    def phases(self) -> list[Phase]:
        parameters = list(self.network.parameters())
        optimiser = torch.optim.AdamW(
            parameters, lr=self.learning_rate, weight_decay=self.weight_decay, betas=self.betas
        )
        return [Phase("parser", parameters, optimiser)]

    def examples(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Pictures (B, 3, S, S), the first ones inverted and half of them mirrored, and their masks (B, S, S)."""
        image, mask = batch["image"], batch["mask"]
        count = round(self.inversions * len(image))
        if count:
            with torch.no_grad():
                image = torch.cat([self.domain.synthesise(batch["latent"][:count]), image[count:]])
        if self.mirror:
            turned = torch.rand(len(image), device=image.device) < 0.5
            image = torch.where(turned[:, None, None, None], image.flip(-1), image)
            mask = torch.where(turned[:, None, None], mirrored(mask), mask)
        return image, mask

    def losses(self, phase: str, batch: Batch) -> dict[str, Tensor]:
        image, mask = self.examples(batch)
        image = self.augmented(image)
        with torch.autocast(image.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            logits = self.network(image)
        return {"cross_entropy": F.cross_entropy(logits.float(), mask)}

    def parse(self, image: Tensor) -> Tensor:
        """The classes (B, S, S) that the network exported at the end finds in pictures."""
        found: Tensor = self.result(image).argmax(1)
        return found

    @torch.no_grad()
    def validate(self, batch: Batch) -> dict[str, float]:
        """Mean IoU and share of right pixels, on the faces themselves and on their inversions."""
        measures: dict[str, float] = {}
        inverted = self.domain.synthesise(batch["latent"])
        for kind, image in (("faces", batch["image"]), ("inversions", inverted)):
            counts = confusion(batch["mask"], self.parse(image))
            measures |= {f"iou_{kind}": mean_iou(counts), f"accuracy_{kind}": pixel_accuracy(counts)}
        return measures

    @torch.no_grad()
    def preview(self, batch: Batch, count: int = 8) -> Tensor:
        """A column a face: picture, its mask, the mask found in it, its inversion, and the mask found in that."""
        image, inverted = batch["image"][:count], self.domain.synthesise(batch["latent"][:count])
        masks = [coloured(mask) for mask in (batch["mask"][:count], self.parse(image), self.parse(inverted))]
        return grid(torch.cat([image, masks[0], masks[1], inverted, masks[2]]), len(image))

    def metadata(self) -> dict[str, Any]:
        return {**super().metadata(), "method": "face_parser"}
