"""Golden case of the training of W++."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from criteria.adversarial import discriminator_loss, generator_loss, r1_penalty
from criteria.path_length import path_gradients, path_length_penalty, path_lengths
from models.domain import Domain
from models.stylegan2.discriminator import Discriminator
from models.stylegan2.generator import Generator
from scripts.checks.golden.case import Builder, GoldenCase
from scripts.checks.golden.wplusplus.common import Outputs
from training.logging import RunLog
from training.loop import Trainer
from training.method import Batch
from training.methods.stylegan2 import StyleGAN2Method
from training.settings import TrainingSettings
from utils.config import Section


class _Recorded(StyleGAN2Method):
    """A training whose random numbers are the case's, drawn in the case's order."""

    def __init__(self, case: GoldenCase, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.case = case
        self.values: list[dict[str, float]] = []  # of each step
        self._phase = ""

    def losses(self, phase: str, batch: Batch) -> dict[str, Tensor]:
        self._phase = {"discriminator": "d", "generator": "g", "path_length": "path"}.get(phase, "")
        terms = super().losses(phase, batch)
        self.values[-1] |= {name: float(value.detach()) for name, value in terms.items()}
        return terms

    def sample_latent(self, count: int) -> Tensor:
        codes: Tensor = self.generator.mapping(self._drawn(f"z_{self._phase}"))
        return codes

    def path_noise(self, picture: Tensor) -> Tensor:
        return self._drawn("path_noise")

    def _drawn(self, name: str) -> Tensor:
        return self.case.tensor(f"{name}_{len(self.values) - 1}").double()


def _penalties(case: GoldenCase, generator: Generator, discriminator: Discriminator) -> Outputs:
    """Each loss by itself, with some of its gradients."""
    codes, noise = case.tensor("codes").double().requires_grad_(), case.tensor("path_noise").double()
    decay = case.meta["constants"]["path_decay"]
    image = generator.synthesis(codes)
    lengths = path_lengths(image, codes, noise)
    outputs: Outputs = {"path_lengths": lengths, "path_grad": path_gradients(image, codes, noise)}
    for name in case.outputs:
        if found := re.fullmatch(r"path_penalty(_from_([\d.]+))?", name):
            mean = torch.tensor(float(found[2] or 0), dtype=torch.float64).lerp(lengths.mean(), decay)
            outputs |= {name: path_length_penalty(lengths, mean), name.replace("penalty", "mean"): mean}
    started = next(outputs[name] for name in case.outputs if name.startswith("path_penalty_from_"))
    parts = dict(generator.named_parameters()) | {"codes": codes}
    real = case.tensor("real_0").double().requires_grad_()
    scores = discriminator(real)
    r1 = 2 * r1_penalty(scores, real)  # the published one has no ½
    with torch.no_grad():
        fake = discriminator(image)
    outputs |= {
        "real_score": scores,
        "r1": r1,
        "d_logistic": discriminator_loss(scores, fake),
        "g_nonsaturating": generator_loss(fake),
    }
    of_discriminator = dict(discriminator.named_parameters())
    for name in case.outputs:
        if found := re.fullmatch(r"path_penalty_grad[._](.+)", name):
            outputs[name] = torch.autograd.grad(started, parts[found[1]], retain_graph=True)[0]
        elif found := re.fullmatch(r"r1_grad\.(.+)", name):
            outputs[name] = torch.autograd.grad(r1, of_discriminator[found[1]], retain_graph=True)[0]
    return outputs


class _NoItems(Dataset[dict[str, Tensor]]):
    """Data of a training whose batches are given."""


def training(case: GoldenCase) -> Outputs:
    """Each loss by itself; then two steps of the training loop with both regularisers in the first."""
    given = case.meta["constants"]
    shapes = {prefix: _within(case.shapes, f"{prefix}.") for prefix in ("g", "d")}
    sizes = Generator.sizes_from_shapes(shapes["g"])
    batch = case.inputs["real_0"].shape[0]
    domain = Section(
        {
            "name": case.name,
            "attributes": ["Smiling"],
            "image_side": sizes["size"],
            "generator": {"name": "stylegan2_generator", **sizes},
        }
    )
    method = _Recorded(
        case,
        Domain(domain),
        {"name": "stylegan2_discriminator", **Discriminator.sizes_from_shapes(shapes["d"])},
        learning_rate=given["g_lr"] * (given["path_every"] + 1) / given["path_every"],
        betas=(given["beta1"], given["g_beta2"] ** ((given["path_every"] + 1) / given["path_every"])),
        style_mixing=0.0,
        noise="constant",
        r1_gamma=given["r1_gamma"],
        r1_every=given["r1_every"],
        path_length_weight=given["path_weight"],
        path_length_every=given["path_every"],
        path_length_decay=1 - given["path_decay"],
        average_images=round(batch * math.log(0.5) / math.log(given["ema_decay"])),
        average_ramp=1e9,
    ).double()
    # the generator's numbers come of its own names, the discriminator's of those with its prefix
    GoldenCase(case.name, case.meta, {}, shapes["g"]).fill(method.generator, derivable=Generator.derivable)
    of_discriminator = GoldenCase(case.name, case.meta | {"gains": case.meta["gains_d"]}, {}, case.shapes)
    of_discriminator.fill(method.discriminator, "d.", derivable=Discriminator.derivable)
    method.average.load_state_dict(method.generator.state_dict())
    outputs = _penalties(case, method.generator, method.discriminator)
    before = {
        prefix: {key: value.clone() for key, value in network.state_dict().items()}
        for prefix, network in (("g", method.generator), ("d", method.discriminator))
    }
    lengths = torch.zeros((), dtype=torch.float64)
    with TemporaryDirectory() as folder:
        settings = TrainingSettings(steps=2, batch_size=batch)
        trainer = Trainer(method, _NoItems(), settings, Path(folder), {}, torch.device("cpu"), quiet=True)
        with RunLog(Path(folder), 2, 0, batch, 1, quiet=True) as log:
            for number in range(sum(1 for name in case.inputs if name.startswith("real_"))):
                method.values.append(dict(method.values[-1]) if number else {})
                trainer.train_step({"image": case.tensor(f"real_{number}").double()}, log)
                if not number:
                    lengths = method.path_length_mean / given["path_decay"]  # the mean was 0
                scores, terms = method.status(), method.values[-1]
                found = {
                    "d": terms["discriminator"],
                    "g": terms["generator"],
                    "real_score": scores["real_score"],
                    "fake_score": scores["fake_score"],
                    "r1": terms["r1"] / given["r1_factor"],
                    "path": terms["path_length"] / given["path_factor"],
                    "path_length": lengths,
                }
                outputs |= {f"loss_{number}.{name}": value for name, value in found.items()}
    networks = {"change.g": method.generator, "change.d": method.discriminator, "ema_change": method.average}
    for start, network in networks.items():
        first = before["d" if start.endswith("d") else "g"]
        changes = {f"{start}.{key}": value - first[key] for key, value in network.state_dict().items()}
        outputs |= {name: value for name, value in changes.items() if name in case.outputs}
    return outputs


def _within(shapes: Mapping[str, tuple[int, ...]], prefix: str) -> dict[str, tuple[int, ...]]:
    return {key.removeprefix(prefix): shape for key, shape in shapes.items() if key.startswith(prefix)}


CASES: dict[str, Builder] = {
    r"wpp_training(_\w+)?": training,
}
