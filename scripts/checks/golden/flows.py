"""Golden cases of the flow, its likelihood and the rules that change attributes."""

from __future__ import annotations

import math
import re
from typing import Any

import torch
from torch import Tensor

from criteria.latent_distance import latent_distance
from criteria.likelihood import negative_log_likelihood
from models.flows.cnf import ContinuousFlow, flow_sizes
from models.flows.field import FlowField, unit_vectors
from models.flows.moving_batch_norm import MovingBatchNorm1d
from scripts.checks.golden.case import CaseError, GoldenCase
from scripts.published.targets import labelled_semantics, labelled_target, modify_one_attribute, slider_scale

Outputs = dict[str, Any]
TRUE_TOLERANCE = 1e-9
_PUBLISHED_TOLERANCE = {"s2flow": 1e-7}  # of the family's solver, where ours has to follow it beyond its default
_FLIP_SCALE = 0.8  # of the recorded flips of exact labels


def _flow(case: GoldenCase, tolerance: float = 1e-6) -> ContinuousFlow:
    """The case's network in evaluation mode."""
    flow = ContinuousFlow(**flow_sizes(case.shapes), tolerance=tolerance)  # type: ignore[arg-type]
    case.fill(flow, derivable=flow.derivable)
    return flow.eval()


def _context(case: GoldenCase) -> Tensor:
    """What the flow is conditioned on, (B, A).

    StyleFlow gives it two more axes of one and 17 numbers: 9 lighting coefficients, then Gender, Glasses, Yaw, Pitch,
    Baldness, Beard, Age and Expression in raw units.
    """
    return case.tensor("context").flatten(1)


def _published(log_det: Tensor) -> Tensor:
    """The authors' sign and shape: minus the log-determinant, (B, L, 1)."""
    return -log_det[..., None]


@torch.no_grad()
def _solves(case: GoldenCase, flow: ContinuousFlow, suffix: str = "") -> Outputs:
    dtype = flow.end_time.dtype
    w, z, probe = (case.tensor(name).to(dtype) for name in ("w", "z", "e"))
    context = _context(case).to(dtype)
    gaussian, log_det = flow.forward_and_log_det(w, context, probe)
    latent = flow.inverse(z, context)
    _, forward_log_det = flow.forward_and_log_det(latent, context, probe)  # minus that of the inverse, same probe
    names = ("z", "logp", "w_from_z", "logp_from_z")
    values = (gaussian, _published(log_det), latent, _published(-forward_log_det))
    return {name + suffix: value for name, value in zip(names, values, strict=True)}


@torch.no_grad()
def _right_hand_side(case: GoldenCase, flow: ContinuousFlow) -> Outputs:
    w, probe, context = case.tensor("w"), case.tensor("e"), _context(case)
    said = re.search(r"\bt = ([\d.]*\d)", case.outputs["rhs"]["what"])
    if said is None:
        raise CaseError("the case does not say at which t the right-hand side was recorded")
    time = torch.tensor(float(said[1]))

    def field(dtype: torch.dtype, directions: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Velocity and trace: the right-hand side in units of time."""
        network = flow.to(dtype).velocity
        unit = torch.ones((), dtype=dtype)
        made = FlowField(network, network.condition(context.to(dtype)), unit, directions=directions)
        velocity, trace = made(time.to(dtype), (w.to(dtype), torch.zeros_like(w[..., 0])))
        return velocity, trace

    _, exact = field(torch.float64, unit_vectors(w.double()))
    velocity, trace = field(torch.float32, [probe[None]])
    return {"rhs": velocity, "minus_divergence_e": -trace[..., None], "divergence_exact": exact}


@torch.no_grad()
def _normalisation(case: GoldenCase, flow: ContinuousFlow) -> Outputs:
    w = case.tensor("w")
    outputs: Outputs = {"in_context": case.tensor("context")}
    for index in (0, 2):
        layer: MovingBatchNorm1d = flow.chain[index]
        y, log_det = layer.forward_and_log_det(w)
        outputs |= {
            f"bn{index}_forward": y,
            f"bn{index}_forward_logp": _published(log_det),
            f"bn{index}_reverse": layer.inverse(w),
            f"bn{index}_reverse_logp": -_published(log_det),
        }
    first: MovingBatchNorm1d = flow.chain[0].train()
    outputs["bn0_train_forward"] = first(w)
    first.update()
    return outputs | {"bn0_train_running_mean": first.running_mean, "bn0_train_running_var": first.running_var}


def cnf(case: GoldenCase) -> Outputs:
    """Both directions with and without density, at the published tolerance and in float64, and the parts alone."""
    flow = _flow(case, _PUBLISHED_TOLERANCE.get(case.name.partition("_")[0], 1e-6))
    outputs = _solves(case, flow) | _right_hand_side(case, flow)
    outputs |= _solves(case, _flow(case, TRUE_TOLERANCE).double(), "_true")
    return outputs | _normalisation(case, flow)


def sdflow_cnf_train(case: GoldenCase) -> Outputs:
    """A training step's terms and gradients, float64, the same probe in both directions."""
    flow = _flow(case, TRUE_TOLERANCE).double()
    w, probe, context = (case.tensor(name).double() for name in ("w", "e", "context"))
    w.requires_grad_(), context.requires_grad_()
    z, log_det = flow.forward_and_log_det(w, context, probe)
    nll = negative_log_likelihood(z, log_det)
    wanted = context.detach().clone()
    wanted[:, 1] = 0.3
    edited = flow.inverse(z, wanted)
    reg = latent_distance(edited, w)
    inputs = {"w": w, "context": context, **dict(flow.named_parameters())}
    outputs: Outputs = {"nll": nll, "reg": reg, "w_e": edited}
    for name, total in (("nll_grad", nll), ("total_grad", nll + reg)):
        gradients = torch.autograd.grad(total, list(inputs.values()), retain_graph=True, allow_unused=True)
        pairs = zip(inputs, gradients, strict=True)
        outputs |= {f"{name}.{key}": gradient for key, gradient in pairs if gradient is not None}
    return outputs


def nll(case: GoldenCase) -> Outputs:
    """The published losses from the proper one: a constant is counted D times there, and StyleFlow does not divide."""
    outputs: Outputs = {}
    for dtype, suffix in ((torch.float32, ""), (torch.float64, "_float64")):
        z, delta = case.tensor("z").to(dtype).requires_grad_(), case.tensor("delta").to(dtype).requires_grad_()
        size, width = z[0].numel(), z.shape[-1]
        proper = negative_log_likelihood(z, -delta[..., 0])
        surplus = 0.5 * (width - 1) * math.log(2 * math.pi)
        normal = -0.5 * z.square().flatten(1).sum(1, keepdim=True) - 0.5 * size * width * math.log(2 * math.pi)
        outputs |= {
            f"sdflow_loss{suffix}": proper + surplus,
            f"styleflow_loss{suffix}": (proper + surplus) * size,
            f"approx2{suffix}": normal,
            f"delta_sum{suffix}": delta.sum(1),
        }
    z, delta = case.tensor("z").requires_grad_(), case.tensor("delta").requires_grad_()
    gradients = torch.autograd.grad(negative_log_likelihood(z, -delta[..., 0]), (z, delta))
    outputs |= {"sdflow_grad_z": gradients[0], "sdflow_grad_delta": gradients[1]}
    wide_z, wide_delta = case.tensor("z").double(), case.tensor("delta").double()
    outputs["proper_nll_float64"] = negative_log_likelihood(wide_z, -wide_delta[..., 0]) * wide_z[0].numel()
    return outputs


def modify_one(case: GoldenCase) -> Outputs:
    """All modes of the authors' rule; the random ones after seeding with the case's salt."""
    soft, hard = case.tensor("attributes").float(), case.tensor("hard").float()
    outputs: Outputs = {"in_hard": hard, "keep": modify_one_attribute(soft, mode="keep")[1]}
    for name, record in case.outputs.items():
        if match := re.fullmatch(r"(flip|flip_hard|scale_hard)_(\d+)", name):
            kind, column = match[1], int(match[2])
            given = re.search(r"scale=([\d.]+\d)", record["what"])
            scale = float(given[1]) if given and kind == "scale_hard" else _FLIP_SCALE if kind == "scale_hard" else None
            outputs[name] = modify_one_attribute(soft if kind == "flip" else hard, column, scale)[1]
    for mode in ("random", "uniform", "negative"):
        torch.manual_seed(case.salt)
        chosen, changed = modify_one_attribute(soft, mode=mode)
        outputs |= {mode: changed, f"{mode}_index": chosen}
    return outputs


def editor(case: GoldenCase) -> Outputs:
    """The demo's targets: label-based, for each edited attribute and strength, and the slider's map."""
    sources = case.tensor("sources").float()
    outputs: Outputs = {"in_sources": sources, "in_label_dist_5": case.tensor("label_dist_5")}
    for size, attributes in case.meta["attribute_lists"].items():
        semantics = case.tensor("label_dist" if size == "3" else f"label_dist_{size}")
        rows = [
            torch.stack([labelled_semantics(semantics, sources, column, attributes, s) for s in case.meta["scales"]])
            for column in attributes
        ]
        outputs[f"context_{size}"] = torch.stack(rows)
    slider = case.tensor("slider").double()
    scales = slider_scale(slider)
    labels = torch.tensor([1.0, 0.0], dtype=torch.float64)
    targets = torch.stack([labelled_target(labels, float(scale)) for scale in scales], dim=1)
    return outputs | {"in_slider": case.tensor("slider"), "slider_scale": scales, "slider_target": targets}


CASES = {
    r"sdflow_cnf_\d+": cnf,
    r"styleflow_cnf(_\d+)?": cnf,
    r"s2flow_cnf(_\w+)?": cnf,
    "sdflow_cnf_train": sdflow_cnf_train,
    "nll": nll,
    "modify_one_attribute": modify_one,
    "editor": editor,
}
