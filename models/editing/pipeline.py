"""Pictures in, edited pictures out: alignment, inversion, edit, synthesis, and what is measured on the way.

The results are squares; `models/editing/paste_back.py` pastes them into photographs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from models.domain import Domain
from models.editing.aligners import build_aligner
from models.editing.alignment import AlignedFace, Aligner, ResizeAligner
from models.editing.face_choice import FaceChoice
from models.editing.inversion import Edited, Inversion
from models.editing.reconstruction import reconstruction_distance
from models.editing.requests.base import Request
from models.editing.saved_latents import SavedLatent
from models.editors.base import Editor, MaskEditor
from utils.images import to_tensor
from utils.weights import WeightsError


class EditingPipeline:
    """A domain and an editor as one tool, for commands and web pages.

    Args:
        domain: frozen networks; generator, encoder and identity network are used.
        editor: learned in that domain.
        aligner: in place of the domain's own.
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
            aligned: the picture is an aligned face: it is not searched.
        Raises:
            AlignmentError: too small, or no face.
        """
        return self._whole.faces(picture, choice) if aligned else self.aligner.faces(picture, choice)

    @torch.no_grad()
    def invert(self, image: Tensor, names: Sequence[str] = ()) -> Inversion:
        """Aligned faces (B, 3, S, S) as latent codes and everything that is known of them before an edit.

        Args:
            names: of the faces, if requests look for something by them.
        """
        domain = self.domain
        image = image.to(domain.device)
        latent = self._code(image)
        picture = domain.synthesise_full(latent)
        reduced = domain.resized(picture)
        of_inversion = self._read(latent, picture, reduced)
        condition = of_inversion if self.editor.reads_synthesis else self.editor.read(latent, image)
        return Inversion(
            image=image,
            latent=latent,
            rest=self.editor.prepare(latent, condition, image),
            picture=picture,
            condition=condition,
            condition_of_inversion=of_inversion,
            embedding=domain.identity_embedding(image),
            embedding_of_inversion=domain.identity_embedding(reduced),
            distance=reconstruction_distance(domain, image, reduced),
            names=tuple(names) or ("",) * len(image),
        )

    @torch.no_grad()
    def restore(self, saved: Sequence[SavedLatent], editor_hash: str, names: Sequence[str] = ()) -> Inversion:
        """What `invert` gave for faces of which the latent codes were saved; the encoder is not used.

        Args:
            editor_hash: of this pipeline's editor; what another editor read is read again, from the inversion.
            names: see `invert`.
        Raises:
            WeightsError: a condition or an embedding is of another shape than this editor's and this domain's.
        """
        domain = self.domain
        latent = torch.stack([one.latent for one in saved]).to(domain.device)
        picture = domain.synthesise_full(latent)
        reduced = domain.resized(picture)
        of_inversion = self._read(latent, picture, reduced)
        known = [one.metadata["editor"] == editor_hash for one in saved]
        pairs = zip(saved, known, of_inversion, strict=True)
        condition = torch.stack([_kept("condition", one.condition if own else None, row) for one, own, row in pairs])
        embedding_of_inversion = domain.identity_embedding(reduced)
        embeddings = zip(saved, embedding_of_inversion, strict=True)
        return Inversion(
            image=reduced,
            latent=latent,
            rest=self.editor.prepare(latent, condition, reduced),
            picture=picture,
            condition=condition,
            condition_of_inversion=of_inversion,
            embedding=torch.stack([_kept("embedding", one.embedding, row) for one, row in embeddings]),
            embedding_of_inversion=embedding_of_inversion,
            distance=latent.new_tensor([one.distance for one in saved]),
            names=tuple(names) or ("",) * len(saved),
        )

    @torch.no_grad()
    def edit(self, faces: Inversion, request: Request) -> Edited:
        """The faces as the request asks for them."""
        goal = request.resolve(faces, self.editor)
        latent = self.editor.move(goal.rest, faces.condition, goal.target)
        picture = self.domain.synthesise_full(latent)
        reduced = self.domain.resized(picture)
        embedding = self.domain.identity_embedding(reduced)
        return Edited(
            target=goal.target,
            latent=latent,
            picture=picture,
            condition=self._read(latent, picture, reduced),
            embedding=embedding,
            identity=(embedding * faces.embedding).sum(1),
            identity_to_inversion=(embedding * faces.embedding_of_inversion).sum(1),
            failures=tuple(goal.failures) or ("",) * len(faces),
            remarks=tuple(goal.remarks) or ("",) * len(faces),
        )

    @torch.no_grad()
    def masks(self, picture: Tensor) -> Tensor:
        """Masks (B, H, H) of class indices of the generator's pictures (B, 3, R, R): of the side that a mask editor's
        conditions are read from, otherwise of side S.

        Raises:
            ConfigError, WeightsError: the domain has no face parser.
        """
        if isinstance(self.editor, MaskEditor):
            return self.editor.mask_of(picture)
        return self.domain.parse(self.domain.resized(picture))

    def _code(self, image: Tensor) -> Tensor:
        """Latent codes (B, L, D) of aligned faces: the encoder's. In a domain without one, those that the editor joins
        of what it reads from the pictures, if it reads no codes."""
        if self.domain.has("encoder") or self.editor.reads_code:
            return self.domain.encode(image)
        none = image.new_zeros(len(image), self.domain.styles, self.domain.style_dim)
        condition = self.editor.read(none, image)
        return self.editor.move(self.editor.prepare(none, condition, image), condition, condition)

    def _read(self, latent: Tensor, picture: Tensor, reduced: Tensor) -> Tensor:
        """The condition of the generator's pictures, given at its own side and at side S."""
        return self.editor.read(latent, picture if self.editor.reads_synthesis else reduced)

    def foreign(self, distance: float) -> str | None:
        """Why a face of this reconstruction distance should not be edited; None where it may be.

        The domain's limit is the 99.9th percentile over held-out faces; a domain without one accepts every picture.
        """
        limit = self.domain.reconstruction_limit
        if limit is None or distance <= limit:
            return None
        hint = f"; {self.domain.foreign_face_hint}" if self.domain.foreign_face_hint else ""
        return (
            f"does not look like a face of this domain: the {self.domain.name} encoder cannot reproduce it "
            f"(distance {distance:.3f}, limit {limit:.3f}){hint}"
        )


def _kept(name: str, saved: Tensor | None, found: Tensor) -> Tensor:
    """What was saved of a face, where there is any, else what was found in its inversion.

    Raises:
        WeightsError: they differ in shape.
    """
    if saved is not None and saved.shape != found.shape:
        raise WeightsError(f"damaged latents: its {name} is {tuple(saved.shape)}, not {tuple(found.shape)}")
    return found if saved is None else saved.to(found)
