"""e4e: an encoder whose codes can be edited ("Designing an Encoder for StyleGAN Image Manipulation", 2021)."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from criteria.adversarial import generator_loss
from criteria.code_norm import code_norm
from criteria.delta import delta_loss
from criteria.identity import identity_loss
from criteria.perceptual import output_and_features, perceptual_distance
from models.domain import Domain
from training.latent_adversary import PHASE_TERMS, build_discriminator, discriminator_losses, discriminator_phase
from training.method import Batch, Method, Phase, update_average
from training.pairs import drawn_z
from training.ranger import Ranger
from utils.config import ConfigError, nearest
from utils.images import grid
from utils.paths import resolve
from utils.ranges import BelowOne, Betas, Between, FileName, Positive, Whole

TERMS = ("image", "perceptual", "identity", "delta", "norm", "adversarial", "classifier", "latent", "drawn_latent")
FEATURE_LAYERS = ("extractor.relu", "extractor.layer1", "extractor.layer2", "extractor.layer3")  # halves: 1/2 … 1/16


def stage_at(step: int, first_stage_steps: int, stage_steps: int, styles: int) -> int:
    """Highest row with an offset of its own at a step, counted from 0 (paper, section 3.3.1).

    Row 0 alone for `first_stage_steps`, then one more row every `stage_steps`; all rows from the first step on where
    `stage_steps` is 0.
    """
    if not stage_steps:
        return styles - 1
    if step < first_stage_steps:
        return 0
    return min(1 + (step - first_stage_steps) // stage_steps, styles - 1)


class E4eMethod(Method):
    """e4e, and with `first_stage_steps: 0`, `stage_steps: 0` and the terms `image, perceptual, identity` pSp.

    Phases `encoder` and, with the term `adversarial`, `latent_discriminator`; batches hold `image` (B, 3, S, S).

    Terms of the encoder, for a face I, its code w = E(I) + latent_avg and its inversion G(w):
      image        mean squared difference of I and G(w);
      perceptual   distance of the teacher's features of I and G(w);
      identity     1 − cosine of the face embeddings;
      delta        Σ_i ‖w_i − w_0‖;
      norm         ‖w − latent_avg‖;
      adversarial  whether the latent discriminator takes the rows of w for mapped ones;
      classifier   mean squared difference of the teacher's probabilities;
      latent       mean squared difference of w' and E(G(w')) + latent_avg for mapped, style-mixed codes w';
      drawn_latent mean squared difference of w and the mapped code of the numbers that a drawn face was made of, which
                   batches then hold as `normals` (B, N); for a generator that was taught them (`drawn_normals`).
    Terms of the latent discriminator: `latent_discriminator`, and `latent_r1`, ½‖∂D/∂w‖² on mapped codes.

    Args:
        terms: which of them are computed; their weights are the config's `training.loss_weights`.
        feature_layers: the teacher's layers that `perceptual` compares.
        latent_discriminator: section of the latent discriminator; its `style_dim` comes from the domain.
        optimiser: of the encoder: `adam`, or `ranger`, the published one of both systems.
        learning_rate, betas: of the optimiser; None takes (0.9, 0.999) for Adam and (0.95, 0.999) for Ranger.
        discriminator_learning_rate: of Adam for the latent discriminator.
        first_stage_steps, stage_steps: how rows join in, see `stage_at`.
        average_decay: decay per step of a moving average of the encoder that is exported; 0: none.
        latent_average_samples: number of mapped z whose mean is `latent_avg`.
        synthetic_batch: number of codes w' a step for the term `latent`.
        initial: file of an encoder to start from, such as that of an earlier state of the generator or a published one.
    """

    latent_avg: Tensor

    term_names = (*TERMS, *PHASE_TERMS)

    def __init__(
        self,
        domain: Domain,
        terms: tuple[str, ...] = ("image", "perceptual", "identity", "delta", "adversarial"),
        feature_layers: tuple[str, ...] = FEATURE_LAYERS,
        latent_discriminator: dict[str, Any] | None = None,
        learning_rate: Positive = 1e-4,
        betas: Betas | None = None,
        discriminator_learning_rate: Positive = 2e-5,
        first_stage_steps: Whole = 20000,
        stage_steps: Whole = 2000,
        average_decay: BelowOne = 0.0,
        latent_average_samples: Annotated[int, Between(1, 10_000_000)] = 10000,
        synthetic_batch: Annotated[int, Between(1, 1_000_000)] = 8,
        initial: FileName | None = None,
        optimiser: Literal["adam", "ranger"] = "adam",
    ) -> None:
        super().__init__()
        for name in terms:
            if name not in TERMS:
                raise ConfigError(f"method.terms: e4e has no term '{name}'{nearest(name, TERMS)}")
        critic: Any = build_discriminator(latent_discriminator, terms, domain)
        self.domain = domain
        self.needs = ("image", "normals") if "drawn_latent" in terms else ("image",)
        self.terms, self.feature_layers = tuple(terms), tuple(feature_layers)
        self.encoder: Any = domain.untrained("encoder")
        if (first_stage_steps or stage_steps) and not hasattr(self.encoder, "stage"):
            raise ConfigError(
                "method: first_stage_steps and stage_steps must be 0 with this encoder, whose rows join at once"
            )
        if initial is not None:  # without its mean code, which is the present generator's
            self.encoder, _ = domain.from_weights("encoder", resolve(initial))
        self.latent_discriminator = critic
        self.optimiser, self.learning_rate = optimiser, learning_rate
        self.betas = betas or ((0.9, 0.999) if optimiser == "adam" else (0.95, 0.999))
        self.discriminator_learning_rate = discriminator_learning_rate
        self.first_stage_steps, self.stage_steps = first_stage_steps, stage_steps
        self.synthetic_batch = synthetic_batch
        self.average_decay = average_decay
        self.average: Any = copy.deepcopy(self.encoder).requires_grad_(False) if average_decay else None
        self.register_buffer("latent_avg", self._mean_latent(latent_average_samples))
        self._codes: list[Tensor] = []

    @torch.no_grad()
    def _mean_latent(self, samples: int) -> Tensor:
        """Mean of mapped z, (L, D), for every row the same unless each has its own; the same for every run."""
        z = torch.randn(samples, *self.domain.generator.z_shape, generator=torch.Generator().manual_seed(0))
        mean: Tensor = self.domain.generator.mapping(z.to(self.domain.device)).mean(0)
        return mean.expand(self.domain.styles, -1).clone()

    def phases(self) -> list[Phase]:
        parameters = list(self.encoder.parameters())
        kind = torch.optim.Adam if self.optimiser == "adam" else Ranger
        phases = [Phase("encoder", parameters, kind(parameters, lr=self.learning_rate, betas=self.betas))]
        if self.latent_discriminator is not None:
            phases.append(discriminator_phase(self.latent_discriminator, self.discriminator_learning_rate))
        return phases

    def before_step(self, step: int) -> None:
        stage = stage_at(step, self.first_stage_steps, self.stage_steps, self.domain.styles)
        for encoder in (self.encoder, self.average):
            if encoder is not None:
                encoder.stage = stage
        self._codes.clear()

    def losses(self, phase: str, batch: Batch) -> dict[str, Tensor]:
        if phase == "encoder":
            return self._encoder_losses(batch)
        if phase == "latent_discriminator":
            return discriminator_losses(self.latent_discriminator, self._codes.pop(0), self.domain)
        raise ValueError(f"e4e has no phase '{phase}'")

    def _encoder_losses(self, batch: Batch) -> dict[str, Tensor]:
        image = batch["image"]
        values: dict[str, Tensor] = {}
        if "latent" in self.terms:
            mapped, synthetic = self._synthetic_pairs()
            codes = self.encoder(torch.cat([image, synthetic])) + self.latent_avg
            latent, returned = codes.split([len(image), len(synthetic)])
            values["latent"] = F.mse_loss(returned, mapped)
        else:
            latent = self.encoder(image) + self.latent_avg
        if "drawn_latent" in self.terms:
            mapped = self._mapped(drawn_z(batch, self.domain.style_dim))
            values["drawn_latent"] = F.mse_loss(latent, mapped[:, None].expand_as(latent))
        inversion = self.draw(latent)
        rows = latent[:, : self.encoder.stage + 1]
        self._codes.append(rows.detach())
        values["image"] = F.mse_loss(inversion, image)
        if "perceptual" in self.terms or "classifier" in self.terms:
            distance, difference = self._teacher_distances(image, inversion)
            values["perceptual"], values["classifier"] = distance, difference
        if "identity" in self.terms:
            values["identity"] = identity_loss(self.domain.identity_embedding(inversion), self._identity_of(image))
        if "delta" in self.terms:
            values["delta"] = delta_loss(rows)
        if "norm" in self.terms:
            values["norm"] = code_norm(latent, self.latent_avg)
        if "adversarial" in self.terms:
            values["adversarial"] = generator_loss(self.latent_discriminator(rows))
        return {name: values[name] for name in self.terms}

    @torch.no_grad()
    def _identity_of(self, image: Tensor) -> Tensor:
        return self.domain.identity_embedding(image)

    def _teacher_distances(self, image: Tensor, inversion: Tensor) -> tuple[Tensor, Tensor]:
        """Perceptual distance and mean squared difference of the probabilities."""
        with torch.no_grad():
            logits, targets = output_and_features(self.domain.teacher, self.feature_layers, image)
        inverted_logits, features = output_and_features(self.domain.teacher, self.feature_layers, inversion)
        difference = F.mse_loss(inverted_logits.sigmoid(), logits.sigmoid())
        return perceptual_distance(features, targets), difference

    @torch.no_grad()
    def _mapped(self, z: Tensor) -> Tensor:
        w: Tensor = self.domain.generator.mapping(z)
        return w

    def _random(self, count: int) -> Tensor:
        return torch.randn(count, *self.domain.generator.z_shape, device=self.latent_avg.device)

    @torch.no_grad()
    def _synthetic_pairs(self) -> tuple[Tensor, Tensor]:
        """Codes (N, L, D), two mapped codes each with a random change-over, and their pictures."""
        count, rows = self.synthetic_batch, self.domain.styles
        first, second = self.domain.generator.broadcast(self._mapped(self._random(2 * count))).split(count)
        change = torch.randint(1, rows + 1, (count, 1, 1), device=first.device)  # `rows`: all from one
        index = torch.arange(rows, device=first.device)[None, :, None]
        latent = torch.where(index < change, first, second)
        return latent, self.draw(latent).clamp(-1, 1)

    def draw(self, latent: Tensor) -> Tensor:
        """Pictures (B, 3, S, S) of codes (B, L, D), not clamped: too bright a pixel is to have a gradient."""
        return self.domain.resized(self.domain.generator.synthesis(latent, noise="constant"))

    def after_step(self, step: int) -> None:
        if self.average is not None:
            update_average(self.average, self.encoder, min(self.average_decay, step / (step + 10)))

    @property
    def trained(self) -> Any:
        """The encoder that is shown and exported."""
        return self.encoder if self.average is None else self.average

    def invert(self, image: Tensor) -> Tensor:
        """Inversions (B, 3, S, S) of faces, in portions that fit any memory."""
        portions = [self.draw(self.trained(part) + self.latent_avg) for part in image.split(32)]
        return torch.cat(portions).clamp(-1, 1)

    @torch.no_grad()
    def validate(self, batch: Batch) -> dict[str, float]:
        """Distances between held-out faces and their inversions, and the share of the teacher's decisions kept."""
        image = batch["image"]
        inversion = self.invert(image)
        distance, _ = self._teacher_distances(image, inversion)
        cosine = 1 - identity_loss(self.domain.identity_embedding(inversion), self.domain.identity_embedding(image))
        before = self.domain.teacher_probabilities(image) >= 0.5
        kept = (self.domain.teacher_probabilities(inversion) >= 0.5) == before
        shares = kept.float().mean(0).tolist()
        return {
            "image": float(F.mse_loss(inversion, image)),
            "perceptual": float(distance),
            "identity_cosine": float(cosine),
            "decisions_kept": float(kept.float().mean()),
            **{f"kept/{name}": share for name, share in zip(self.domain.attributes, shares, strict=True)},
        }

    @torch.no_grad()
    def preview(self, batch: Batch) -> Tensor:
        """First row: faces; second row: their inversions."""
        image = batch["image"]
        return grid(torch.cat([image, self.invert(image)]), columns=len(image))

    def exports(self) -> Mapping[str, tuple[Mapping[str, Tensor], Mapping[str, Any]]]:
        network = self.domain.config.section("encoder").plain()
        network.pop("weights", None)
        metadata = {
            "part": "encoder",
            "method": "e4e",
            "network": network,
            "fingerprints": self.domain.fingerprints(("generator",)),
        }
        return {"encoder": ({**self.trained.state_dict(), "latent_avg": self.latent_avg}, metadata)}
