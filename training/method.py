"""The interface between the training loop and a method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from utils.config import ConfigError

Batch = dict[str, Tensor]
Items = Dataset[dict[str, Tensor]]
_ADDED_BY = {"latent": "latent_cache", "teacher": "latent_cache", "targets": "mask_targets"}


@dataclass
class Phase:
    """A part of a training step with its own loss terms: which parameters learn, with which optimiser, how often.

    A lazy regulariser is a separate phase that shares the optimiser object of the phase it regularises.
    """

    name: str
    parameters: list[nn.Parameter]
    optimiser: torch.optim.Optimizer
    every: int = 1


class Method(nn.Module):
    """How something is trained. Its registered submodules and buffers are all that a checkpoint holds.

    Frozen networks (a domain) are kept outside of the module tree: they are neither moved, trained nor saved.

    Attributes:
        term_names: names of all loss terms; a weight for any other name is refused.
        terms: names of those that are computed, where a config chooses; otherwise all are.
        needs: keys that the items of the data must have, see `holds` of the data sets.
    """

    term_names: ClassVar[tuple[str, ...]] = ()
    terms: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()

    def check_result(self) -> None:
        """Refuse to begin if the result could not be saved.

        Raises:
            ConfigError: saying what is missing.
        """

    def check_data(self, data: Items) -> None:
        """Refuse a data set whose items are not what the losses need.

        Raises:
            ConfigError: saying what differs.
        """
        held: tuple[str, ...] = getattr(data, "holds", self.needs)
        for key in self.needs:
            if key not in held:
                source = _ADDED_BY.get(key)
                cure = f"; {source} adds it to faces" if source else ""
                raise ConfigError(f"data.name: items hold {', '.join(held)}, but the method needs '{key}'{cure}")

    def fit(self, data: Items) -> dict[str, float]:
        """Learn what is learned from all training data at once, into buffers; returns measures of it.

        Called before the first step of a new run. A method without phases learns nothing else, in no steps.
        """
        return {}

    def phases(self) -> list[Phase]:
        """The phases of a step, in order. Called once, after the method was moved to its device."""
        raise NotImplementedError

    def losses(self, phase: str, batch: Batch) -> dict[str, Tensor]:
        """Unweighted loss terms (scalars, means over the batch) of a phase by name."""
        raise NotImplementedError

    def before_step(self, step: int) -> None:
        """Called before each step with the number of finished steps (progressive stages)."""

    def after_step(self, step: int) -> None:
        """Called after each step with its number, from 1 (moving averages, running statistics)."""

    def status(self) -> dict[str, float]:
        """Further numbers of the last step for the progress bar and TensorBoard (solver evaluations, …)."""
        return {}

    def histograms(self) -> dict[str, Tensor]:
        """Distributions of the last step for TensorBoard."""
        return {}

    def validate(self, batch: Batch) -> dict[str, float]:
        """Measures on a held-out batch; called before each preview."""
        return {}

    def preview(self, batch: Batch) -> Tensor | None:
        """A picture (3, H, W) in [−1, 1] that shows what was learned, drawn without gradients; None: nothing to see."""
        return None

    def further_pictures(self) -> Mapping[str, Tensor]:
        """Pictures (3, H, W) in [−1, 1] beside the preview, by the folder of the run that keeps them."""
        return {}

    def exports(self) -> Mapping[str, tuple[Mapping[str, Tensor], Mapping[str, Any]]]:
        """File stem → (tensors, metadata) of what is used after training; written when the last step is done."""
        return {}


def update_average(average: nn.Module, live: nn.Module, decay: float) -> None:
    """Exponential moving average of parameters, average ← decay·average + (1 − decay)·live; buffers are copied."""
    with torch.no_grad():
        for mean, value in zip(average.parameters(), live.parameters(), strict=True):
            mean.lerp_(value, 1 - decay)
        for kept, buffer in zip(average.buffers(), live.buffers(), strict=True):
            kept.copy_(buffer)
