"""What is known of faces before and after an edit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Inversion:
    """Faces, and what the domain's encoder and generator and the editor make of them. All tensors have B rows.

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

    def __len__(self) -> int:
        return len(self.image)

    def rows(self, indices: Sequence[int]) -> Inversion:
        """Some of the faces."""
        index = torch.as_tensor(indices, dtype=torch.long, device=self.image.device)
        return Inversion(**{name: value[index] for name, value in vars(self).items()})

    def identity(self) -> Tensor:
        """Cosine (B,) between the embeddings of face and inversion."""
        return (self.embedding * self.embedding_of_inversion).sum(1)


@dataclass
class Edited:
    """Edited faces. All tensors have B rows.

    Attributes:
        target: the condition that was asked for.
        latent: edited codes (B, L, D).
        picture: the generator's pictures of them at its own resolution (B, 3, R, R).
        condition: what the editor reads from them.
        identity: cosine (B,) to the embedding of the face.
        identity_to_inversion: cosine (B,) to the embedding of the inversion.
    """

    target: Tensor
    latent: Tensor
    picture: Tensor
    condition: Tensor
    identity: Tensor
    identity_to_inversion: Tensor

    def row(self, index: int) -> Edited:
        """One of the faces, with one row."""
        return Edited(**{name: value[index : index + 1] for name, value in vars(self).items()})

    def finite(self) -> Tensor:
        """Which faces (B,) came out as numbers: far targets can leave what the networks can represent."""
        return torch.isfinite(self.picture).flatten(1).all(1) & torch.isfinite(self.latent).flatten(1).all(1)
