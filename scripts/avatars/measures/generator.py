"""How near generated faces are to drawn ones: as a whole, by attribute and by nuisance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from datasets import DATASETS
from models.domain import Domain
from scripts.avatars.measures.common import Sizes, by_attribute, collect, drawn, generated
from scripts.avatars.measures.nuisances import (
    NUISANCES,
    READABLE,
    WITH_GLASSES,
    determination,
    nuisance_reader,
    thirds,
    true_factors,
)
from utils.config import load_config
from utils.files import write_atomically
from utils.images import grid, to_pillow
from utils.paths import ROOT
from utils.statistics import frechet_distance, total_variance


def attribute_shares(domain: Domain, real: np.ndarray, fake: np.ndarray) -> dict[str, Any]:
    """Shares of faces that the judge finds to have each attribute, from its logits (N, A) on real and generated faces.

    `ambiguous` are faces within one logit of the threshold.
    """
    shares = (real > 0).mean(0), (fake > 0).mean(0)
    return {
        "drawn": by_attribute(domain, shares[0]),
        "generated": by_attribute(domain, shares[1]),
        "difference_points": by_attribute(domain, 100 * (shares[1] - shares[0])),
        "ambiguous_drawn": by_attribute(domain, (np.abs(real) < 1).mean(0)),
        "ambiguous_generated": by_attribute(domain, (np.abs(fake) < 1).mean(0)),
    }


def nuisance_shares(
    real: dict[str, np.ndarray], fake: dict[str, np.ndarray], quality: np.ndarray, glasses: int
) -> dict[str, Any]:
    """Shares of generated faces in thirds of the real readings, for each nuisance.

    Args:
        real, fake: `factors` (N, F) as read, and the judge's `logits` (N, A).
        quality: R² (F,) of the reader on held-out drawn faces.
        glasses: column of the attribute that shows the frames.
    """
    report: dict[str, Any] = {}
    for index, name in enumerate(NUISANCES):
        readings = [found["factors"][:, index] for found in (real, fake)]
        if name in WITH_GLASSES:
            readings = [
                values[found["logits"][:, glasses] > 0] for values, found in zip(readings, (real, fake), strict=True)
            ]
        shares = thirds(*readings)
        report[name] = {
            "r2": float(quality[index]),
            "readable": bool(quality[index] >= READABLE),
            "generated_in_thirds": shares,
            "largest_difference_points": 100 * max(abs(share - 1 / 3) for share in shares),
        }
    return report


def measure_generator(domain: Domain, sizes: Sizes) -> dict[str, Any]:
    """Fréchet distance in the judge's last features, and shares of attributes and nuisances against held-out faces."""
    judge_faces = load_config(ROOT / "configs/avatars/judge.yaml").section("data")  # drawn already where it was trained
    judge_faces["cache"] = sizes.cache
    reader = nuisance_reader(DATASETS.build(judge_faces), sizes.cache, domain.device)

    def measure(image: Tensor) -> dict[str, Tensor]:
        return {"features": domain.judge.features(image), "logits": domain.judge(image), "factors": reader(image)}

    count, device = sizes.faces, domain.device
    real = collect(drawn(sizes.correlated(), sizes.batch), count, measure, "drawn faces", device)
    again = collect(drawn(sizes.correlated(first=count), sizes.batch), count, measure, "other drawn faces", device)
    fake = collect(generated(domain, count, sizes.seed, sizes.batch), count, measure, "generated faces", device)
    both = {name: np.concatenate([real[name], again[name]]) for name in fake}
    variance = total_variance(real["features"])
    quality = determination(real["factors"], true_factors(sizes.correlated(), range(count)).numpy())
    glasses = domain.attributes.index("Eyeglasses")
    return {
        "faces": count,
        "seed": sizes.seed,
        "frechet_distance": frechet_distance(fake["features"], real["features"]),
        "total_variance": variance,
        "frechet_share": frechet_distance(fake["features"], real["features"]) / variance,
        "frechet_share_of_drawn_faces": frechet_distance(again["features"], real["features"]) / variance,
        "attributes": attribute_shares(domain, both["logits"], fake["logits"]),
        "nuisances": nuisance_shares(both, fake, quality, glasses),
    }


def sample_sheet(domain: Domain, path: Path, seed: int, columns: int = 12, rows: int = 8) -> None:
    """PNG of generated faces, not selected."""
    faces = torch.cat([batch["image"] for batch in generated(domain, columns * rows, seed, 48)])
    picture = to_pillow(grid(faces, columns))
    picture = picture.resize((2 * picture.width, 2 * picture.height))
    write_atomically(path, lambda temporary: picture.save(temporary, format="PNG"))
