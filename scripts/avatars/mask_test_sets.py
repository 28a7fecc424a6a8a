"""Faces that `evaluate.py` measures editors of masks on: drawn ones, whose true edits are known, and pictures."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor

from datasets import DATASETS
from datasets.avatar_edits import AvatarEdits, pairs
from datasets.avatars import ATTRIBUTES, AvatarFaces
from models.domain import Domain
from models.evaluation.faces import images_of, in_batches
from models.evaluation.factor_reader import FactorReader
from models.evaluation.masks.faces import (
    MaskTestSet,
    OtherFaces,
    donated,
    mask_faces,
    true_requests,
)
from scripts.avatars.measures.nuisances import NUISANCES, nuisance_reader
from utils.config import load_config
from utils.paths import ROOT, resolve

COLOURS = ("hair_colour", "skin", "clothes", "background")  # that are read off edits of style
TRUTHS = {"glasses": "mask", "smile": "mask", "skin": "style", "light": "style"}  # → what of a face shows them
_READER_SIDE = 64  # of the pictures that the nuisances' reader takes


def drawn_test_set(
    domain: Domain, side: int, count: int, correlation: float, others: int, seed: int, cache: str
) -> MaskTestSet:
    """Held-out drawn faces with true edits.

    Args:
        side: of the masks.
        correlation: of the faces' attributes.
        others: further faces that probes learn from; with 0 of them colours are not read either.
        seed: of whose mask and style a face gets.
        cache: folder of drawn pictures and of the reader.
    """
    draw = partial(AvatarFaces, split="test", correlation=correlation, side=domain.image_side, cache=cache)
    data = draw(count, masks=True).prepare()
    edits = AvatarEdits(data, seed, resolve(cache))
    mask = torch.stack([data[index]["mask"] for index in range(count)])
    faces = mask_faces(domain, images_of(data, count), edits.others, side, mask)
    values = torch.stack([data[index]["values"] for index in range(count)])
    requests = true_requests(domain, faces, edits, dict(zip(ATTRIBUTES, values.unbind(1), strict=True)))
    test = MaskTestSet(faces, requests, edits.images("style"))
    if not others:
        test.missing.append("Probes of z, Fréchet distance and colours of style edits: --no-latents leaves them out.")
        return test
    further = draw(others, first=count).prepare()
    image = images_of(further, others)
    latent = in_batches(domain.encode, image, device=domain.device)
    test.probed = OtherFaces(image, latent, _truths(further), _truths(data), TRUTHS)
    if domain.image_side == _READER_SIDE:
        test.reader = _colour_reader(domain, cache)
    else:
        test.missing.append(f"Colours of style edits: their reader takes pictures of {_READER_SIDE} × {_READER_SIDE}.")
    return test


def photographed_test_set(domain: Domain, side: int, image: Tensor, seed: int) -> MaskTestSet:
    """Aligned faces (N, 3, S, S), of which nobody knows a true edit: each gets another's mask."""
    faces = mask_faces(domain, image, pairs(len(image), seed), side)
    missing = (
        "True edits, and so the ceilings of identity and change and the distance to the truth: nobody knows what these "
        "faces would look like. Masks are those that the parser finds in the pictures.",
        "Colours of style edits, probes of z and Fréchet distance: drawn faces alone say what they were drawn from.",
    )
    return MaskTestSet(faces, [donated(faces)], missing=list(missing))


def _truths(faces: AvatarFaces) -> Tensor:
    """(N, T) bool in the order of `TRUTHS`; colours and light are cut at the middle of their range."""
    factors = [faces.factors(index) for index in range(len(faces))]
    return torch.tensor([[one.eyeglasses, one.smile > 0.5, one.skin > 0.5, one.light > 0] for one in factors])


def _colour_reader(domain: Domain, cache: str) -> FactorReader:
    section = load_config(ROOT / "configs/avatars/judge.yaml").section("data")  # drawn already where it was trained
    section["cache"] = cache
    reader = nuisance_reader(DATASETS.build(section).prepare(), cache, domain.device)
    columns = np.array([NUISANCES.index(name) for name in COLOURS])
    return FactorReader(COLOURS, lambda image: reader(image)[:, columns])
