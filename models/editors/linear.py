"""Linear directions in latent space, the baseline that needs no training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from models.editors.base import AttributeEditor
from models.editors.stored import StoredEditor


class LinearDirectionsEditor(AttributeEditor):
    """w_e = w + Σ_a (ŝ_a − s_a) d_a with the directions of the least-squares fit w ≈ c + Σ_a s_a d_a.

    All attributes are fitted together, so each direction is conditional on the others: what correlated attributes
    explain is not counted twice. (InterFaceGAN conditions by projecting one normal off the others.) A learned linear
    readout of w supplies s.

    Args:
        directions: (A, L, D).
        readout: (L·D + 1, A), from a code with a 1 appended to its semantics.
    """

    name: ClassVar[str] = "linear"
    title: ClassVar[str] = "linear directions"
    directions: Tensor
    readout: Tensor

    def __init__(self, directions: Tensor, readout: Tensor, attributes: Sequence[str]) -> None:
        super().__init__(attributes)
        self.register_buffer("directions", directions)
        self.register_buffer("readout", readout)

    @classmethod
    def fit(
        cls, latents: Tensor, semantics: Tensor, attributes: Sequence[str], ridge: float = 1e-2
    ) -> LinearDirectionsEditor:
        """Fit on codes (N, L, D) and their semantics (N, A).

        Args:
            ridge: penalty of the readout, as a share of the codes' mean variance.
        Raises:
            ValueError: fewer codes than attributes, or an attribute that never varies.
        """
        count = len(latents)
        if count <= semantics.shape[1]:
            raise ValueError(f"{count} codes cannot determine directions of {semantics.shape[1]} attributes")
        if bool((semantics.std(0) < 1e-6).any()):
            constant = [name for name, s in zip(attributes, semantics.std(0), strict=True) if s < 1e-6]
            raise ValueError(f"{constant[0]} is the same for all codes: it has no direction")
        codes, scores = latents.flatten(1).double(), semantics.double()
        centred, design = codes - codes.mean(0), scores - scores.mean(0)
        directions = torch.linalg.lstsq(design, centred).solution
        weights = _ridge(centred, design, ridge * count * float(centred.square().mean()))
        offset = scores.mean(0) - codes.mean(0) @ weights
        readout = torch.cat([weights, offset[None]])
        return cls(directions.to(latents.dtype).reshape(-1, *latents.shape[1:]), readout.to(latents.dtype), attributes)

    @classmethod
    def restore(cls, stored: StoredEditor) -> LinearDirectionsEditor:
        return cls(stored.state["directions"], stored.state["readout"], stored.attributes)

    @torch.no_grad()
    def read(self, w: Tensor, image: Tensor) -> Tensor:
        return w.flatten(1) @ self.readout[:-1] + self.readout[-1]

    @torch.no_grad()
    def move(self, rest: Tensor, condition: Tensor, target: Tensor) -> Tensor:
        return rest + torch.einsum("ba,ald->bld", target - condition, self.directions)


def _ridge(inputs: Tensor, outputs: Tensor, penalty: float) -> Tensor:
    """Weights (P, A) of ridge regression from (N, P) to (N, A), through the smaller of the two Gram matrices."""
    count, features = inputs.shape
    identity = penalty * torch.eye(min(count, features), dtype=inputs.dtype, device=inputs.device)
    weights: Tensor
    if features <= count:
        weights = torch.linalg.solve(inputs.t() @ inputs + identity, inputs.t() @ outputs)
    else:
        weights = inputs.t() @ torch.linalg.solve(inputs @ inputs.t() + identity, outputs)
    return weights
