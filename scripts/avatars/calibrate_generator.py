#!/usr/bin/env python
"""Calibrate the generator of the avatars: scale and shift of each number that a face is drawn from.

    python scripts/avatars/calibrate_generator.py runs/avatars-generator/generator.safetensors -o calibrated.safetensors

A generator trained with least squares varies too little where it is inexact: a factor that it follows with a
correlation of 0.85 has 0.85 of its true spread. The nuisances are regressed (scripts/avatars/measures/nuisances.py,
trained on the judge's faces) from pictures of random z and from faces of the generator's training set. Each number n of
z that controls a nuisance becomes a·n + b, with a and b such that each third of the faces' distribution holds a third
of the pictures. a and b are folded into the first layer of the mapping. Attributes, and what is correlated with them,
stay unchanged. Two minutes on a CPU core.
"""

from __future__ import annotations

import argparse
import sys
from itertools import product
from typing import Annotated, Any

import utils  # noqa: F401 (before PyTorch, see utils/threads.py)

# isort: split
import numpy as np
import torch
from torch import nn
from torch.utils.data import Subset

from datasets import DATASETS
from datasets.avatar_factors import COPULA, NORMALS
from models.domain import Domain
from scripts.avatars.measures.common import collect, drawn, pictures_of_random
from scripts.avatars.measures.nuisances import NUISANCES, WITH_GLASSES, nuisance_reader, thirds, true_factors
from utils.config import ConfigError, load_config
from utils.devices import pick_device
from utils.failures import described, exit_status, explain_failures
from utils.options import CommandParser, add_device_option, folder_or_none, input_file, not_empty, output_file, value_of
from utils.paths import ROOT, absolute, displayed
from utils.ranges import Between, Depth
from utils.weights import WeightsError, save_weights

_BINS, _BATCH = 40, 100
_SCALE, _SHIFT = (0.7, 1.9), (-1.2, 1.2)  # sought between


def affine_for_thirds(number: np.ndarray, reading: np.ndarray, edges: np.ndarray) -> tuple[float, float]:
    """a and b such that pictures drawn with a·n + b for n are read in equal shares below, between and above two edges.

    A reading is taken to be a smooth function of its number (the means of 40 bins) plus what else moves it.

    Args:
        number: (N,), standard normal.
        reading: (N,), of the same pictures.
        edges: (2,), of the thirds of the readings of faces.
    """
    bins = np.array_split(np.argsort(number), _BINS)
    at, mean = (np.array([values[chosen].mean() for chosen in bins]) for values in (number, reading))
    slope = (mean[-4:].mean() - mean[:4].mean()) / (at[-4:].mean() - at[:4].mean())

    def curve(values: np.ndarray) -> np.ndarray:  # beyond the bins as steep as between them
        return np.interp(values, at, mean) + slope * (values - values.clip(at[0], at[-1]))

    rest = reading - curve(number)

    def error(scale: float, shift: float) -> float:
        read = curve(scale * number + shift) + rest
        below, above = (read < edges[0]).mean(), (read > edges[1]).mean()
        as_it_was = 1e-4 * ((scale - 1) ** 2 + shift**2)  # where the shares do not tell
        return float((below - 1 / 3) ** 2 + (above - 1 / 3) ** 2 + as_it_was)

    scales, shifts = np.linspace(*_SCALE, 13), np.linspace(*_SHIFT, 13)
    scale, shift = min(product(scales, shifts), key=lambda pair: error(*pair))
    finer = np.linspace(-1, 1, 13)
    scales, shifts = scale + finer * (scales[1] - scales[0]), shift + finer * (shifts[1] - shifts[0])
    scale, shift = min(product(scales, shifts), key=lambda pair: error(*pair))
    return float(scale), float(shift)


def replace_number(generator: Any, number: int, scale: float, shift: float) -> None:
    """From now on the mapping takes scale·n + shift for a number n of z (its length being as it is on average)."""
    layer = generator.style[1]  # 0 normalises z
    with torch.no_grad():
        layer.bias += shift * layer.weight[:, number] * (layer.weight_scale / layer.bias_scale)
        layer.weight[:, number] *= scale


def calibrate(generator: Any, reader: nn.Module, real: np.ndarray, count: int, rounds: int, seed: int = 1000) -> None:
    """Change the mapping's first layer, in a few rounds, since one number moves the readings of others too.

    Args:
        reader: pictures (B, 3, S, S) → nuisances (B, F).
        real: readings (M, F) of faces, NaN where a nuisance cannot be seen.
        count: pictures of random z a round.
    """
    device = generator.input.input.device
    for turn in range(rounds):
        pictures = pictures_of_random(generator, count, seed + turn, _BATCH)
        found = collect(pictures, count, lambda image: {"factors": reader(image)}, f"round {turn + 1}", device)
        glasses = found["z"][:, NORMALS.index("Eyeglasses")] > 0
        for column, name in enumerate(NUISANCES):
            if name in COPULA:
                continue
            number = NORMALS.index(name)
            seen = glasses if name in WITH_GLASSES else np.ones(count, dtype=bool)
            of_faces, reading = real[np.isfinite(real[:, column]), column], found["factors"][seen, column]
            edges = np.quantile(of_faces, [1 / 3, 2 / 3])
            scale, shift = affine_for_thirds(found["z"][seen, number], reading, edges)
            shares = " ".join(f"{100 * share:3.0f}" for share in thirds(of_faces, reading))
            print(f"   {name:<13} shares {shares} %, now {scale:.2f}·n {shift:+.2f}")
            replace_number(generator, number, scale, shift)


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Command line of calibrate_generator.py."""
    parser = CommandParser(__doc__)
    parser.add_argument("weights", type=input_file, metavar="FILE", help="generator.safetensors of a run")
    parser.add_argument(
        "-o", "--output", type=output_file, required=True, metavar="FILE", help="calibrated generator to write"
    )
    parser.add_argument(
        "--config",
        type=not_empty,
        default="configs/avatars/generator.yaml",
        help="config of that run, for its training faces (default: configs/avatars/generator.yaml)",
    )
    parser.add_argument(
        "--faces", type=value_of(Annotated[int, Between(1, 1_000_000)]), default=5000, metavar="N",
        help="faces, and pictures per round (default: 5000)",
    )  # fmt: skip
    parser.add_argument(
        "--rounds", type=value_of(Depth), default=3, metavar="N", help="rounds of regression and change (default: 3)"
    )
    parser.add_argument(
        "--cache", type=folder_or_none, default="cache/avatars", metavar="FOLDER",
        help="folder of drawn faces (default: cache/avatars; '': do not cache)",
    )  # fmt: skip
    add_device_option(parser)
    options = parser.parse_args(arguments)
    if absolute(options.output) == absolute(options.weights):
        parser.error("-o: is the file that is read; write to another one")
    if options.faces < 10 * _BINS:
        parser.error(f"--faces {options.faces}: must be at least {10 * _BINS}")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status: 0 done, 2 wrong usage."""
    options = parse_arguments(arguments)
    try:
        training = load_config(ROOT / options.config)
        domain = Domain.from_file(training["domain"], pick_device(options.device))
        generator, metadata = domain.from_weights("generator", options.weights)
        generator.eval().to(domain.device)
        sections = [training.section("data"), load_config(ROOT / "configs/avatars/judge.yaml").section("data")]
        for section in sections:
            section["cache"] = options.cache
        faces, judge_faces = (DATASETS.build(section).prepare() for section in sections)
        reader = nuisance_reader(judge_faces, options.cache, domain.device)
    except (ConfigError, WeightsError, OSError) as error:
        print(f"calibrate_generator.py: {described(error)}", file=sys.stderr)
        return exit_status(error)
    count = min(options.faces, len(faces))
    batches = drawn(Subset(faces, range(count)), _BATCH)
    real = collect(batches, count, lambda image: {"factors": reader(image)}, "drawn faces", domain.device)["factors"]
    real[~np.isfinite(true_factors(faces, range(count)).numpy())] = np.nan
    calibrate(generator, reader, real, options.faces, options.rounds)
    save_weights(options.output, generator.state_dict(), metadata | {"calibrated": True})
    print(displayed(options.output))
    return 0


if __name__ == "__main__":
    explain_failures()
    sys.exit(main())
