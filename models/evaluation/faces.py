"""Faces that editors are measured on, with everything that does not depend on the edit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor

from models.domain import Domain
from models.editors.base import Editor


class FaceData(Protocol):
    """A data set whose items hold `image` (3, S, S)."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Mapping[str, Tensor]: ...


class EncodedData(FaceData, Protocol):
    """A data set that also has latent codes (N, L, D) and the teacher's outputs (N, A)."""

    def numbers(self) -> tuple[Tensor, Tensor]: ...


@runtime_checkable
class DrawnData(Protocol):
    """A data set that can draw the true answer to an edit: (3, S, S), one attribute turned, all else equal."""

    def counterfactual(self, index: int, attribute: str) -> Tensor: ...


@dataclass
class TestSet:
    """Faces with everything that does not depend on the edit. All tensors are on the CPU, N rows each.

    Attributes:
        image: (N, 3, S, S); inversion: the same after encoding and synthesis.
        latent: (N, L, D).
        decisions, embedding: reference name (`photo`, `inversion`) → the judge's decisions (N, A) and unit vectors.
        counterfactual: (N, A, 3, S, S), the true answer to flipping each attribute, or None.
    """

    image: Tensor
    inversion: Tensor
    latent: Tensor
    decisions: dict[str, Tensor]
    embedding: dict[str, Tensor]
    counterfactual: Tensor | None = None
    __test__: ClassVar[bool] = False  # pytest takes it for a test otherwise

    def __len__(self) -> int:
        return len(self.image)


@dataclass(frozen=True)
class Decomposition:
    """What an editor makes of faces before any edit: condition (N, A) and rest (N, …), both on the CPU."""

    condition: Tensor
    rest: Tensor


@torch.no_grad()
def in_batches(function: Callable[..., Tensor], *rows: Tensor, device: torch.device, batch_size: int = 64) -> Tensor:
    """`function` over tensors of equal length, batch by batch; the result is on the CPU."""
    batches = zip(*(torch.split(tensor, batch_size) for tensor in rows), strict=True)
    return torch.cat([function(*(part.to(device) for part in batch)).cpu() for batch in batches])


def decompose(editor: Editor, latent: Tensor, image: Tensor, device: torch.device) -> Decomposition:
    """Read the condition of faces, given as codes (N, L, D) and pictures (N, 3, S, S), and prepare the rest."""
    condition = in_batches(editor.read, latent, image, device=device)
    return Decomposition(condition, in_batches(editor.prepare, latent, condition, device=device))


def prepare(domain: Domain, image: Tensor, counterfactual: Tensor | None = None) -> TestSet:
    """Encode, invert and judge the faces (N, 3, S, S)."""
    device = domain.device
    latent = in_batches(domain.encode, image, device=device)
    inversion = in_batches(domain.synthesise, latent, device=device)
    pictures = {"photo": image, "inversion": inversion}
    decisions = {name: decisions_of(domain, picture) for name, picture in pictures.items()}
    embedding = {
        name: in_batches(domain.identity_embedding, picture, device=device) for name, picture in pictures.items()
    }
    return TestSet(image, inversion, latent, decisions, embedding, counterfactual)


def faces_of(data: FaceData, domain: Domain, count: int, with_truth: bool = True) -> TestSet:
    """The first `count` faces of a data set, prepared.

    Args:
        with_truth: draw the counterfactuals, too, where the data set can.
    Raises:
        ValueError: the data set has fewer faces.
    """
    image = images_of(data, count)
    drawn = counterfactuals(data, count, domain.attributes) if with_truth and isinstance(data, DrawnData) else None
    return prepare(domain, image, drawn)


def images_of(data: FaceData, count: int) -> Tensor:
    """The first `count` pictures (N, 3, S, S) of a data set.

    Raises:
        ValueError: it has fewer.
    """
    if len(data) < count:
        raise ValueError(f"{count} faces were asked for, the data set has {len(data)}")
    return torch.stack([data[index]["image"] for index in range(count)])


def counterfactuals(data: DrawnData, count: int, attributes: Sequence[str]) -> Tensor:
    """(N, A, 3, S, S): each face with each attribute turned to the other side, all else equal."""
    return torch.stack(
        [torch.stack([data.counterfactual(index, name) for name in attributes]) for index in range(count)]
    )


def decisions_of(domain: Domain, image: Tensor) -> Tensor:
    """The judge's decisions (N, A) on pictures (N, 3, S, S)."""
    return in_batches(domain.judge_probabilities, image, device=domain.device) > 0.5


def inversion_keeps(faces: TestSet, domain: Domain) -> dict[str, object]:
    """For JSON: the share of decisions and the mean identity that encoding and synthesis alone keep of the photo."""
    same = (faces.decisions["photo"] == faces.decisions["inversion"]).float().mean(0)
    identity = (faces.embedding["photo"] * faces.embedding["inversion"]).sum(1).mean()
    return {"decisions": dict(zip(domain.attributes, same.tolist(), strict=True)), "identity": float(identity)}
