"""Conditional generation: faces of random z that should show a given mask."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from models.domain import Domain
from models.editors.base import Editor
from models.evaluation.counterfactual import root_mean_square
from models.evaluation.faces import Decomposition, in_batches
from models.evaluation.masks.faces import MaskTestSet, look
from models.evaluation.masks.readings import Measured, conditions
from models.parsing.agreement import confusions
from utils.statistics import frechet_distance, total_variance

SEEDS = 4  # faces that are generated for each mask


def random_rest(rest: Tensor, seed: int, number: int) -> Tensor:
    """z ~ N(0, I) in the shape of (N, L, D); the same for equal seeds and numbers."""
    entropy = np.random.SeedSequence([seed, number]).generate_state(1)
    return torch.randn(rest.shape, generator=torch.Generator().manual_seed(int(entropy[0])))


def generation(editor: Editor, domain: Domain, test: MaskTestSet, before: Decomposition, seed: int) -> Measured:
    """Of faces that are generated for the drawn masks, `SEEDS` for each.

    Returns:
        generated.confusion (N, 19, 19) of the given mask and the found ones, all seeds together; generated.identity and
        generated.pixels (N,), cosine of embeddings and distance of pictures between two seeds, mean over pairs;
        generated.frechet (), of the first seed's faces.
    """
    faces, device = test.faces, domain.device
    target = conditions(editor, faces.mask, device)
    images, embeddings, agreed = [], [], []
    for number in range(SEEDS):
        rest = random_rest(before.rest, seed, number)
        latent = in_batches(editor.move, rest, target, target, device=device)
        image, mask = look(domain, latent, faces.side)
        agreed.append(confusions(faces.mask, mask))
        images.append(image)
        embeddings.append(in_batches(domain.identity_embedding, image, device=device))
    couples = list(combinations(range(SEEDS), 2))
    cosines = [(embeddings[one] * embeddings[other]).sum(1) for one, other in couples]
    measured = {
        "generated.confusion": torch.stack(agreed).sum(0).int().numpy(),
        "generated.identity": torch.stack(cosines).mean(0).numpy(),
        "generated.pixels": torch.stack([root_mean_square(images[i], images[j]) for i, j in couples]).mean(0).numpy(),
    }
    if test.probed is not None:
        measured["generated.frechet"] = _frechet(domain, images[0], test.probed.image)
    return measured


def generation_references(domain: Domain, test: MaskTestSet) -> Measured:
    """What the numbers of `generation` are held against.

    Returns:
        people.identity and people.pixels (N,), between the inversions of two faces; inverted.frechet and drawn.frechet
        (), of the inversions and of the drawn faces themselves, to other drawn faces.
    """
    faces, others = test.faces, test.faces.others
    measured = {
        "people.identity": (faces.embedding * faces.embedding[others]).sum(1).numpy(),
        "people.pixels": root_mean_square(faces.inversion, faces.inversion[others]).numpy(),
    }
    if test.probed is not None:
        measured["inverted.frechet"] = _frechet(domain, faces.inversion, test.probed.image)
        measured["drawn.frechet"] = _frechet(domain, faces.image, test.probed.image)
    return measured


def _frechet(domain: Domain, image: Tensor, drawn: Tensor) -> np.ndarray:
    """Fréchet distance () in the judge's last features, as a share of the drawn faces' variance."""
    features = [in_batches(domain.judge.features, some, device=domain.device).numpy() for some in (image, drawn)]
    return np.asarray(frechet_distance(*features) / total_variance(features[1]))
