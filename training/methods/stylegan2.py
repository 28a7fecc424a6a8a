"""StyleGAN2 from nothing ("Analyzing and Improving the Image Quality of StyleGAN", 2020)."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from criteria.adversarial import discriminator_loss, generator_loss, r1_penalty
from criteria.path_length import path_length_penalty, path_lengths
from criteria.perceptual import output_and_features, perceptual_distance
from models import NETWORKS
from models.domain import Domain
from models.reader import Reader
from models.stylegan2.discriminator import Discriminator
from models.weight_files import fill_network
from training.attention import attention_sheet
from training.method import Batch, Method, Phase, update_average
from training.pairs import begin_with_numbers, drawn_z, normals_of
from utils.config import ConfigError, as_section
from utils.images import grid
from utils.paths import resolve
from utils.ranges import BelowOne, Betas, Between, Count, FileName, Fraction, NonNegative, Positive, Whole
from utils.weight_files.formats import read_checkpoint


def average_decay(batch_images: int, seen_images: int, half_life_images: float, ramp: float) -> float:
    """Decay per step of a moving average whose half-life is counted in images and grows with the images seen.

    The half-life is min(half_life_images, ramp · seen_images): early averages forget the first, useless weights.
    """
    half_life = min(half_life_images, ramp * seen_images)
    decay: float = 0.5 ** (batch_images / max(half_life, 1e-8))
    return decay


def lazy_adam(
    parameters: Iterable[nn.Parameter], learning_rate: float, betas: tuple[float, float], every: int
) -> torch.optim.Adam:
    """Adam for a network whose regulariser takes an extra step every `every` steps (0: never).

    With c = every / (every + 1), learning rate and betas become c·lr and βᶜ, so that every + 1 steps move as far and
    remember as long as `every` steps without the regulariser (paper, appendix B, "Lazy regularization").
    """
    c = every / (every + 1) if every else 1.0
    return torch.optim.Adam(parameters, lr=c * learning_rate, betas=(betas[0] ** c, betas[1] ** c), eps=1e-8)


def _nothing_of(output: Tensor) -> Tensor:
    """0 with a gradient of 0 in all weights that a network's output depends on.

    A regulariser's gradient depends on fewer: without this, Adam would count fewer steps for the others.
    """
    return 0 * output.sum()


class StyleGAN2Method(Method):
    """Phases `discriminator`, `r1`, `reader`, `generator` and `path_length`; batches hold `image` (B, 3, S, S).

    The two regularisers run every `r1_every` and `path_length_every` steps; their terms, `r1` and `path_length`, are
    multiplied by their weight and by that number, so that their mean strength does not depend on it. A weight or
    interval of 0 turns them off. Pictures are never flipped: light and pose are factors of the faces.

    Args:
        discriminator: section of D; without one only the term `generator` and its two phases are left out, and pairs
            alone teach: a start that is three times as quick.
        learning_rate, betas: of Adam for both networks, before the correction for lazy regularisation.
        style_mixing: share of samples whose rows after a random one come from a second z; 0 with a transformer as
            mapping network, where each row has its own z.
        noise: `random` maps in every layer as published; `constant`, the generator's own; `none` where all detail is to
            come from the latent code, which is all that an encoder can give back (the strengths then stay 0).
        r1_gamma: γ of the gradient penalty γ/2·‖∂D(x)/∂x‖².
        path_length_weight: weight of the path length penalty.
        path_length_shrink: the penalty is computed on 1/shrink of the batch.
        path_length_decay: share of the old value that the running mean length keeps at each update.
        average_images: half-life, in images, of the generator's moving average, which is what is exported.
        average_ramp: early on the half-life is this share of the images seen.
        drawn_normals: N for drawn faces whose data give `normals` (B, N) with the image: the independent standard
            normal numbers that the face was drawn from. They become the first N numbers of a z, and the terms
            `drawn_image` (mean absolute difference) and `drawn_perceptual` (distance of the teacher's features) draw
            the picture of that z to the face. No published training has them: photographs have no such numbers.
        feature_layers: the teacher's layers that `drawn_perceptual` compares.
        reader: section of a network that learns, in a phase `reader`, to read the drawn normals off drawn faces (term
            `reader`, mean squared error). The generator's term `drawn_readings` is the mean squared difference between
            its readings of the picture and of the face: what shows in few pixels (colour of the eyes, parting, frame)
            then counts as much as what shows in many; without it such things are drawn at their mean.
        reader_rate: learning rate of the reader's Adam.
        mapping_rate: learning rate of the mapping relative to the published one, a hundredth of the others': too slow
            for pairs, which the mapping has to learn from nothing.
        least_share: without a discriminator, the least share of the variance of w that each drawn number begins with.
            A mapping learns to leave out what the layers do not draw yet, and then they never learn to draw it.
        initial: file of a generator to start from (an earlier run's `generator.safetensors`, or a published one).
        initial_discriminator, initial_reader: files of a discriminator and of a reader to start from.
        preview_side: pictures in a row and in a column of the preview.
    """

    path_length_mean: Tensor
    images_seen: Tensor
    preview_z: Tensor

    term_names = (
        "generator", "discriminator", "r1", "path_length",
        "drawn_image", "drawn_perceptual", "drawn_readings", "reader",
    )  # fmt: skip

    def __init__(
        self,
        domain: Domain,
        discriminator: dict[str, Any] | None,
        learning_rate: Positive = 2e-3,
        betas: Betas = (0.0, 0.99),
        style_mixing: Fraction = 0.9,
        noise: Literal["random", "constant", "none"] = "random",
        r1_gamma: NonNegative = 0.05,
        r1_every: Count = 16,
        path_length_weight: NonNegative = 0.0,
        path_length_every: Count = 4,
        path_length_shrink: Count = 2,
        path_length_decay: BelowOne = 0.99,
        average_images: Whole = 10000,
        average_ramp: NonNegative = 0.05,
        drawn_normals: Annotated[int, Between(0, 65536)] = 0,
        feature_layers: tuple[str, ...] = (),
        reader: dict[str, Any] | None = None,
        reader_rate: Positive = 1e-3,
        mapping_rate: Positive = 1.0,
        least_share: NonNegative = 0.0,
        initial: FileName | None = None,
        initial_discriminator: FileName | None = None,
        initial_reader: FileName | None = None,
        preview_side: Annotated[int, Between(1, 100)] = 8,
    ) -> None:
        super().__init__()
        self.domain = domain
        if discriminator is None and not drawn_normals:
            raise ConfigError("method.discriminator: needed unless method.drawn_normals is set: there is no other loss")
        if discriminator is None and initial_discriminator is not None:
            raise ConfigError("method.initial_discriminator: needs a method.discriminator")
        if reader is None and initial_reader is not None:
            raise ConfigError("method.initial_reader: needs a method.reader")
        if reader is not None and not drawn_normals:
            raise ConfigError("method.reader: needs method.drawn_normals")
        self.needs = ("image", "normals") if drawn_normals else ("image",)
        self.discriminator_section = discriminator
        self.generator: Any = domain.untrained("generator")
        self._check_z({"style_mixing": style_mixing, "drawn_normals": drawn_normals})
        self.discriminator: Any = None
        if discriminator is not None:
            self.discriminator = NETWORKS.build_a(Discriminator, as_section(discriminator, "method.discriminator"))
        self.reader: Any = None
        if reader is not None:
            section = as_section(reader, "method.reader")
            self.reader = NETWORKS.build_a(Reader, section, outputs=drawn_normals, image_side=domain.image_side)
        self.learning_rate, self.betas = learning_rate, (betas[0], betas[1])
        self.style_mixing, self.noise = style_mixing, noise
        self.r1_gamma, self.r1_every = r1_gamma, r1_every if r1_gamma else 0
        self.path_length_weight = path_length_weight
        self.path_length_every = path_length_every if path_length_weight else 0
        self.path_length_shrink, self.path_length_decay = path_length_shrink, path_length_decay
        self.average_images, self.average_ramp = average_images, average_ramp
        self.drawn_normals, self.feature_layers = drawn_normals, tuple(feature_layers)
        self.mapping_rate, self.reader_rate = mapping_rate, reader_rate
        self.preview_side = preview_side
        self.register_buffer("path_length_mean", torch.zeros(()))
        self.register_buffer("images_seen", torch.zeros((), dtype=torch.int64))
        self._start_from(initial, initial_discriminator, initial_reader)
        if discriminator is None:
            begin_with_numbers(self.generator, drawn_normals, least_share)
        average: Any = copy.deepcopy(self.generator).requires_grad_(False)
        self.average = average
        preview_z = torch.randn(preview_side**2, *average.z_shape, generator=torch.Generator().manual_seed(0))
        self.register_buffer("preview_z", preview_z, persistent=False)
        self._step_images = 0
        self._scores: dict[str, Tensor] = {}

    def _check_z(self, settings: Mapping[str, float]) -> None:
        """Refuse settings that need one z for all rows of a code.

        Raises:
            ConfigError: one is not 0.
        """
        for name, value in settings.items():
            if value and len(self.generator.z_shape) > 1:
                raise ConfigError(f"method.{name}: must be 0 where each row of a code has its own z, not {value}")

    def _start_from(self, initial: str | None, initial_discriminator: str | None, initial_reader: str | None) -> None:
        if initial is not None:
            self.generator, metadata = self.domain.from_weights("generator", resolve(initial))
            self.images_seen.fill_(int(metadata.get("images", 0)))
        if initial_discriminator is not None:
            given = read_checkpoint(resolve(initial_discriminator))
            fill_network(self.discriminator, "stylegan2_discriminator", given)
        if initial_reader is not None:
            fill_network(self.reader, "reader", read_checkpoint(resolve(initial_reader)))

    def phases(self) -> list[Phase]:
        phases = []
        if self.discriminator is not None:
            of_discriminator = list(self.discriminator.parameters())
            discriminator = lazy_adam(of_discriminator, self.learning_rate, self.betas, self.r1_every)
            phases.append(Phase("discriminator", of_discriminator, discriminator))
            if self.r1_every:
                phases.append(Phase("r1", of_discriminator, discriminator, self.r1_every))
        if self.reader is not None:
            of_reader = list(self.reader.parameters())
            phases.append(Phase("reader", of_reader, torch.optim.Adam(of_reader, lr=self.reader_rate)))
        of_generator = list(self.generator.parameters())
        generator = lazy_adam(of_generator, self.learning_rate, self.betas, self.path_length_every)
        self._quicken_mapping(generator)
        phases.append(Phase("generator", of_generator, generator))
        if self.path_length_every:
            phases.append(Phase("path_length", of_generator, generator, self.path_length_every))
        return phases

    def _quicken_mapping(self, optimiser: torch.optim.Adam) -> None:
        if self.mapping_rate != 1:
            (group,) = optimiser.param_groups
            of_mapping = {id(parameter) for parameter in self.generator.style.parameters()}
            quick = [parameter for parameter in group["params"] if id(parameter) in of_mapping]
            group["params"] = [parameter for parameter in group["params"] if id(parameter) not in of_mapping]
            optimiser.add_param_group({"params": quick, "lr": group["lr"] * self.mapping_rate})

    def losses(self, phase: str, batch: Batch) -> dict[str, Tensor]:
        image = batch["image"]
        if phase == "discriminator":
            return self._discriminator_losses(image)
        if phase == "r1":
            real = image.detach().requires_grad_()
            scores = self.discriminator(real)
            return {"r1": self.r1_gamma * self.r1_every * r1_penalty(scores, real) + _nothing_of(scores)}
        if phase == "reader":
            self.reader.train()
            return {"reader": F.mse_loss(self.reader(image), normals_of(batch, self.drawn_normals))}
        if phase == "generator":
            self._step_images += len(image)
            terms = self._pair_losses(batch) if self.drawn_normals else {}
            if self.discriminator is not None:
                terms["generator"] = generator_loss(self.discriminator(self._draw_randomly(len(image))))
            return terms
        if phase == "path_length":
            return {"path_length": self._path_length_loss(image)}
        raise ValueError(f"StyleGAN2 has no phase '{phase}'")

    def _discriminator_losses(self, image: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():
            fake = self._draw_randomly(len(image))
        real_scores, fake_scores = self.discriminator(image), self.discriminator(fake)
        self._scores = {"real_score": real_scores.detach().mean(), "fake_score": fake_scores.detach().mean()}
        return {"discriminator": discriminator_loss(real_scores, fake_scores)}

    def _pair_losses(self, batch: Batch) -> dict[str, Tensor]:
        image = batch["image"]
        w = self.generator.mapping(drawn_z(batch, self.generator.style_dim, self.drawn_normals))
        picture = self.generator.synthesis(self.generator.broadcast(w), noise=self.noise)
        terms = {"drawn_image": F.l1_loss(picture, image)}
        if self.feature_layers:
            teacher = self.domain.teacher
            with torch.no_grad():
                targets = output_and_features(teacher, self.feature_layers, image)[1]
            features = output_and_features(teacher, self.feature_layers, picture)[1]
            terms["drawn_perceptual"] = perceptual_distance(features, targets)
        if self.reader is not None:
            self.reader.eval()  # generated faces have no part in its statistics
            with torch.no_grad():
                readings = self.reader(image)
            terms["drawn_readings"] = F.mse_loss(self.reader(picture), readings)
        return terms

    def _path_length_loss(self, image: Tensor) -> Tensor:
        latent = self.sample_latent(max(1, len(image) // self.path_length_shrink))
        picture = self.generator.synthesis(latent, noise=self.noise)
        lengths = path_lengths(picture, latent, self.path_noise(picture))
        mean = self.path_length_mean.lerp(lengths.mean(), 1 - self.path_length_decay)
        self.path_length_mean.copy_(mean.detach())
        weighted = self.path_length_weight * self.path_length_every * path_length_penalty(lengths, mean)
        return weighted + _nothing_of(picture)

    def _draw_randomly(self, count: int) -> Tensor:
        """Pictures of the learning generator, of random codes."""
        picture: Tensor = self.generator.synthesis(self.sample_latent(count), noise=self.noise)
        return picture

    def path_noise(self, picture: Tensor) -> Tensor:
        """Standard normal (B, 3, S, S) for the path lengths of pictures."""
        return torch.randn_like(picture)

    def sample_latent(self, count: int) -> Tensor:
        """Latent codes (count, L, D) of random z; a share `style_mixing` of them is made of two."""
        network = self.generator
        rows = network.latent_count
        z = torch.randn(2 * count if self.style_mixing else count, *network.z_shape, device=self.images_seen.device)
        codes: Tensor = network.broadcast(network.mapping(z))
        if not self.style_mixing:
            return codes
        first, second = codes.split(count)
        crossover = torch.randint(1, rows, (count, 1), device=z.device) if rows > 1 else torch.ones_like(z[:count, :1])
        mixed = torch.rand(count, 1, device=z.device) < self.style_mixing
        from_second = mixed & (torch.arange(rows, device=z.device) >= crossover)
        return torch.where(from_second[:, :, None], second, first)

    def after_step(self, step: int) -> None:
        self.images_seen += self._step_images
        seen = int(self.images_seen)
        decay = average_decay(self._step_images, seen, self.average_images, self.average_ramp)
        update_average(self.average, self.generator, decay)
        self._step_images = 0

    def status(self) -> dict[str, float]:
        numbers = {name: float(value) for name, value in self._scores.items()}
        if self.path_length_every:
            numbers["path_length_mean"] = float(self.path_length_mean)
        return numbers

    @torch.no_grad()
    def validate(self, batch: Batch) -> dict[str, float]:
        """Of the averaged generator: mean scores of held-out faces and of its own, apart where D has learned by heart;
        error of the pictures of held-out faces' numbers."""
        image, numbers = batch["image"], {}
        if self.drawn_normals:
            z = drawn_z(batch, self.generator.style_dim)
            numbers["drawn_image"] = float(F.l1_loss(self._draw(z), image))
        if self.discriminator is not None:
            group = self.discriminator.minibatch_stddev_group
            image = image[: max(len(image) - len(image) % group, 1)]
            z = torch.randn(len(image), *self.average.z_shape, device=image.device)
            numbers["held_out_score"] = float(self.discriminator(image).mean())
            numbers["average_score"] = float(self.discriminator(self._draw(z)).mean())
        return numbers

    def _draw(self, z: Tensor) -> Tensor:
        """Pictures of the averaged generator with its constant noise maps."""
        latent = self.average.broadcast(self.average.mapping(z))
        picture: Tensor = self.average.synthesis(latent, noise="constant")
        return picture

    @torch.no_grad()
    def preview(self, batch: Batch) -> Tensor:
        """The same z at every preview, drawn by the averaged generator."""
        return grid(self._draw(self.preview_z).clamp(-1, 1), columns=self.preview_side)

    @torch.no_grad()
    def further_pictures(self) -> Mapping[str, Tensor]:
        """How the tokens of a transformer look at each other, for the codes of the preview."""
        if self.average.token is None:
            return {}
        return {"attention": attention_sheet(self.average.attention_maps(self.preview_z))}

    def exports(self) -> Mapping[str, tuple[Mapping[str, Tensor], Mapping[str, Any]]]:
        """`generator`, the averaged one; `discriminator` and `reader`, which only a continued training needs."""
        network = self.domain.config.section("generator").plain()
        network.pop("weights", None)
        common = {"method": "stylegan2", "images": int(self.images_seen)}
        exports = {"generator": (self.average.state_dict(), {"part": "generator", "network": network, **common})}
        if self.discriminator_section is not None:
            about = {"part": "discriminator", "network": dict(self.discriminator_section), **common}
            exports["discriminator"] = (self.discriminator.state_dict(), about)
        if self.reader is not None:
            exports["reader"] = (self.reader.state_dict(), {"part": "reader", **common})
        return exports
