"""What inversion keeps of a face."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from datasets.avatars import AvatarFaces
from models.domain import Domain
from models.editing.reconstruction import reconstruction_distance
from scripts.avatars.measures.common import Sizes, by_attribute, collect, drawn
from utils.files import write_atomically
from utils.images import grid, to_pillow
from utils.statistics import total_variance


def compare(domain: Domain, image: Tensor) -> dict[str, Tensor]:
    """Faces (B, 3, S, S) and their inversions, side by side."""
    inversion = domain.synthesise(domain.encode(image))
    features = domain.judge.features(image)
    return {
        "before": domain.judge(image),
        "after": domain.judge(inversion),
        "features": features,
        "feature_distance": (domain.judge.features(inversion) - features).square().sum(1),
        "identity_cosine": (domain.identity_embedding(image) * domain.identity_embedding(inversion)).sum(1),
        "pixel_mse": (image - inversion).square().flatten(1).mean(1),
        "reconstruction_distance": reconstruction_distance(domain, image, inversion),
    }


def inversion_report(domain: Domain, found: dict[str, np.ndarray]) -> dict[str, Any]:
    """Means over faces of what `compare` found on each. Sure decisions are a logit or more from the threshold."""
    before, after, distance = found["before"], found["after"], found["reconstruction_distance"]
    kept, sure = (before > 0) == (after > 0), np.abs(before) >= 1
    return {
        "faces": len(before),
        "decisions_kept": by_attribute(domain, kept.mean(0)),
        "decisions_kept_of_sure_ones": by_attribute(domain, (kept & sure).sum(0) / np.maximum(sure.sum(0), 1)),
        "identity_cosine": float(found["identity_cosine"].mean()),
        "feature_distance_share": float(found["feature_distance"].mean()) / total_variance(found["features"]),
        "pixel_mse": float(found["pixel_mse"].mean()),
        "reconstruction_distance": {
            "mean": float(distance.mean()),
            "median": float(np.median(distance)),
            "percentile_99.9": float(np.quantile(distance, 0.999)),
            "largest": float(distance.max()),
        },
    }


def measure_encoder(domain: Domain, sizes: Sizes) -> dict[str, Any]:
    """Inversion of held-out faces of both kinds, compared by judge, recognition network and pixels."""
    report: dict[str, Any] = {}
    for kind, faces in (("correlated", sizes.correlated()), ("decorrelated", sizes.decorrelated())):
        batches = drawn(faces, sizes.batch)
        title = f"inversion, {kind} faces"
        found = collect(batches, len(faces), lambda image: compare(domain, image), title, domain.device)
        report[kind] = inversion_report(domain, found)
    report["reconstruction_limit"] = report["correlated"]["reconstruction_distance"]["percentile_99.9"]
    return report


@torch.no_grad()
def inversion_sheet(domain: Domain, path: Path, columns: int = 12, rows: int = 4) -> None:
    """PNG of drawn faces, each row above the row of their inversions."""
    faces = AvatarFaces(columns * rows, "samples")
    image = torch.stack([faces[index]["image"] for index in range(len(faces))]).to(domain.device)
    inversion = domain.synthesise(domain.encode(image))
    pairs = torch.stack([image.unflatten(0, (rows, columns)), inversion.unflatten(0, (rows, columns))], 1)
    picture = to_pillow(grid(pairs.flatten(0, 2), columns))
    picture = picture.resize((2 * picture.width, 2 * picture.height))
    write_atomically(path, lambda temporary: picture.save(temporary, format="PNG"))
