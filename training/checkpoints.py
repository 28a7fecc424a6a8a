"""Saving and resuming a run: weights as safetensors, everything else that decides the next step beside them."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from training.method import Method, Phase
from utils.files import write_atomically
from utils.integrity import file_sha256
from utils.paths import displayed
from utils.weights import WeightsError, load_strict, load_weights, save_weights

FORMAT_VERSION = 1


class DamagedCheckpoint(WeightsError):
    """A checkpoint that is not what was written; the message names the file and what is wrong with it."""


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint in memory.

    Attributes:
        path: file of its weights.
        step: finished steps.
        weights: the method's state.
        state: everything else: `optimisers`, `random` and `log`.
    """

    path: Path
    step: int
    weights: dict[str, Tensor]
    state: dict[str, Any]


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
    folder: Path,
    name: str,
    method: Method,
    phases: list[Phase],
    step: int,
    config: dict[str, Any],
    log: Mapping[str, Any] | None = None,
) -> Path:
    """Write `name.safetensors` and `name.state.pt`; the weights come last: with them it is complete.

    Phases that share an optimiser share its entry. Each file holds a checksum of the other.

    Args:
        log: state of the run's log.
    Raises:
        OSError: it cannot be written; nothing of it is left.
    """
    weights = method.state_dict()
    state = {
        "optimisers": [optimiser.state_dict() for optimiser in _optimisers(phases)],
        "random": random_state(),
        "step": step,
        "log": dict(log or {}),
        "weights": _digest(weights),
    }
    path, beside = _weights_path(folder, name), _state_path(folder, name)
    write_atomically(beside, lambda temporary: _save_state(state, temporary))
    try:
        metadata = {"version": FORMAT_VERSION, "step": step, "config": config, "state": file_sha256(beside)}
        save_weights(path, weights, metadata)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise
    return path


def _save_state(state: dict[str, Any], path: Path) -> None:
    with path.open("wb") as stream:
        try:
            torch.save(state, stream)
        except RuntimeError as error:  # PyTorch's writer covers the reason with a complaint of its own
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def _optimisers(phases: list[Phase]) -> list[torch.optim.Optimizer]:
    return list({id(phase.optimiser): phase.optimiser for phase in phases}.values())


def _digest(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 of names and values."""
    digest = hashlib.sha256()
    for name, value in sorted(weights.items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def read_checkpoint(folder: Path, name: str) -> Checkpoint:
    """Read a checkpoint and compare it with its checksums.

    Raises:
        DamagedCheckpoint: a file is missing, torn or changed.
        WeightsError: it is of another version of this format.
        OSError: a file cannot be opened.
    """
    path, beside = _weights_path(folder, name), _state_path(folder, name)
    for part in (path, beside):
        if not part.is_file():
            raise DamagedCheckpoint(f"{displayed(part)}: is missing")
        part.open("rb").close()  # a file that may not be read is not a damaged one
    try:
        weights, metadata = load_weights(path)
    except WeightsError as error:
        raise DamagedCheckpoint(str(error)) from error
    version = metadata.get("version")
    if version != FORMAT_VERSION:
        if isinstance(version, int):
            raise WeightsError(f"{displayed(path)}: checkpoint version {version}, this is {FORMAT_VERSION}")
        raise DamagedCheckpoint(f"{displayed(path)}: says nothing of a checkpoint")
    if metadata.get("state") not in (None, file_sha256(beside)):
        raise DamagedCheckpoint(f"{displayed(beside)}: does not have the checksum that the weights beside it give")
    try:
        state = torch.load(beside, map_location="cpu", weights_only=True)
        step = int(metadata["step"])
        if state.get("weights") not in (None, _digest(weights)):
            raise DamagedCheckpoint(f"{displayed(path)}: its weights do not have the checksum of when they were saved")
        state["optimisers"], state["random"]
    except (DamagedCheckpoint, MemoryError):
        raise
    except Exception as error:  # unpickling a damaged file raises what it likes
        raise DamagedCheckpoint(f"{displayed(beside)}: cannot be read ({type(error).__name__})") from error
    return Checkpoint(path, step, weights, state)


def restore_checkpoint(checkpoint: Checkpoint, method: Method, phases: list[Phase]) -> None:
    """Load a checkpoint into a method, its optimisers and the random generators.

    Raises:
        WeightsError: it is of other networks or of other optimisers.
    """
    load_strict(method, checkpoint.weights, source=checkpoint.path)
    try:
        for optimiser, values in zip(_optimisers(phases), checkpoint.state["optimisers"], strict=True):
            optimiser.load_state_dict(values)
    except (ValueError, LookupError, TypeError) as error:
        raise WeightsError(f"{displayed(checkpoint.path)}: does not fit the optimisers of this config") from error
    restore_random_state(checkpoint.state["random"])


def checkpoint_names(folder: Path) -> list[str]:
    """Names of the complete checkpoints of a run, oldest first (failed states are left out)."""
    return [name for name in weights_names(folder) if _state_path(folder, name).is_file()]


def weights_names(folder: Path) -> list[str]:
    """Names of all checkpoints whose writing came to an end, oldest first: one without its state was damaged later."""
    return sorted(path.stem for path in folder.glob("step-*.safetensors"))


def put_aside(folder: Path, name: str) -> None:
    """Rename a damaged checkpoint, so that it is neither resumed from nor counted among those to keep."""
    for path in (_weights_path(folder, name), _state_path(folder, name)):
        if path.is_file():
            os.replace(path, path.with_name(path.name.replace("step-", "damaged-", 1)))


def remove_incomplete(folder: Path) -> None:
    """Delete states without weights: the process was killed before it had written both."""
    names = weights_names(folder)
    for path in folder.glob("step-*.state.pt"):
        if path.name.removesuffix(".state.pt") not in names:
            path.unlink()


def prune_checkpoints(folder: Path, keep: int) -> None:
    """Delete all but the last `keep` checkpoints."""
    for name in checkpoint_names(folder)[:-keep]:
        _weights_path(folder, name).unlink()
        _state_path(folder, name).unlink()
