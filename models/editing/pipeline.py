"""Pictures in, edited pictures out: alignment, inversion, edit, synthesis, and what is measured on the way.

What comes out are squares; `models/editing/paste_back.py` brings them back into photographs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from models.domain import Domain
from models.editing.alignment import AlignedFace, Aligner, FaceChoice, ResizeAligner, build_aligner
from models.editing.reconstruction import reconstruction_distance
from models.editing.saved_latents import SavedLatent
from models.editors.base import Editor, Target, resolve_targets
from utils.images import to_tensor


@dataclass
class Inversion:
    """Faces and what the domain's encoder and generator make of them.

    Attributes:
        image: aligned faces (B, 3, S, S); of saved latents, whose photographs are not there, the inversions.
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
        aligner: another than the domain's own.
    """

    def __init__(self, domain: Domain, editor: Editor, aligner: Aligner | None = None) -> None:
        self.domain, self.editor = domain, editor
        self.aligner: Aligner = aligner if aligner is not None else build_aligner(domain)
        self._whole = ResizeAligner(domain.image_side)

    def align(self, picture: Image.Image) -> Tensor:
        """The largest face of an RGB picture, aligned (3, S, S), on the CPU.

        Raises:
            AlignmentError: too small, or no face.
        """
        return to_tensor(self.aligner(picture))

    def faces(self, picture: Image.Image, choice: FaceChoice = "all", aligned: bool = False) -> list[AlignedFace]:
        """The chosen faces of an RGB picture, cut out.

        Args:
            aligned: the picture is an aligned face already; nothing is searched in it.
        Raises:
            AlignmentError: too small, or no face.
        """
        return self._whole.faces(picture) if aligned else self.aligner.faces(picture, choice)

    @torch.no_grad()
    def invert(self, image: Tensor) -> Inversion:
        """Aligned faces (B, 3, S, S) as latent codes and everything that is known of them before an edit."""
        domain = self.domain
        image = image.to(domain.device)
        latent = domain.encode(image)
        semantics = self.editor.read(latent, image)
        picture = domain.synthesise_full(latent)
        reduced = domain.resized(picture)
        return Inversion(
            image=image,
            latent=latent,
            prepared=self.editor.prepare(latent, semantics),
            picture=picture,
            semantics=semantics,
            semantics_of_inversion=self.editor.read(latent, reduced),
            embedding=domain.identity_embedding(image),
            embedding_of_inversion=domain.identity_embedding(reduced),
            distance=reconstruction_distance(domain, image, reduced),
        )

    @torch.no_grad()
    def restore(self, saved: Sequence[SavedLatent], editor_hash: str) -> Inversion:
        """What `invert` gave for faces of which the latent codes were saved; the encoder is not used.

        Args:
            editor_hash: names this pipeline's editor: estimates of another one are made anew, on the inversions.
        """
        domain = self.domain
        latent = torch.stack([one.latent for one in saved]).to(domain.device)
        picture = domain.synthesise_full(latent)
        reduced = domain.resized(picture)
        of_inversion = self.editor.read(latent, reduced)
        known = [one.metadata["editor"] == editor_hash for one in saved]
        pairs = zip(saved, known, of_inversion, strict=True)
        semantics = torch.stack([one.semantics.to(row) if own else row for one, own, row in pairs])
        return Inversion(
            image=reduced,
            latent=latent,
            prepared=self.editor.prepare(latent, semantics),
            picture=picture,
            semantics=semantics,
            semantics_of_inversion=of_inversion,
            embedding=torch.stack([one.embedding for one in saved]).to(domain.device),
            embedding_of_inversion=domain.identity_embedding(reduced),
            distance=latent.new_tensor([one.distance for one in saved]),
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
            semantics=self.editor.read(latent, reduced),
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
