"""Faces with masks that editors of masks are measured on, and the requests that are made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from models.domain import Domain
from models.evaluation.faces import in_batches
from models.evaluation.factor_reader import FactorReader
from utils.images import at_side


@dataclass
class MaskFaces:
    """Faces and what the domain's networks make of them. All tensors are on the CPU, N rows each.

    Attributes:
        image: (N, 3, S, S).
        mask: (N, M, M) uint8, as drawn; of photographs, as the parser finds it in them.
        others: (N,), another of the faces for each: whose mask or style it gets.
        latent: (N, L, D).
        inversion: (N, 3, S, S); found: (N, M, M), its mask; embedding: (N, E), its identity.
    """

    image: Tensor
    mask: Tensor
    others: Tensor
    latent: Tensor
    inversion: Tensor
    found: Tensor
    embedding: Tensor

    def __len__(self) -> int:
        return len(self.image)

    @property
    def side(self) -> int:
        """M."""
        return self.mask.shape[-1]


@dataclass
class MaskRequest:
    """A target mask for every face.

    Attributes:
        kind: its name.
        target: (N, M, M) uint8.
        ceiling: codes (N, L, D) of pictures that have the target masks: of the truth or, without one, of the faces that
            the masks were taken from.
        truth: (N, 3, S, S), each face as it would have been drawn after the edit; None where nobody knows.
        labels: (N,), the case of each face, such as a feature's name; empty texts where there are none.
        attribute: that the request turns, if that is all it asks for.
        present: (N,) bool, whether the faces have the attribute before the edit.
    """

    kind: str
    target: Tensor
    ceiling: Tensor
    truth: Tensor | None = None
    labels: Sequence[str] = ()
    attribute: str | None = None
    present: Tensor | None = None


@dataclass
class OtherFaces:
    """Drawn faces that are not measured: probes learn from them, and generated faces are compared with them.

    Attributes:
        image: (P, 3, S, S).
        latent: (P, L, D).
        truth: (P, T) bool, what they were drawn with; own_truth: (N, T), the same of the measured faces.
        names: (T) of the truths → `mask` or `style`, what shows them.
    """

    image: Tensor
    latent: Tensor
    truth: Tensor
    own_truth: Tensor
    names: Mapping[str, str]


@dataclass
class MaskTestSet:
    """All that a measurement needs.

    Attributes:
        requests: of masks.
        style: the faces (N, 3, S, S) drawn in the style of their others; None where nobody knows.
        probed, reader: None where there is no such thing for these faces.
        missing: a sentence for each measure that these faces do not allow.
    """

    faces: MaskFaces
    requests: list[MaskRequest]
    style: Tensor | None = None
    probed: OtherFaces | None = None
    reader: FactorReader | None = None
    missing: list[str] = field(default_factory=list)


class TrueEdits(Protocol):
    """The true answers to requests on the faces of a data set, see `datasets.avatar_edits`."""

    kinds: tuple[str, ...]
    attributes: Mapping[str, str]
    others: np.ndarray

    def labels(self, kind: str) -> list[str]: ...

    def images(self, kind: str) -> Tensor: ...

    def masks(self, kind: str) -> Tensor: ...


def at_mask_side(mask: Tensor, side: int) -> Tensor:
    """Masks (B, H, H) with another side: of the nearest pixels."""
    nearest = (2 * torch.arange(side) + 1) * mask.shape[-1] // (2 * side)
    return mask[:, nearest][:, :, nearest]


def masks_in(domain: Domain, image: Tensor, side: int) -> Tensor:
    """Masks (N, side, side) uint8 that the parser finds in pictures (N, 3, R, R)."""
    return in_batches(lambda some: domain.parse(at_side(some, side)).byte(), image, device=domain.device)


def look(domain: Domain, latent: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """The generator's pictures (N, 3, S, S) of codes (N, L, D) and the masks (N, side, side) that are found in them.

    Masks are found at the generator's own side, as for an edit.
    """

    def both(some: Tensor) -> Tensor:
        full = domain.synthesise_full(some)
        images.append(domain.resized(full).cpu())
        return domain.parse(at_side(full, side)).byte()

    images: list[Tensor] = []
    masks = in_batches(both, latent, device=domain.device)
    return torch.cat(images), masks


def mask_faces(domain: Domain, image: Tensor, others: np.ndarray, side: int, mask: Tensor | None = None) -> MaskFaces:
    """Encode and invert faces (N, 3, S, S), and find their masks.

    Args:
        mask: (N, H, H) as drawn; by default what the parser finds in the pictures.
    """
    latent = in_batches(domain.encode, image, device=domain.device)
    inversion, found = look(domain, latent, side)
    embedding = in_batches(domain.identity_embedding, inversion, device=domain.device)
    own = masks_in(domain, image, side) if mask is None else at_mask_side(mask, side).byte()
    return MaskFaces(image, own, torch.from_numpy(others), latent, inversion, found, embedding)


def true_requests(
    domain: Domain, faces: MaskFaces, edits: TrueEdits, values: Mapping[str, Tensor]
) -> list[MaskRequest]:
    """Requests whose answer is known.

    Args:
        values: attribute → its true values (N,).
    """
    requests = []
    for kind in edits.kinds:
        truth, attribute = edits.images(kind), edits.attributes.get(kind)
        ceiling = in_batches(domain.encode, truth, device=domain.device)
        target = at_mask_side(edits.masks(kind), faces.side)
        present = None if attribute is None else values[attribute] > 0.5
        requests.append(MaskRequest(kind, target, ceiling, truth, edits.labels(kind), attribute, present))
    return requests


def donated(faces: MaskFaces) -> MaskRequest:
    """The request for the others' masks, of which nobody knows the true answer."""
    return MaskRequest("another face's mask", faces.mask[faces.others], faces.latent[faces.others])
