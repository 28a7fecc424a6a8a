"""Saving and resuming a run: weights as safetensors, everything else that decides the next step beside them."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import torch

from training.method import Method, Phase
from utils.files import write_atomically
from utils.paths import displayed
from utils.weights import WeightsError, load_strict, load_weights, save_weights

FORMAT_VERSION = 1


def _weights_path(folder: Path, name: str) -> Path:
    return folder / f"{name}.safetensors"


def _state_path(folder: Path, name: str) -> Path:
    return folder / f"{name}.state.pt"


def random_state() -> dict[str, Any]:
    """State of every global random generator: Python, NumPy, PyTorch on the CPU and on each GPU."""
    state: Any = np.random.get_state(legacy=True)
    kind, keys, position, has_gauss, gauss = state
    return {
        "python": random.getstate(),
        "numpy": [kind, torch.from_numpy(keys.copy()), position, has_gauss, gauss],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_random_state(state: dict[str, Any]) -> None:
    """Put back what `random_state` took."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, keys.numpy(), *rest))
    torch.set_rng_state(state["torch"].cpu())
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all([s.cpu() for s in state["cuda"]])


def save_checkpoint(
    folder: Path, name: str, method: Method, phases: list[Phase], step: int, config: dict[str, Any]
) -> Path:
    """Write `name.safetensors` and `name.state.pt`; the weights come last: with them it is complete.

    Phases that share an optimiser share its entry.
    """
    optimisers: dict[int, torch.optim.Optimizer] = {id(phase.optimiser): phase.optimiser for phase in phases}
    state = {"optimisers": [o.state_dict() for o in optimisers.values()], "random": random_state(), "step": step}
    write_atomically(_state_path(folder, name), lambda temporary: torch.save(state, temporary))
    metadata = {"version": FORMAT_VERSION, "step": step, "config": config}
    path = _weights_path(folder, name)
    save_weights(path, method.state_dict(), metadata)
    return path


def restore_checkpoint(folder: Path, name: str, method: Method, phases: list[Phase]) -> int:
    """Load a checkpoint into a method and its optimisers; returns the number of finished steps."""
    path = _weights_path(folder, name)
    state, metadata = load_weights(path)
    if metadata.get("version") != FORMAT_VERSION:
        raise WeightsError(f"{displayed(path)}: checkpoint version {metadata.get('version')}, this is {FORMAT_VERSION}")
    load_strict(method, state, source=path)
    rest = torch.load(_state_path(folder, name), map_location="cpu", weights_only=True)
    optimisers = list({id(phase.optimiser): phase.optimiser for phase in phases}.values())
    for optimiser, values in zip(optimisers, rest["optimisers"], strict=True):
        optimiser.load_state_dict(values)
    restore_random_state(rest["random"])
    return int(metadata["step"])


def checkpoint_names(folder: Path) -> list[str]:
    """Names of the complete checkpoints of a run, oldest first (failed states are left out)."""
    return sorted(p.stem for p in folder.glob("step-*.safetensors") if _state_path(folder, p.stem).is_file())


def prune_checkpoints(folder: Path, keep: int) -> None:
    """Delete all but the last `keep` checkpoints."""
    for name in checkpoint_names(folder)[:-keep]:
        _weights_path(folder, name).unlink()
        _state_path(folder, name).unlink()
