"""The `training` section of a config."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated, Literal

from utils.config import ConfigError, Section, check_arguments
from utils.ranges import Between, Count, NonNegative, Processes, Seed, Whole

SECTIONS = ("domain", "data", "validation", "method", "training", "run")


@dataclass(frozen=True)
class TrainingSettings:
    """How long to train, in what batches, and what to show and keep.

    Args:
        steps: optimiser steps; 0 for methods that are fitted at once.
        batch_size: images per step; with `accumulate` > 1 they pass in that many equal portions and their gradients add
            up to the large batch's, except through batch statistics (BatchNorm, minibatch deviation), which are
            those of a portion.
        shuffle: items come in another order in each epoch; off: in their own, in the same batches in every epoch, and
            those that fill no batch are left out.
        schedule: `constant`, or `cosine` to zero over all steps; `warmup_steps` rise linearly before.
        loss_weights: factor of each loss term by name; a term that is not named counts once.
        workers: processes that read data (0: the training process itself).
        threads: CPU threads (0: PyTorch's choice).
    """

    steps: Whole
    batch_size: Annotated[int, Between(1, 1_000_000)]
    accumulate: Count = 1
    seed: Seed = 0
    shuffle: bool = True
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_steps: Whole = 0
    loss_weights: dict[str, NonNegative] = field(default_factory=dict)
    log_every: Count = 10
    preview_every: Count = 1000
    preview_images: Annotated[int, Between(1, 10_000)] = 8
    checkpoint_every: Count = 1000
    keep_checkpoints: Count = 3
    workers: Processes = 0
    threads: Processes = 0

    def __post_init__(self) -> None:
        if self.batch_size % self.accumulate:
            raise ConfigError(
                f"training.batch_size {self.batch_size} must be a multiple of training.accumulate {self.accumulate}"
            )

    @classmethod
    def from_section(cls, section: Section) -> TrainingSettings:
        """Settings of the config's `training` section."""
        return cls(**check_arguments(section, cls, what="training"))

    def learning_rate_factor(self, step: int) -> float:
        """Factor on every learning rate at a step (counted from 0)."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        if self.schedule == "constant":
            return 1.0
        progress = (step - self.warmup_steps) / max(self.steps - self.warmup_steps, 1)
        return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
