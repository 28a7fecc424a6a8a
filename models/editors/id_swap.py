"""ID swap: the identity of one face, everything else of another ("Controllable face image editing in a disentanglement
way", 2023).
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from models.editors.base import Editor
from models.editors.stored import StoredEditor
from models.encoders.swap_encoder import SwapEncoder
from models.latent_mapper import LatentMapper
from utils.images import at_side


class IDSwapEditor(Editor):
    """(i, a) = E(I); w = M(i, a), where i is the identity vector and a the attribute vector: everything else.

    With the i of another face the code is that of the other person in this face's scene. The code of a face that is to
    be edited is not used: E reads its picture.

    Args:
        styles: style vectors of a code.
    """

    name: ClassVar[str] = "id_swap"
    title: ClassVar[str] = "ID swap"
    requests: ClassVar[tuple[str, ...]] = ("identity",)
    condition: ClassVar[str] = "identity"
    reads_code: ClassVar[bool] = False

    def __init__(self, encoder: SwapEncoder, mapper: LatentMapper, styles: int) -> None:
        super().__init__()
        self.encoder, self.mapper, self.styles = encoder, mapper, styles
        self.eval()

    @classmethod
    def restore(cls, stored: StoredEditor) -> IDSwapEditor:
        encoder: SwapEncoder = stored.network("encoder")
        sizes = {"identity_dim": encoder.identity_dim, "attribute_dim": encoder.attribute_dim}
        return cls(encoder, stored.network("mapper", **sizes), stored.domain.styles)

    @property
    def identity_dim(self) -> int:
        return self.encoder.identity_dim

    @torch.no_grad()
    def read(self, w: Tensor, image: Tensor) -> Tensor:
        """The identity vectors (B, identity_dim) of pictures (B, 3, S, S)."""
        return self._vectors(image)[0]

    @torch.no_grad()
    def prepare(self, w: Tensor, condition: Tensor, image: Tensor | None = None) -> Tensor:
        """The attribute vectors (B, attribute_dim) of pictures (B, 3, S, S).

        Raises:
            ValueError: no pictures.
        """
        if image is None:
            raise ValueError("ID swap reads attributes from pictures, and none are given")
        return self._vectors(image)[1]

    @torch.no_grad()
    def move(self, rest: Tensor, condition: Tensor, target: Tensor) -> Tensor:
        code: Tensor = self.mapper.eval().code(target, rest, self.styles)
        return code

    def _vectors(self, image: Tensor) -> tuple[Tensor, Tensor]:
        identity, attribute = self.encoder.eval()(at_side(image, self.encoder.input_side))
        return identity, attribute
