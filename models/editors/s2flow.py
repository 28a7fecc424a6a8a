"""S²-Flow: a flow that is conditioned on a face mask ("S²-Flow: Joint Semantic and Style Editing of Facial Images",
2022).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ClassVar

import torch
from torch import Tensor

from models.editors.by_flow import FlowEditor
from models.editors.stored import StoredEditor
from models.flows.cnf import ContinuousFlow
from models.parsing.mask_encoder import MaskEncoder
from utils.images import at_side

STYLE_STEPS = 100  # of the published walk, whose picture shows the first ten


class S2FlowEditor(FlowEditor):
    """c = C(mask); z = Φ(w; c); w_e = Φ⁻¹(z; ĉ). What z keeps is called the style.

    With another condition the rest gives a semantic edit, another rest with the same condition a style edit, and both
    together a joint edit. The networks are in evaluation mode during a call: in training mode, as the published scripts
    for semantic and style edits leave them, an edit changes the statistics that the next one uses.

    Args:
        parse: masks (B, S, S) of class indices in pictures (B, 3, S, S) in [−1, 1], see `Domain.parse`; not kept.
    """

    name: ClassVar[str] = "s2flow"
    title: ClassVar[str] = "S²-Flow"
    requests: ClassVar[tuple[str, ...]] = ("mask", "style")
    condition: ClassVar[str] = "mask"
    reads_synthesis: ClassVar[bool] = True  # as published: the style is what the mask of this code's picture leaves

    def __init__(self, flow: ContinuousFlow, mask_encoder: MaskEncoder, parse: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.flow = flow
        self.mask_encoder = mask_encoder
        self.parse = parse
        self.eval()

    @classmethod
    def restore(cls, stored: StoredEditor) -> S2FlowEditor:
        encoder: MaskEncoder = stored.network("mask_encoder")
        return cls(stored.network("flow", semantics=encoder.outputs), encoder, stored.domain.parse)

    @torch.no_grad()
    def read(self, w: Tensor, image: Tensor) -> Tensor:
        """The condition (B, 19) of the mask that the domain's parser finds in pictures (B, 3, S, S)."""
        return self.condition_of(self.mask_of(image))

    @property
    def mask_side(self) -> int:
        return self.mask_encoder.side

    @torch.no_grad()
    def mask_of(self, image: Tensor) -> Tensor:
        return self.parse(at_side(image, self.mask_side))

    @torch.no_grad()
    def condition_of(self, mask: Tensor) -> Tensor:
        """c (B, 19) of masks (B, side, side) of class indices.

        Raises:
            ValueError: masks of another size.
        """
        condition: Tensor = self.mask_encoder.eval()(mask)
        return condition


def style_walk(rest: Tensor, style: Tensor, steps: int = STYLE_STEPS) -> Iterator[Tensor]:
    """The published walk from a face's style to another: step i, from 0 on, mixes i / (steps − 1) of the other into the
    result of the step before, so that the last step arrives.

    Args:
        rest, style: (B, L, D).
    """
    for share in torch.linspace(0, 1, steps, dtype=torch.float64).tolist():
        rest = (1 - share) * rest + share * style
        yield rest


def style_shares(steps: int = STYLE_STEPS) -> Tensor:
    """Share of the other style after each step of the walk, (steps,), float64."""
    kept = 1 - torch.linspace(0, 1, steps, dtype=torch.float64)
    return 1 - kept.cumprod(0)
