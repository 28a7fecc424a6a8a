"""Golden cases of how W++ finds the codes of pictures."""

from __future__ import annotations

import json
import re

import torch
import torch.nn.functional as F
from torch import Tensor

from models.inversion.noise_maps import neighbour_correlation, renormalise
from models.inversion.projector import Centre, Projection, Settings, noised
from scripts.checks.golden.case import Builder, GoldenCase
from scripts.checks.golden.wplusplus.common import Outputs, filled_generator, said


def _published_bytes(image: Tensor) -> Tensor:
    """Pictures (B, S, S, 3) as the published projector writes them: cut to whole levels, not rounded."""
    return ((image.clamp(-1, 1) + 1) / 2 * 255).to(torch.uint8).permute(0, 2, 3, 1)


def projector(case: GoldenCase) -> Outputs:
    """Schedules, statistics of noise maps and codes, and some steps of a batch, whose pictures are coupled."""
    given = case.meta["constants"]
    network = filled_generator(case).double()
    target = case.tensor("target").double()
    settings = Settings(
        steps=case.inputs["step_noise"].shape[0],
        learning_rate=given["lr"],
        warm_up=given["rampup"],
        cool_down=given["rampdown"],
        code_noise=given["noise"],
        code_noise_end=given["noise_ramp"],
        noise_weight=given["noise_regularize"],
        squared_error=given["mse"],
        coupled=True,
    )
    maps = {name.removeprefix("map_"): case.tensor(name) for name in case.inputs if name.startswith("map_")}
    maps = {name: values.double().requires_grad_() for name, values in maps.items()}
    correlation = neighbour_correlation(list(maps.values()), coupled=True)
    gradients = torch.autograd.grad(correlation, list(maps.values()))
    outputs: Outputs = {
        "lr": [settings.rate_at(time) for time in given["lr_times"]],
        "strength": [settings.code_noise_at(time) for time in given["strength_times"]],
        "noise_regularizer": correlation,
        "bytes": _published_bytes(said(case, "bytes", r"\(([\d.]+) \*") * case.tensor("target")),
    }
    for (name, values), gradient in zip(maps.items(), gradients, strict=True):
        outputs[f"noise_regularizer_grad_{name}"] = gradient
        outputs[f"noise_regularizer_{name}"] = neighbour_correlation([values], coupled=True)
    normalised = {name: values.detach().clone() for name, values in maps.items()}
    renormalise(list(normalised.values()), coupled=True)
    outputs |= {f"normalised_{name}": values for name, values in normalised.items()}
    outputs["noise_regularizer_of_normalised"] = neighbour_correlation(list(normalised.values()), coupled=True)
    centre = Centre.of(network, [case.tensor("samples").double()])
    outputs |= {"mean_code": centre.mean, "sigma": centre.spread}
    latent, normal = case.tensor("latent").double(), case.tensor("latent_draw").double()
    rows = re.search(r"\[[\d., ]+\]", case.outputs["latent_noised"]["what"])
    strength = torch.tensor(json.loads(rows[0] if rows else "[]"), dtype=torch.float64)
    outputs["latent_noised"] = noised(latent, normal, said(case, "latent_noised", r"([\d.]+) \* \[") * strength)

    def distance(first: Tensor, second: Tensor) -> Tensor:
        difference = F.avg_pool2d(first, 2) - F.avg_pool2d(second, 2)
        return difference.abs().pow(1.5).mean((1, 2, 3))

    start = [case.tensor(f"start_noise_{index}").double() for index in range(len(network.noises.maps()))]
    projection = Projection(network, target, distance, centre, start, "w++", settings)
    steps: dict[str, list[Tensor]] = {}
    for number, noise in enumerate(case.tensor("step_noise").double(), 1):
        measured = projection.step(noise)
        found = {
            "lr": torch.tensor(projection.adam.param_groups[0]["lr"], dtype=torch.float64),
            "p_loss": measured["distance"].sum(),
            "n_loss": measured["noise"],
            "mse_loss": measured["squared_error"].mean(),
            "loss": measured["loss"],
        }
        for name, value in found.items():
            steps.setdefault(f"steps.{name}", []).append(value)
        assert projection.picture is not None
        state = {f"codes_after_{number}": projection.latent, f"image_step_{number}": projection.picture}
        state |= {f"noise_{index}_after_{number}": one for index, one in enumerate(projection.maps)}
        outputs |= {name: value.detach().clone() for name, value in state.items() if name in case.outputs}
    return outputs | {name: torch.stack(values) for name, values in steps.items()}


CASES: dict[str, Builder] = {
    r"wpp_projector(_\w+)?": projector,
}
