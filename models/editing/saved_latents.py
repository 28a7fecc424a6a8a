"""Latent codes of faces in files, from which the faces are edited again without photograph or encoder."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.domain import Domain
from utils.paths import displayed
from utils.weights import WeightsError, load_weights, save_weights

SUFFIX = ".safetensors"
LATENT_SUFFIXES = frozenset((SUFFIX, ".pt", ".pth", ".npy", ".npz"))  # and those of other projects
_KIND = "latents"
_EDITED = "edited."
_METADATA = ("domain", "fingerprints", "editor", "reconstruction_distance")


@dataclass(frozen=True)
class SavedLatent:
    """What is kept of a face that was inverted.

    Attributes:
        latent: its code w (L, D).
        condition: what an editor read from the face in the photograph, without batch axis; None where there was none.
        embedding: its identity embedding (E,); None where there was no photograph.
        distance: reconstruction distance of its inversion.
        metadata: `domain`, `fingerprints` of generator and encoder, `editor` (hash of the one that read the condition),
            and whatever else is to be written into the file.
    """

    latent: Tensor
    condition: Tensor | None
    embedding: Tensor | None
    distance: float
    metadata: dict[str, Any]


def save_latent(path: Path, saved: SavedLatent, edited: Mapping[str, Tensor]) -> None:
    """Write a face's code as safetensors (`latent`, `condition`, `embedding`, and `edited.LABEL` for each edit's code).

    Raises:
        OSError: it cannot be written.
    """
    assert saved.condition is not None and saved.embedding is not None
    state = {"latent": saved.latent, "condition": saved.condition, "embedding": saved.embedding}
    state |= {f"{_EDITED}{label}": code for label, code in edited.items()}
    save_weights(path, state, {**saved.metadata, "kind": _KIND, "reconstruction_distance": saved.distance})


def load_latent(path: Path, domain: Domain, generator: str) -> SavedLatent:
    """A saved code.

    Args:
        generator: fingerprint of the domain's generator.
    Raises:
        WeightsError: missing or damaged file, another kind of file, or a code of another domain's generator.
    """
    state, metadata = load_weights(path)
    if metadata.get("kind") != _KIND:
        raise WeightsError(f"{displayed(path)}: holds no saved latents (edit.py --save-latents writes them)")
    if "semantics" in state:  # older files, of editors of attributes
        state["condition"] = state.pop("semantics")
    lacking = [key for key in ("latent", "condition", "embedding") if key not in state]
    lacking += [key for key in _METADATA if key not in metadata]
    reason = f"lacks {', '.join(lacking)}" if lacking else _damage(state, metadata)
    if reason:
        raise WeightsError(f"{displayed(path)}: damaged latents: {reason}")
    latent, made_with = state["latent"].float(), metadata["fingerprints"].get("generator")
    if made_with != generator:
        raise WeightsError(
            f"{displayed(path)}: these latents belong to the generator {made_with} (domain {metadata['domain']}), "
            f"the editor's is {generator} (domain {domain.name})"
        )
    if latent.shape != (domain.styles, domain.style_dim):
        shapes = f"{tuple(latent.shape)}, the domain's are {(domain.styles, domain.style_dim)}"
        raise WeightsError(f"{displayed(path)}: damaged latents: its latent is {shapes}")
    distance = float(metadata["reconstruction_distance"])
    return SavedLatent(latent, state["condition"], state["embedding"].float(), distance, metadata)


def _damage(state: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> str:
    """What is wrong with the entries of a file that lacks none; empty if nothing is."""
    if not all(bool(torch.isfinite(value).all()) for value in state.values()):
        return "holds values that are not finite"
    if state["embedding"].ndim != 1 or not state["embedding"].is_floating_point():
        return "its embedding is no row of numbers"
    if not isinstance(metadata["fingerprints"], dict):
        return "its fingerprints are no record"
    distance = metadata["reconstruction_distance"]
    if not isinstance(distance, int | float) or not math.isfinite(distance):
        return "its reconstruction distance is no number"
    return ""
