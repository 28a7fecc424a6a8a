"""How the authors' training and demo choose the semantics that a face is edited to; compared by golden cases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

SLIDER_SPAN, SLIDER_START = 1.4, -1.2  # the authors' demo maps its slider 0 … 1 to strengths −1.2 … 0.2


def modify_one_attribute(
    attributes: Tensor,
    index: int = -1,
    scale: float | None = None,
    mode: Literal["keep", "random", "uniform", "negative"] = "random",
) -> tuple[Tensor | int | None, Tensor]:
    """The authors' rule in all its modes: (changed columns, changed copy of (B, A)).

    `keep` changes nothing. A valid `index` flips that column: x → 1 − x, or, with `scale`, only exact labels,
    1 → 1 − scale and 0 → scale. Otherwise the mode decides: one random entry of each row becomes a random label
    (`random`) or u ~ U[0, 1] (`uniform`), or one random column of the whole batch becomes 1 − x (`negative`).

    Raises:
        ValueError: unknown mode.
    """
    changed = attributes.detach().clone().float()
    rows, columns = changed.shape
    if mode == "keep":
        return None, changed
    if 0 <= index < columns:
        column = changed[:, index]
        if scale is None:
            changed[:, index] = 1 - column
        else:
            present, absent = column == 1, column == 0
            changed[:, index] = torch.where(present, 1 - scale, torch.where(absent, scale, column))
        return index, changed
    if mode == "negative":
        chosen = torch.randint(0, columns, (1,))
        changed[:, chosen] = 1 - changed[:, chosen]
        return chosen, changed
    chosen = torch.randint(0, columns, (rows,))
    if mode == "random":
        values = torch.randint(0, 2, (rows,)).float()
    elif mode == "uniform":
        values = torch.rand(rows)
    else:
        raise ValueError(f"unknown mode '{mode}', choose keep, random, uniform or negative")
    return chosen, changed.scatter_(1, chosen[:, None], values[:, None])


def labelled_target(source: Tensor, scale: float) -> Tensor:
    """The demo's target for an attribute decided as `source`: exactly 1 → −scale, exactly 0 → 1 + scale, else as is."""
    flipped = torch.where(source == 1, torch.full_like(source, -scale), torch.full_like(source, 1 + scale))
    return torch.where((source == 0) | (source == 1), flipped, source)


def labelled_semantics(
    semantics: Tensor, sources: Tensor, attribute: int, attributes: Sequence[int], scale: float
) -> Tensor:
    """What the demo edits to: the semantics (B, A) with the edited attribute's column at its labelled target.

    Args:
        sources: a classifier's decisions (B, all its outputs).
        attribute: column of `sources`; `attributes` are the columns that the semantics stand for.
    """
    target = semantics.detach().clone()
    target[:, list(attributes).index(attribute)] = labelled_target(sources[:, attribute].to(semantics.dtype), scale)
    return target


def slider_scale(slider: Tensor) -> Tensor:
    """Strength that the demo's slider (0 … 1) stands for."""
    return slider * SLIDER_SPAN + SLIDER_START
