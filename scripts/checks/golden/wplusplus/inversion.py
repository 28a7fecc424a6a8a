"""Golden cases of how W++ finds the codes of pictures."""

from __future__ import annotations

import json
import re

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from criteria.code_norm import code_norm
from criteria.identity import identity_loss
from datasets.face_samples import mean_of
from models.identity import PUBLISHED_CROP, crop_face
from models.inversion.noise_maps import neighbour_correlation, renormalise
from models.inversion.projector import Centre, Projection, Settings, noised
from scripts.checks.golden.case import Builder, GoldenCase
from scripts.checks.golden.wplusplus.common import Outputs, filled_generator, said
from training.ranger import Ranger


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


@torch.no_grad()
def _pictures_of_codes(case: GoldenCase) -> Outputs:
    """Codes with the mean code added and their pictures, as they are and mixed with others; and mean codes."""
    network = filled_generator(case)
    inject, samples = case.tensor("inject"), case.tensor("samples")
    codes = case.tensor("encoder_output") + case.tensor("latent_avg")
    w = network.mapping(case.tensor("z"))
    mean = mean_of(network, iter(samples))
    outputs: Outputs = {
        "codes": codes,
        "image": network.synthesis(codes),
        "w_from_z": w,
        "image_from_z": network.synthesis(w),
        "latent_avg_of_samples": mean[None],
        "latent_avg_learn_in_w": mean[:1],
    }
    outputs["image_block"] = outputs["image"]
    for name, other, share in (
        ("mixed", inject, r"= ([\d.]+) inject"), ("replaced", inject, ""), ("zeroed", torch.zeros_like(inject), ""),
    ):  # fmt: skip
        first = int(said(case, f"image_{name}", r"codes (\d+)\.\."))
        mixed = network.mix(codes, other, first, said(case, f"image_{name}", share) if share else 1.0)
        outputs[f"image_{name}"] = network.synthesis(mixed)
    return outputs


def _encoder_losses(case: GoldenCase) -> Outputs:
    """The terms, their sums with the default weights and with all, and a gradient."""
    given = case.meta["constants"]["default_weights"]
    mine, target, source = case.tensor("y_hat").requires_grad_(), case.tensor("y"), case.tensor("x")

    def distance(first: Tensor, second: Tensor) -> Tensor:
        difference = F.avg_pool2d(first, 8) - F.avg_pool2d(second, 8)
        return difference.abs().mean((1, 2, 3)).sum() / len(first)

    def recognised(image: Tensor) -> Tensor:
        face = F.adaptive_avg_pool2d(crop_face(image, PUBLISHED_CROP), 112)
        return F.normalize(F.avg_pool2d(face, 14).flatten(1))

    my_face, its_face = (crop_face(image, PUBLISHED_CROP) for image in (mine, target))
    embeddings = [recognised(image) for image in (mine, target, source)]
    pairs = ((0, 1), (0, 2), (1, 2))
    cosines = torch.stack([(embeddings[one] * embeddings[other]).sum(1) for one, other in pairs], dim=1)
    terms = {
        "id": identity_loss(embeddings[0], embeddings[1]),
        "l2": F.mse_loss(mine, target),
        "lpips": distance(mine, target),
        "lpips_crop": distance(my_face, its_face),
        "l2_crop": F.mse_loss(my_face, its_face),
        "w_norm": code_norm(case.tensor("latent"), case.tensor("latent_avg")[0]),
    }
    keys = {"lpips_crop": "lpips_lambda_crop", "l2_crop": "l2_lambda_crop"}
    weights = {name: float(given[keys.get(name, f"{name}_lambda")]) for name in terms}
    more = {name: said(case, "loss_all", rf"{keys.get(name, f'{name}_lambda')} ([\d.]*\d)") for name in list(terms)[3:]}
    total = sum((weights[name] * value for name, value in terms.items()), torch.zeros(()))
    every = sum(((weights | more)[name] * value for name, value in terms.items()), torch.zeros(()))
    return {f"loss_{name}": value for name, value in terms.items()} | {
        "loss": total,
        "loss_all": every,
        "loss_grad": torch.autograd.grad(every, mine)[0],
        "id_logs": cosines,
        "id_improve": (cosines[:, 0] - cosines[:, 2]).mean(),
    }


def _ranger(case: GoldenCase) -> Outputs:
    """How far the optimiser has moved tensors of each shape after some steps with given gradients."""
    given = case.meta["constants"]["ranger"]
    names = [name.removesuffix("_grads") for name in case.inputs if name.endswith("_grads")]
    parameters = {name: nn.Parameter(case.tensor(name)) for name in names}
    rate = said(case, f"ranger_{names[0]}_1", r"lr=([\d.]+)\)")
    optimiser = Ranger(
        parameters.values(), rate, tuple(given["betas"]), given["eps"], lookahead=given["k"], slow_rate=given["alpha"]
    )
    outputs: Outputs = {}
    for step in range(case.inputs[f"{names[0]}_grads"].shape[0]):
        for name, parameter in parameters.items():
            parameter.grad = case.tensor(f"{name}_grads")[step]
        optimiser.step()
        moved = {f"ranger_{name}_{step + 1}": p.detach() - case.tensor(name) for name, p in parameters.items()}
        outputs |= {name: value for name, value in moved.items() if name in case.outputs}
    return outputs


def psp(case: GoldenCase) -> Outputs:
    """pSp around the transformer's codes: pictures of what the encoder gives, losses, optimiser."""
    return _pictures_of_codes(case) | _encoder_losses(case) | _ranger(case)


CASES: dict[str, Builder] = {
    r"wpp_projector(_\w+)?": projector,
    r"wpp_psp(_\w+)?": psp,
}
