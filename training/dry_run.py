"""`train.py --dry-run`: what a config would train, with what, and how large it is."""

from __future__ import annotations

import yaml
from torch import nn

from models.domain import Domain
from training.loop import Trainer


def _megabytes(count: int) -> str:
    return f"{4 * count / 2**20:.1f} MiB"


def parameter_counts(module: nn.Module) -> dict[str, int]:
    """Number of parameters of each direct submodule that has any."""
    counts = {name: sum(p.numel() for p in child.parameters()) for name, child in module.named_children()}
    return {name: count for name, count in counts.items() if count}


def describe(trainer: Trainer, domain: Domain) -> str:
    """Resolved config, parameters by network, memory that is known beforehand, and data sizes, as text."""
    undrawn = sum(getattr(getattr(data, "faces", data), "undrawn", 0) for data in (trainer.data, trainer.validation))
    lines = ["# resolved config", yaml.safe_dump(trainer.config, sort_keys=False, allow_unicode=True).rstrip(), ""]
    item = trainer.data[0]  # loads the networks that items are made with
    learning = {id(p) for phase in trainer.phases for p in phase.parameters}
    total = sum(p.numel() for p in trainer.method.parameters() if id(p) in learning)
    lines += ["# networks"]
    for name, count in parameter_counts(trainer.method).items():
        lines.append(f"{name:24s} {count:>14,} parameters")
    for name, network in domain.loaded().items():
        lines.append(f"{'domain.' + name:24s} {sum(p.numel() for p in network.parameters()):>14,} parameters, frozen")
    lines += [
        f"{'learning':24s} {total:>14,} parameters",
        "",
        "# memory known in advance (without activations)",
        f"weights {_megabytes(sum(p.numel() for p in trainer.method.parameters()))}, "
        f"gradients {_megabytes(total)}, Adam's moments {_megabytes(2 * total)}",
        "",
        "# data",
        f"training items {len(trainer.data):,}, "  # type: ignore[arg-type]
        f"validation items {len(trainer.validation) if trainer.validation is not None else 0:,}",  # type: ignore[arg-type]
        *([f"faces that the training draws first {undrawn:,}"] if undrawn else []),
        f"steps {trainer.settings.steps:,} of {trainer.settings.batch_size} "
        f"({trainer.settings.steps * trainer.settings.batch_size:,} items) on {trainer.device}",
        "",
        "# one item",
        *(f"{key:24s} {tuple(value.shape)} {value.dtype}" for key, value in item.items()),
    ]
    return "\n".join(lines)
