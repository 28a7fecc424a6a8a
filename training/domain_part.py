"""What methods share that train one network of a domain from labelled pictures."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from models.domain import Domain
from training.augment import Augmentation
from training.layout import channels_last, is_channels_last
from training.method import Method, update_average
from utils.config import as_section, check_arguments


class DomainPartMethod(Method):
    """Trains `network`, an untrained part of the domain, on augmented pictures; its moving average is exported.

    Args:
        part: of the domain.
        average_decay: decay per step of a moving average of the network that is exported; 0: none.
        augment: section of `training.augment.Augmentation`.
    """

    def __init__(self, domain: Domain, part: str, average_decay: float, augment: dict[str, Any] | None) -> None:
        super().__init__()
        self.domain, self.part, self.average_decay = domain, part, average_decay
        section = as_section(augment or {}, "method.augment")
        self.augment = Augmentation(**check_arguments(section, Augmentation, what="augment"))
        self.network: Any = channels_last(domain.untrained(part))
        self.average: Any = copy.deepcopy(self.network).requires_grad_(False) if average_decay else None
        self._layout = torch.channels_last if is_channels_last(self.network) else torch.contiguous_format

    @property
    def result(self) -> Any:
        """The network that is exported and shown."""
        return self.network if self.average is None else self.average

    def augmented(self, image: Tensor) -> Tensor:
        """Randomly changed copies (B, 3, H, W), laid out in memory as the network's weights are."""
        return self.augment(image).contiguous(memory_format=self._layout)

    def after_step(self, step: int) -> None:
        if self.average is not None:
            # Early on, 1/step keeps the useless first weights out.
            update_average(self.average, self.network, min(self.average_decay, 1 - 1 / step))

    def metadata(self) -> dict[str, Any]:
        """Which part the exported network is, and the section that it is built from."""
        network = self.domain.config.section(self.part).plain()
        network.pop("weights", None)
        return {"part": self.part, "network": network}

    def exports(self) -> Mapping[str, tuple[Mapping[str, Tensor], Mapping[str, Any]]]:
        return {self.part: (self.result.state_dict(), self.metadata())}
