"""How well the face parser finds the masks of faces that it never saw, drawn or reproduced by the generator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from datasets.avatars import AvatarFaces
from models.domain import Domain
from models.parsing.agreement import class_accuracy, confusion, intersection_over_union, mean_iou, pixel_accuracy
from models.parsing.masks import coloured
from models.parsing.palette import CLASSES
from scripts.avatars.measures.common import Sizes, drawn
from utils.files import write_atomically
from utils.images import grid, to_pillow

KINDS = ("drawn", "inversions")


def agreement_report(counts: Tensor) -> dict[str, Any]:
    """Numbers of a confusion (19, 19), by class for those that occur.

    A class's `accuracy` is the share of its pixels that were found.
    """
    scores, shares, sizes = intersection_over_union(counts), class_accuracy(counts), counts.sum(1)
    return {
        "mean_iou": mean_iou(counts),
        "pixel_accuracy": pixel_accuracy(counts),
        "classes": {
            name: {"iou": float(scores[index]), "accuracy": float(shares[index]), "pixels": int(sizes[index])}
            for index, name in enumerate(CLASSES)
            if sizes[index]
        },
    }


@torch.no_grad()
def measure_parser(domain: Domain, sizes: Sizes) -> dict[str, Any]:
    """Agreement with the drawn masks of held-out faces, seen as they were drawn and inverted."""
    faces = sizes.correlated(masks=True)
    counts = {kind: torch.zeros(len(CLASSES), len(CLASSES), dtype=torch.int64) for kind in KINDS}
    with tqdm(total=len(faces), unit="face", desc="parser", dynamic_ncols=True) as bar:
        for batch in drawn(faces, sizes.batch):
            image = batch["image"].to(domain.device)
            for kind, seen in zip(KINDS, (image, domain.synthesise(domain.encode(image))), strict=True):
                counts[kind] += confusion(batch["mask"], domain.parse(seen).cpu())
            bar.update(len(image))
    return {"faces": len(faces), **{kind: agreement_report(found) for kind, found in counts.items()}}


@torch.no_grad()
def mask_sheet(domain: Domain, path: Path, columns: int = 12) -> None:
    """PNG of drawn faces, their masks, the masks found in them, their inversions and the masks found in those."""
    faces = AvatarFaces(columns, "samples", masks=True)
    items = [faces[index] for index in range(columns)]
    image = torch.stack([item["image"] for item in items]).to(domain.device)
    inversion = domain.synthesise(domain.encode(image))
    masks = (torch.stack([item["mask"] for item in items]).to(domain.device), domain.parse(image))
    rows = [image, *(coloured(mask) for mask in masks), inversion, coloured(domain.parse(inversion))]
    picture = to_pillow(grid(torch.cat(rows), columns))
    picture = picture.resize((2 * picture.width, 2 * picture.height), Image.Resampling.NEAREST)
    write_atomically(path, lambda temporary: picture.save(temporary, format="PNG"))
