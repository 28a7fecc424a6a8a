"""Golden cases of how W++ edits along a direction, and of the measures of its pictures."""

from __future__ import annotations

import re

import numpy as np
import torch

from models.dex import dex_input, expected_age
from models.editors.interfacegan import InterFaceGANEditor
from models.evaluation.distributions import Moments, frechet_distance_of, neighbourhoods, radii
from scripts.checks.golden.case import Builder, GoldenCase
from scripts.checks.golden.wplusplus.common import Outputs
from training.methods.interfacegan import fit_boundary


@torch.no_grad()
def interfacegan(case: GoldenCase) -> Outputs:
    """Frames along a normal, hyperplanes of a share and of a number of codes, DEX's ages and what it sees."""
    w = case.tensor("w")
    normal = case.tensor("normal").view(w.shape)
    editor = InterFaceGANEditor(normal, torch.zeros(1), torch.ones(1), ["age"])
    words = re.search(r"(-?\d+), (-?\d+), (\d+)\)", case.outputs["frames"]["what"])
    assert words is not None
    start, end, steps = (int(number) for number in words.groups())
    distances = torch.linspace(start, end, steps)[:, None]
    frames = editor.move(w.expand(steps, -1, -1), editor.read(w, w).expand(steps, -1), 0.5 + distances)
    codes, scores = case.inputs["codes"], case.inputs["scores"][:, 0]
    outputs: Outputs = {
        "frames": frames,
        "distances": (frames * normal).sum((1, 2)),
        "own_distance": (w * normal).sum((1, 2)),
        "in_scores": case.inputs["scores"],
        "age": expected_age(case.tensor("p")) + 1,  # the published code counts the classes from 1
        "age_years": expected_age(case.tensor("p")),
        "dex_input": dex_input(case.tensor("image")),
    }
    for name, record in case.outputs.items():
        if name.startswith("boundary"):
            share, training_share = (float(part) for part in re.findall(r", ([\d.]+\d)(?=[,)])", record["what"]))
            boundary = fit_boundary(codes, scores, np.random.RandomState(0), share, training_share)
            outputs[name] = boundary.normal[None]
            if name == "boundary":
                outputs |= {"train_positive": boundary.training[0], "train_negative": boundary.training[1]}
    return outputs


def metrics(case: GoldenCase) -> Outputs:
    """Precision, recall, density and coverage for several numbers of neighbours; Fréchet distances, and their parts."""
    real, fake = case.inputs["real"], case.inputs["fake"]
    moments = Moments(np.array_split(real, 3))
    outputs: Outputs = {"mean_real": moments.mean, "cov_real": moments.covariance}
    for name, record in case.outputs.items():
        if found := re.search(r"nearest_k = (\d+)", record["what"]):
            other = real if name == "prdc_same_set" else fake
            outputs[name] = list(vars(neighbourhoods(real, other, int(found[1]))).values())
        elif name == "radii":
            ordinals = ("nearest", "second nearest", "third nearest", "fourth nearest", "fifth nearest")
            outputs[name] = radii(real, max(k for k, words in enumerate(ordinals, 1) if words in record["what"]))
        elif name.startswith("fid"):
            prefix = name.removeprefix("fid").removeprefix("_")
            sets = [case.inputs["_".join(filter(None, (prefix, kind)))] for kind in ("fake", "real")]
            outputs[name] = frechet_distance_of(*(Moments(np.array_split(features, 3)) for features in sets))
    return outputs


CASES: dict[str, Builder] = {
    r"wpp_interfacegan(_\w+)?": interfacegan,
    r"wpp_metrics(_\w+)?": metrics,
}
