"""What is known of faces before and after an edit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass
class Inversion:
    """Faces, and what the domain's encoder and generator and the editor make of them. All attributes have B rows.

    Attributes:
        image: aligned faces (B, 3, S, S); of saved latents, whose photographs are not there, the inversions.
        latent: their codes w (B, L, D).
        rest: what the editor moves, see `Editor.prepare`.
        picture: the generator's pictures of the codes, at its own resolution (B, 3, R, R).
        condition: what the editor reads from the faces.
        condition_of_inversion: the same from the inversions.
        embedding: identity embeddings (B, E) of the faces.
        embedding_of_inversion: the same of the inversions.
        distance: reconstruction distance (B,).
        names: of the faces, by which a request finds what it has for each; empty texts where nobody named them.
    """

    image: Tensor
    latent: Tensor
    rest: Tensor
    picture: Tensor
    condition: Tensor
    condition_of_inversion: Tensor
    embedding: Tensor
    embedding_of_inversion: Tensor
    distance: Tensor
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.image)

    def rows(self, indices: Sequence[int]) -> Inversion:
        """Some of the faces."""
        index = torch.as_tensor(indices, dtype=torch.long, device=self.image.device)
        names = tuple(self.names[index] for index in indices)
        return Inversion(**{name: value[index] for name, value in vars(self).items() if name != "names"}, names=names)

    @staticmethod
    def joined(parts: Sequence[Inversion]) -> Inversion:
        """The faces of several."""
        if len(parts) == 1:
            return parts[0]
        names = tuple(name for part in parts for name in part.names)
        tensors = [field.name for field in fields(Inversion) if field.name != "names"]
        return Inversion(**{name: torch.cat([getattr(part, name) for part in parts]) for name in tensors}, names=names)

    def identity(self) -> Tensor:
        """Cosine (B,) between the embeddings of face and inversion."""
        return (self.embedding * self.embedding_of_inversion).sum(1)


@dataclass
class Edited:
    """Edited faces. All attributes have B rows.

    Attributes:
        target: the condition that was asked for.
        latent: edited codes (B, L, D).
        picture: the generator's pictures of them at its own resolution (B, 3, R, R).
        condition: what the editor reads from them.
        embedding: identity embeddings (B, E) of them.
        identity: cosine (B,) to the embedding of the face.
        identity_to_inversion: cosine (B,) to the embedding of the inversion.
        failures, remarks: see `models.editing.requests.base.Goal`; empty texts where there is nothing to say.
    """

    target: Tensor
    latent: Tensor
    picture: Tensor
    condition: Tensor
    embedding: Tensor
    identity: Tensor
    identity_to_inversion: Tensor
    failures: tuple[str, ...]
    remarks: tuple[str, ...]

    def row(self, index: int) -> Edited:
        """One of the faces, with one row."""
        return Edited(**{name: value[index : index + 1] for name, value in vars(self).items()})

    def failure(self, index: int) -> str:
        """Why there is no edit of a face; empty where there is one."""
        if self.failures[index]:
            return self.failures[index]
        if all(bool(torch.isfinite(values[index]).all()) for values in (self.picture, self.latent)):
            return ""
        return "the result is not finite; choose a target nearer to the face"  # what the networks cannot represent
