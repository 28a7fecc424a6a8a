"""The projector: codes and noise maps of pictures, found by optimisation ("Analyzing and Improving the Image Quality of
StyleGAN", Karras et al., 2020, appendix D), in W, W+ and W++.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from models.inversion.noise_maps import neighbour_correlation, renormalise
from models.stylegan2.generator import Generator

Space = Literal["w", "w+", "w++"]
Distance = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Settings:
    """The published schedule. Times are shares of all steps.

    Args:
        steps: of Adam.
        learning_rate: the highest.
        warm_up: time in which it rises from 0.
        cool_down: time at the end in which it falls to 0 along a cosine.
        code_noise: standard deviation of the noise on the codes at first, in units of their spread.
        code_noise_end: time at which it has fallen to 0.
        noise_weight: of the correlation of neighbours in the noise maps.
        squared_error: weight of the mean squared difference of the pictures.
        side: larger pictures are averaged to this side before they are compared.
        coupled: the pictures of a batch share the statistics of their noise maps, as in the published code.
    """

    steps: int = 1000
    learning_rate: float = 0.1
    warm_up: float = 0.05
    cool_down: float = 0.25
    code_noise: float = 0.05
    code_noise_end: float = 0.75
    noise_weight: float = 1e5
    squared_error: float = 0.0
    side: int = 256
    coupled: bool = False

    def rate_at(self, time: float) -> float:
        """Learning rate at a time from 0 to 1."""
        falling = 0.5 - 0.5 * math.cos(math.pi * min(1.0, (1 - time) / self.cool_down))
        return self.learning_rate * falling * min(1.0, time / self.warm_up)

    def code_noise_at(self, time: float) -> float:
        """Standard deviation of the noise on the codes at a time, in units of their spread."""
        return self.code_noise * max(0.0, 1 - time / self.code_noise_end) ** 2


@dataclass(frozen=True)
class Centre:
    """Where the codes of a generator lie.

    Attributes:
        mean: (R, D), with R = L rows where each has its own z, else 1.
        spread: root of the mean squared distance from the mean, (R,): of a row as a whole, about √D of a channel's.
    """

    mean: Tensor
    spread: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, generator: Generator, portions: Iterable[Tensor]) -> Centre:
        """Of the codes of z, which come in portions (B, *z_shape)."""
        count, total, squares = 0, torch.zeros(()), torch.zeros(())
        for z in portions:
            codes = generator.mapping(z).double()
            codes = codes if codes.ndim == 3 else codes[:, None]
            count += len(codes)
            total, squares = total.to(codes) + codes.sum(0), squares.to(codes) + codes.square().sum((0, 2))
        mean = total / count
        spread = (squares / count - mean.square().sum(1)).clamp(min=0).sqrt()
        like = generator.conv1.conv.weight
        return cls(mean.to(like), spread.to(like))


class Projection:
    """Pictures on the way to their codes. A step changes all pictures of the batch, each by itself.

    Args:
        generator: frozen; its size and that of the targets are the same, or the targets have `settings.side`.
        target: pictures (B, 3, S, S) in [−1, 1].
        distance: pictures (B, 3, S, S) and targets -> (B,), differentiable: LPIPS, or that of a classifier's features.
        centre: of the generator's codes.
        maps: noise maps to start from, (B, 1, H, W) for each layer.
        space: `w`, one vector for all rows; `w+`, one for each; `w++`, the same where each row has its own mapping.
    Raises:
        ValueError: a generator without this space.

    Attributes:
        code: (B, R, D), R as in `Centre` or L.
        steps: finished ones.
        picture: that of the last step, of the code with noise on it.
    """

    def __init__(
        self,
        generator: Generator,
        target: Tensor,
        distance: Distance,
        centre: Centre,
        maps: Sequence[Tensor],
        space: Space = "w+",
        settings: Settings = Settings(),
    ) -> None:
        if (space == "w++") != (generator.token is not None):
            raise ValueError(
                f"this generator has {'w++ alone' if generator.token is not None else 'w and w+'}, no space {space!r}"
            )
        rows = 1 if space == "w" else generator.latent_count
        self.generator, self.distance, self.settings = generator, distance, settings
        self.target = reduced(target, settings.side)
        self.spread = centre.spread.expand(rows)
        self.code = centre.mean.expand(rows, -1).repeat(len(target), 1, 1).requires_grad_()
        self.maps = [values.clone().requires_grad_() for values in maps]
        self.adam = torch.optim.Adam([self.code, *self.maps], lr=settings.learning_rate)
        self.steps = 0
        self.picture: Tensor | None = None

    @property
    def latent(self) -> Tensor:
        """The codes (B, L, D) as they are now."""
        return self.code.detach().expand(-1, self.generator.latent_count, -1)

    def step(self, normal: Tensor) -> dict[str, Tensor]:
        """One step.

        Args:
            normal: standard normal (B, R, D), the noise on the codes before its strength.
        Returns:
            of the code with noise: `distance` and `squared_error` (B,), `noise` () and `loss` ().
        """
        settings, time = self.settings, self.steps / self.settings.steps
        for group in self.adam.param_groups:
            group["lr"] = settings.rate_at(time)
        code = noised(self.code, normal, self.spread * settings.code_noise_at(time))
        picture = self.generator.synthesis(code.expand(-1, self.generator.latent_count, -1), self.maps)
        self.picture = picture.detach()
        picture = reduced(picture, settings.side)
        distance = self.distance(picture, self.target)
        squared_error = (picture - self.target).square().mean((1, 2, 3))
        noise = neighbour_correlation(self.maps, settings.coupled)
        # means over the batch would make the step of a picture depend on how many there are
        loss = distance.sum() + settings.noise_weight * noise + settings.squared_error * squared_error.sum()
        parameters = [self.code, *self.maps]
        for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            parameter.grad = gradient
        self.adam.step()
        renormalise(self.maps, settings.coupled)
        self.steps += 1
        values = {"distance": distance, "squared_error": squared_error, "noise": noise, "loss": loss}
        return {name: value.detach() for name, value in values.items()}


def noised(code: Tensor, normal: Tensor, strength: Tensor) -> Tensor:
    """Codes (B, R, D) with noise of a standard deviation (R,) for each row; `normal` is standard normal."""
    return code + normal * strength[:, None]


def reduced(image: Tensor, side: int) -> Tensor:
    """Images (B, 3, S, S) averaged to (B, 3, side, side) where they are larger."""
    return image if image.shape[2] <= side else F.interpolate(image, size=(side, side), mode="area")


def project(projection: Projection, random: Sequence[torch.Generator]) -> list[dict[str, Tensor]]:
    """Take all steps that are left; returns the values of each, see `Projection.step`.

    Args:
        random: states, on the CPU, of the noise on each picture's code, which thus does not depend on the others.
    """
    shape = projection.code.shape[1:]
    values = []
    while projection.steps < projection.settings.steps:
        normal = torch.stack([torch.randn(shape, generator=one) for one in random])
        values.append(projection.step(normal.to(projection.code)))
    return values


def random_maps(generator: Generator, random: Sequence[torch.Generator]) -> list[Tensor]:
    """Noise maps (B, 1, H, W) for each layer, of each picture's own random state."""
    sides = [tuple(own.shape[1:]) for own in generator.noises.maps()]
    own = generator.conv1.conv.weight
    return [torch.stack([torch.randn(side, generator=one) for one in random]).to(own) for side in sides]
