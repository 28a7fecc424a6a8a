"""Pictures in, edited pictures out: alignment, inversion, edit, synthesis, and what is measured on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from models.alignment import Aligner, build_aligner
from models.domain import Domain
from models.editors.base import Editor, Target, resolve_targets
from models.reconstruction import reconstruction_distance
from utils.images import to_tensor


@dataclass
class Inversion:
    """Faces and what the domain's encoder and generator make of them.

    Attributes:
        image: aligned faces (B, 3, S, S).
        latent: their codes w (B, L, D).
        prepared: what the editor moves them from, see `Editor.prepare`.
        picture: the generator's pictures of the codes, at its own resolution (B, 3, R, R).
        semantics: the editor's estimates (B, A) on the faces.
        semantics_of_inversion: the same on the inversions.
        embedding: identity embeddings (B, E) of the faces.
        embedding_of_inversion: the same of the inversions.
        distance: reconstruction distance (B,).
    """

    image: Tensor
    latent: Tensor
    prepared: Tensor
    picture: Tensor
    semantics: Tensor
    semantics_of_inversion: Tensor
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
    """Edited faces.

    Attributes:
        wanted: the semantics (B, A) that were asked for: the estimates with the targets put in.
        latent: edited codes (B, L, D).
        picture: the generator's pictures of them at its own resolution (B, 3, R, R).
        semantics: the editor's estimates (B, A) on them.
        identity: cosine (B,) to the embedding of the face.
        identity_to_inversion: cosine (B,) to the embedding of the inversion.
    """

    wanted: Tensor
    latent: Tensor
    picture: Tensor
    semantics: Tensor
    identity: Tensor
    identity_to_inversion: Tensor

    def finite(self) -> Tensor:
        """Which faces (B,) came out as numbers: far targets can leave what the networks can represent."""
        return torch.isfinite(self.picture).flatten(1).all(1) & torch.isfinite(self.latent).flatten(1).all(1)


class EditingPipeline:
    """A domain and an editor as one tool, for commands and web pages.

    Args:
        domain: frozen networks; generator, encoder and identity network are used.
        editor: learned in that domain.
    """

    def __init__(self, domain: Domain, editor: Editor) -> None:
        self.domain, self.editor = domain, editor
        self.aligner: Aligner = build_aligner(domain)

    def align(self, picture: Image.Image) -> Tensor:
        """An RGB picture as an aligned face (3, S, S), on the CPU.

        Raises:
            AlignmentError: too small, or no face.
        """
        return to_tensor(self.aligner(picture))

    @torch.no_grad()
    def invert(self, image: Tensor) -> Inversion:
        """Aligned faces (B, 3, S, S) as latent codes and everything that is known of them before an edit."""
        domain = self.domain
        image = image.to(domain.device)
        latent = domain.encode(image)
        semantics = self.editor.semantics(latent, image)
        picture = domain.synthesise_full(latent)
        reduced = domain.resized(picture)
        return Inversion(
            image=image,
            latent=latent,
            prepared=self.editor.prepare(latent, semantics),
            picture=picture,
            semantics=semantics,
            semantics_of_inversion=self.editor.semantics(latent, reduced),
            embedding=domain.identity_embedding(image),
            embedding_of_inversion=domain.identity_embedding(reduced),
            distance=reconstruction_distance(domain, image, reduced),
        )

    @torch.no_grad()
    def edit(self, faces: Inversion, targets: Mapping[str, Target]) -> Edited:
        """The faces with the wanted attribute values, all in one pass."""
        wanted = resolve_targets(faces.semantics, targets, self.editor.attributes)
        latent = self.editor.move(faces.prepared, faces.semantics, wanted)
        picture = self.domain.synthesise_full(latent)
        reduced = self.domain.resized(picture)
        embedding = self.domain.identity_embedding(reduced)
        return Edited(
            wanted=wanted,
            latent=latent,
            picture=picture,
            semantics=self.editor.semantics(latent, reduced),
            identity=(embedding * faces.embedding).sum(1),
            identity_to_inversion=(embedding * faces.embedding_of_inversion).sum(1),
        )

    def foreign(self, distance: float) -> str | None:
        """Why a face of this reconstruction distance is not to be edited, or None where it may be.

        The domain's limit is the 99.9th percentile over held-out faces; a domain without one refuses nothing.
        """
        limit = self.domain.reconstruction_limit
        if limit is None or distance <= limit:
            return None
        hint = f"; {self.domain.foreign_face_hint}" if self.domain.foreign_face_hint else ""
        return (
            f"no face that this editor knows: the {self.domain.name} encoder cannot reproduce it "
            f"(distance {distance:.3f}, limit {limit:.3f}){hint}"
        )
