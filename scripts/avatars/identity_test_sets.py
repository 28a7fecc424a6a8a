"""Faces that `evaluate.py` measures identity swaps on: drawn ones, whose true hybrids are known, and pictures."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor

from datasets import DATASETS
from datasets.avatar_edits import pairs
from datasets.avatar_factors import in_scene_of, redraw
from datasets.avatar_renderer import render
from datasets.avatars import SPLITS, AvatarFaces, Factors
from models.domain import Domain
from models.evaluation.faces import images_of
from models.evaluation.factor_reader import FactorReader
from models.evaluation.identities.faces import Probed, SwapTestSet
from scripts.avatars.measures.nuisances import NUISANCES, nuisance_reader, true_factors
from utils.config import load_config
from utils.paths import ROOT

SCENES = ("hair_length", "shift_x", "shift_y", "tilt", "turn", "light", "brightness", "clothes", "background")
_PEOPLE = ("skin", "eye_colour", "hair_colour", "face_width", "eye_size", "nose_length", "mouth_width")
_SCENES = ("glasses", "sex", "age", "smile", "waves", "turn", "light")
_READER_SIDE = 64  # of the pictures that the reader takes


def drawn_swap_set(domain: Domain, count: int, correlation: float, others: int, seed: int, cache: str) -> SwapTestSet:
    """Held-out drawn faces, each with another's identity, and the drawn truth.

    Args:
        others: further faces that probes learn from; with 0 of them numbers are not read either.
        seed: of whose identity a face gets.
        cache: folder of drawn pictures and of the reader.
    """
    draw = partial(AvatarFaces, split="test", correlation=correlation, side=domain.image_side, cache=cache)
    data = draw(count).prepare()
    whose = pairs(count, seed)
    factors = [data.factors(index) for index in range(count)]
    again = [redraw(one, SPLITS["test"], index, view=0) for index, one in enumerate(factors)]
    truth = [in_scene_of(factors[other], scene) for other, scene in zip(whose, factors, strict=True)]
    test = SwapTestSet(images_of(data, count), whose, _drawn(again, domain), _drawn(truth, domain))
    if not others:
        test.missing.append("Probes, Fréchet distance, nearest face and surroundings: --no-latents leaves them out.")
        return test
    further = draw(others, first=count).prepare()
    known = [further.factors(index) for index in range(others)]
    facts = (_facts(known, data=further), _facts(factors, data=data))
    names = {"people": _PEOPLE, "scenes": _SCENES}
    test.probed = Probed(
        images_of(further, others), facts[0][0], facts[0][1], facts[1][0], facts[1][1], names
    )
    if domain.image_side != _READER_SIDE:
        test.missing.append(f"Pose and surroundings: their reader takes pictures of {_READER_SIDE} × {_READER_SIDE}.")
        return test
    section = load_config(ROOT / "configs/avatars/judge.yaml").section("data")  # drawn already where it was trained
    section["cache"] = cache
    reader = nuisance_reader(DATASETS.build(section).prepare(), cache, domain.device)
    columns = np.array([NUISANCES.index(name) for name in SCENES])
    test.reader = FactorReader(SCENES, lambda image: reader(image)[:, columns])
    test.asked = true_factors(data, range(count)).numpy()[:, columns]
    return test


def photographed_swap_set(image: Tensor, seed: int) -> SwapTestSet:
    """Aligned faces (N, 3, S, S), of which nobody knows a true hybrid or a second picture."""
    missing = (
        "True hybrids, and so the distance to them and the ceiling of the cosines: nobody knows what these would be.",
        "Second pictures of a person, pose and surroundings, probes, Fréchet distance: only drawn faces say what they "
        "were drawn from.",
    )
    return SwapTestSet(image, pairs(len(image), seed), missing=list(missing))


def _drawn(factors: list[Factors], domain: Domain) -> Tensor:
    pictures = np.stack([render(one, domain.image_side) for one in factors])
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous().float().div_(127.5).sub_(1)


def _facts(factors: list[Factors], data: AvatarFaces) -> tuple[Tensor, Tensor]:
    """Facts of people and of scenes (N, T) bool; numbers are cut at the middle of their range."""
    columns = {name: NUISANCES.index(name) for name in (*_PEOPLE, "turn", "light")}
    numbers = true_factors(data, range(len(factors)))
    middle = {"skin": 0.5, "eye_colour": 0.5, "hair_colour": 0.5}
    people = torch.stack([numbers[:, columns[name]] > middle.get(name, 0.0) for name in _PEOPLE], dim=1)
    attributes = torch.from_numpy(np.stack([one.values() for one in factors])) >= 0.5
    pose = torch.stack([numbers[:, columns[name]] > 0 for name in ("turn", "light")], dim=1)
    return people, torch.cat([attributes, pose], dim=1)
