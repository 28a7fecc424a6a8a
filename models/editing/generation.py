"""Conditional generation: faces of a mask and of a style that no face has."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from models.domain import Domain
from models.editing.foreign_latents import read_codes
from models.editing.pipeline import EditingPipeline
from models.editors.base import mask_editor
from models.parsing.agreement import confusion, mean_iou, pixel_accuracy
from utils.paths import displayed
from utils.weights import WeightsError


class Generated(NamedTuple):
    """A face that was made of a mask.

    Attributes:
        picture: (3, R, R), R the generator's side.
        mean_iou, pixel_accuracy: agreement of the mask that the domain's parser finds in it with the given one.
    """

    picture: Tensor
    mean_iou: float
    pixel_accuracy: float


def drawn_styles(seeds: Iterable[int], domain: Domain) -> dict[str, Tensor]:
    """A style z (L, D) from N(0, I) for each seed, by its name, such as `seed3`; on every device the same."""
    shape = (domain.styles, domain.style_dim)
    return {f"seed{seed}": torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds}


def stored_styles(path: Path, rows: Iterable[int], domain: Domain) -> dict[str, Tensor]:
    """Rows of samples (N, L, D) in a file, such as S²-Flow's `sample_z.pt`, by their names, such as `row3`.

    Raises:
        WeightsError: no such file, no samples of this shape in it, or fewer; nothing in it is executed.
    """
    samples, rows = read_codes(path, domain), list(rows)
    if rows and max(rows) >= len(samples):
        raise WeightsError(f"{displayed(path)}: holds {len(samples)} samples; row {max(rows)} is not among them")
    return {f"row{row}": samples[row] for row in rows}


@torch.no_grad()
def generate(pipeline: EditingPipeline, mask: np.ndarray, style: Tensor) -> Generated:
    """G(Φ⁻¹(z; c(mask))), computed alone: a mask and a style give the same picture, whatever else is made.

    Args:
        mask: class indices (side, side) uint8, of the side that the editor takes.
        style: z (L, D).
    Raises:
        ValueError: the editor takes no masks.
        FloatingPointError: the flow's solver cannot follow this style.
    """
    reader, domain = mask_editor(pipeline.editor), pipeline.domain
    given = torch.from_numpy(mask)[None].to(domain.device)
    condition = reader.condition_of(given)
    picture = domain.synthesise_full(pipeline.editor.move(style[None].to(domain.device), condition, condition))
    counts = confusion(given, reader.mask_of(picture)).cpu()
    return Generated(picture[0], mean_iou(counts), pixel_accuracy(counts))
