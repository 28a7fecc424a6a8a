"""Rules that change one attribute of a batch: for training, and as the authors' code and demo have them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

SLIDER_SPAN, SLIDER_START = 1.4, -1.2  # the authors' demo maps its slider 0 … 1 to strengths −1.2 … 0.2


def replace_one_attribute(semantics: Tensor, low: float = 0.0, high: float = 1.0) -> Tensor:
    """ŝ: a detached copy of (B, A) in which one attribute of each row, drawn uniformly, becomes u ~ U[low, high]."""
    rows, columns = semantics.shape
    chosen = torch.randint(0, columns, (rows,), device=semantics.device)
    value = low + (high - low) * torch.rand(rows, device=semantics.device)
    return _with_entries(semantics, chosen, value.to(semantics.dtype))


def _with_entries(semantics: Tensor, columns: Tensor, values: Tensor) -> Tensor:
    return semantics.detach().clone().scatter_(1, columns[:, None], values[:, None])


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
        return chosen, _with_entries(changed, chosen, torch.randint(0, 2, (rows,)).float())
    if mode == "uniform":
        return chosen, _with_entries(changed, chosen, torch.rand(rows))
    raise ValueError(f"unknown mode '{mode}', choose keep, random, uniform or negative")


def labelled_target(source: Tensor, scale: float) -> Tensor:
    """The demo's wish for an attribute decided as `source`: exactly 1 → −scale, exactly 0 → 1 + scale, else itself."""
    flipped = torch.where(source == 1, torch.full_like(source, -scale), torch.full_like(source, 1 + scale))
    return torch.where((source == 0) | (source == 1), flipped, source)


def labelled_wish(
    semantics: Tensor, sources: Tensor, attribute: int, attributes: Sequence[int], scale: float
) -> Tensor:
    """The demo's conditioning: the semantics (B, A) with the edited attribute's column at its labelled target.

    Args:
        sources: a classifier's decisions (B, all its outputs).
        attribute: column of `sources`; `attributes` are the columns that the semantics stand for.
    """
    wanted = semantics.detach().clone()
    wanted[:, list(attributes).index(attribute)] = labelled_target(sources[:, attribute].to(semantics.dtype), scale)
    return wanted


def slider_scale(slider: Tensor) -> Tensor:
    """Strength that the demo's slider (0 … 1) stands for."""
    return slider * SLIDER_SPAN + SLIDER_START
