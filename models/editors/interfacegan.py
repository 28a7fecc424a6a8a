"""InterFaceGAN: a hyperplane for each attribute ("Interpreting the Latent Space of GANs for Semantic Face Editing")."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from models.editors.base import AttributeEditor
from models.editors.stored import StoredEditor


class InterFaceGANEditor(AttributeEditor):
    """w_e = w + Σ_a (ŝ_a − s_a) u_a, u_a along attribute a's normal n_a, freed of the other attributes' normals.

    Semantics are places along the normals: s_a = ½ + (n_a·w + b_a) / g_a, with s = ½ on the hyperplane and g_a the
    distance that goes with a classifier's score from 0 to 1. A conditional edit is so long that s becomes ŝ, and
    leaves the semantics of all other attributes as they are.

    Args:
        normals: unit normals (A, L, D) in W+; (A, 1, D) in W, where the mean of a code's rows is looked at and all rows
            move alike.
        intercepts: b (A,), signed distance of the origin.
        gaps: g (A,), slope of the codes' distances over their scores; of scores 0 and 1 the distance of the two means.
        conditional: move along n_a projected off the other normals, not along n_a itself.
    Raises:
        ValueError: a normal that depends linearly on the others.
    """

    name: ClassVar[str] = "interfacegan"
    title: ClassVar[str] = "InterFaceGAN"
    normals: Tensor
    intercepts: Tensor
    gaps: Tensor
    directions: Tensor

    def __init__(
        self, normals: Tensor, intercepts: Tensor, gaps: Tensor, attributes: Sequence[str], conditional: bool = True
    ) -> None:
        super().__init__(attributes)
        self.register_buffer("normals", normals)
        self.register_buffer("intercepts", intercepts)
        self.register_buffer("gaps", gaps)
        self.register_buffer("directions", self._directions(conditional), persistent=False)

    @classmethod
    def restore(cls, stored: StoredEditor) -> InterFaceGANEditor:
        state = stored.state
        return cls(state["normals"], state["intercepts"], state["gaps"], stored.attributes, **stored.settings)

    def _directions(self, conditional: bool) -> Tensor:
        """u (A, L, D) or (A, 1, D)."""
        normals = self.normals.flatten(1)
        if not conditional:
            return self.normals * self.gaps[:, None, None]
        free = torch.stack([projected(n, torch.cat([normals[:a], normals[a + 1 :]])) for a, n in enumerate(normals)])
        along = (free * normals).sum(1)
        return (free * (self.gaps / along)[:, None]).view_as(self.normals)

    @torch.no_grad()
    def read(self, w: Tensor, image: Tensor) -> Tensor:
        seen = w if self.normals.shape[1] == w.shape[1] else w.mean(1, keepdim=True)
        return 0.5 + (torch.einsum("brd,ard->ba", seen, self.normals) + self.intercepts) / self.gaps

    @torch.no_grad()
    def move(self, rest: Tensor, condition: Tensor, target: Tensor) -> Tensor:
        return rest + torch.einsum("ba,ard->brd", target - condition, self.directions)


def projected(normal: Tensor, conditions: Tensor) -> Tensor:
    """The unit vector nearest to a normal (D,) that is orthogonal to each of the conditions (C, D).

    Raises:
        ValueError: the normal depends linearly on the conditions.
    """
    n, c = normal.double(), conditions.double()
    rest = n - c.t() @ torch.linalg.lstsq(c.t(), n[:, None]).solution[:, 0] if len(c) else n
    if float(rest.norm()) < 1e-6 * float(n.norm()):
        raise ValueError("the normal of an attribute depends linearly on those of the others")
    unit: Tensor = rest / rest.norm()
    return unit.to(normal.dtype)
