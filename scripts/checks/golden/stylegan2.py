"""Golden cases of StyleGAN2: operations, modulated convolution, generator, discriminator."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.stylegan2.discriminator import Discriminator
from models.stylegan2.generator import Generator
from models.stylegan2.layers import ModulatedConv2d
from models.stylegan2.nvlabs import nvlabs_keys, public_keys, sizes_from_nvlabs
from models.stylegan2.ops import bias_act, downsample2d, filter2d, setup_filter, upfirdn2d, upsample2d
from models.weight_files import load_network
from scripts.checks.golden.case import ORIGIN, Builder, CaseError, GoldenCase
from utils.weights import freeze, load_strict


def _gradient(value: Tensor, inputs: Tensor, create_graph: bool = False) -> Tensor:
    return torch.autograd.grad(value, inputs, create_graph=create_graph)[0]


def ops(case: GoldenCase) -> dict[str, Tensor]:
    """upfirdn2d, bias_act, the fused leaky ReLU and the resampling shorthands, with first and second gradients."""
    outputs: dict[str, Tensor] = {}
    for name in case.meta["upfirdn2d"]:
        outputs.update(_upfirdn2d(case, f"upfirdn2d.{name}", case.meta["upfirdn2d"][name]))
    for name in case.meta["bias_act"]:
        outputs.update(_bias_act(case, f"bias_act.{name}", case.meta["bias_act"][name]))
    variants = sorted({key.rsplit(".", 1)[0] for key in case.inputs if key.startswith("fused_leaky_relu.")})
    for name in variants:
        outputs.update(_fused_leaky_relu(case, name))
    fir, long_fir = setup_filter([1, 3, 3, 1]), setup_filter([1, 2, 3, 4, 5, 6, 7, 8, 9])
    enlarged = case.tensor("upfirdn2d.up2.x")
    outputs["nvlabs.setup_filter"] = fir
    outputs["nvlabs.setup_filter_9_taps"] = long_fir
    outputs["nvlabs.upsample2d"] = upsample2d(enlarged, fir)
    outputs["nvlabs.upsample2d_separable"] = upsample2d(enlarged, long_fir)
    outputs["nvlabs.downsample2d"] = downsample2d(case.tensor("upfirdn2d.down2.x"), fir)
    outputs["nvlabs.filter2d"] = filter2d(case.tensor("upfirdn2d.blur.x"), fir)
    return outputs


def _upfirdn2d(case: GoldenCase, name: str, arguments: dict[str, list[int]]) -> dict[str, Tensor]:
    x, kernel = case.tensor(f"{name}.x").requires_grad_(), case.tensor(f"{name}.kernel")
    cotangent = case.tensor(f"{name}.cotangent").requires_grad_()
    settings: dict[str, Any] = {key: tuple(arguments[key]) for key in ("up", "down")}
    settings["padding"] = tuple(arguments["pad"])
    y = upfirdn2d(x, kernel, **settings)
    grad_x = _gradient((y * cotangent).sum(), x, create_graph=True)
    return {
        f"{name}.y": y,
        f"{name}.grad_x": grad_x,
        f"{name}.grad2_cotangent": _gradient((grad_x * case.tensor(f"{name}.cotangent2")).sum(), cotangent),
        f"{name}.y_flip_gain3": upfirdn2d(x, kernel, flip_filter=True, gain=3, **settings),
    }


def _bias_act(case: GoldenCase, name: str, arguments: dict[str, Any]) -> dict[str, Tensor]:
    x, bias = case.tensor(f"{name}.x").requires_grad_(), case.tensor(f"{name}.b").requires_grad_()
    settings = {key: arguments[key] for key in ("alpha", "gain", "clamp", "dim")}
    y = bias_act(x, bias if arguments["bias"] else None, activation=arguments["act"], **settings)
    total = (y * case.tensor(f"{name}.cotangent")).sum()
    outputs = {f"{name}.y": y, f"{name}.grad_x": _gradient(total, x, create_graph=True)}
    if arguments["bias"]:
        outputs[f"{name}.grad_b"] = _gradient(total, bias)
    return outputs


def _fused_leaky_relu(case: GoldenCase, name: str) -> dict[str, Tensor]:
    x, bias = case.tensor(f"{name}.x").requires_grad_(), case.tensor(f"{name}.b").requires_grad_()
    cotangent = case.tensor(f"{name}.cotangent").requires_grad_()
    y = bias_act(x, bias, activation="lrelu")
    grad_x, grad_b = torch.autograd.grad((y * cotangent).sum(), (x, bias), create_graph=True)
    second = (grad_x * case.tensor(f"{name}.cotangent2")).sum() + (grad_b * bias.detach()).sum()
    return {
        f"{name}.y": y,
        f"{name}.grad_x": grad_x,
        f"{name}.grad_b": grad_b,
        f"{name}.grad2_cotangent": _gradient(second, cotangent),
    }


def modulated_conv(case: GoldenCase) -> dict[str, Tensor]:
    """Each variant of the modulated convolution in float64, with first and second gradients."""
    outputs: dict[str, Tensor] = {}
    for name, arguments in case.meta["variants"].items():
        shape, style_dim = case.shapes[f"{name}.weight"], case.shapes[f"{name}.modulation.weight"][1]
        resample = "up" if arguments.get("upsample") else "down" if arguments.get("downsample") else ""
        conv = ModulatedConv2d(shape[2], shape[1], shape[3], style_dim, arguments.get("demodulate", True), resample)
        case.fill(conv, f"{name}.")
        conv.double()
        x, style = case.tensor(f"{name}.x").requires_grad_(), case.tensor(f"{name}.style").requires_grad_()
        y = conv(x, style)
        leaves = {"x": x, "style": style, **dict(conv.named_parameters())}
        total = (y * case.tensor(f"{name}.cotangent")).sum()
        first = dict(zip(leaves, torch.autograd.grad(total, list(leaves.values()), create_graph=True), strict=True))
        again = [leaves[key] for key in ("x", "style", "weight")]
        second = torch.autograd.grad(first["style"].square().sum(), again, allow_unused=True)
        outputs[f"{name}.y"] = y
        outputs.update({f"{name}.grad_{key}": value for key, value in first.items()})
        for key, value in zip(("x", "style", "weight"), second, strict=True):
            if value is not None:
                outputs[f"{name}.grad2_{key}"] = value
    return outputs


@torch.no_grad()
def generator(case: GoldenCase) -> dict[str, Tensor]:
    """The generator with the public key names, at any size."""
    network = Generator(**Generator.sizes_from_shapes(case.shapes)).eval()
    case.fill(network, derivable=Generator.derivable)
    wanted, outputs = set(case.outputs), {}
    inputs = {name: case.tensor(name) for name in case.inputs}
    if "wplus" in inputs:
        image = network.synthesis(inputs["wplus"])
        outputs.update({"image": image, "image_pooled": image, "image_picked": image})
    mean = inputs.get("truncation_latent")
    psi = _number(case, r"truncation=([\d.]+)", 0.7)
    if "image_truncated" in wanted and mean is not None:
        outputs["image_truncated"] = network.synthesis(network.truncate(inputs["wplus"], mean, psi))
    if "image_from_w" in wanted:
        outputs["image_from_w"] = network.synthesis(network.broadcast(inputs["w"]))
    if "z" in inputs:
        outputs["w"] = network.mapping(inputs["z"])
        outputs["image_from_z"] = network(inputs["z"])
    if "image_from_z_truncated" in wanted:
        outputs["image_from_z_truncated"] = network(inputs["z"], truncation=psi, truncation_mean=mean)
    if "image_mixed" in wanted:
        index = int(_number(case, r"inject_index=(\d+)", 3))
        mixed = network.mix(network.mapping(inputs["z"]), network.mapping(inputs["z2"]), index)
        outputs["image_mixed"] = network.synthesis(mixed)
    if "image_given_noise" in wanted:
        maps = [inputs[f"given_noise_{index}"] for index in range(len(network.noises.maps()))]
        outputs["image_given_noise"] = network.synthesis(inputs["wplus"], noise=maps)
    return outputs


def _number(case: GoldenCase, pattern: str, otherwise: float) -> float:
    found = re.search(pattern, case.meta.get("call", ""))
    return float(found.group(1)) if found else otherwise


@torch.no_grad()
def nvlabs_generator(case: GoldenCase) -> dict[str, Tensor]:
    """NVlabs' generator from the case's tensors, and once more from the pickle beside the case."""
    state = case.state()
    sizes = sizes_from_nvlabs(state, {"synthesis_kwargs": {"conv_clamp": _setting(case, "", "conv_clamp")}})
    network = _generator(sizes, public_keys(state))
    names = {key: tuple(value.shape) for key, value in nvlabs_keys(network.state_dict()).items()}
    if differing := sorted(key for key in names.keys() | case.shapes.keys() if names.get(key) != case.shapes.get(key)):
        raise CaseError(f"keys or shapes differ from the case's: {', '.join(differing[:5])}")
    outputs = _nvlabs_outputs(case, network, sizes)
    if case.pickle:
        again = _nvlabs_outputs(case, _from_pickle(case.pickle), sizes)
        outputs |= {f"{name}{ORIGIN}{case.pickle.name}": value for name, value in again.items()}
    return outputs


def _generator(sizes: dict[str, Any], state: dict[str, Tensor]) -> Generator:
    network = Generator(**sizes)
    load_strict(network, state)
    freeze(network)
    return network


def _from_pickle(path: Path) -> Generator:
    module = freeze(load_network(path, "stylegan2_generator").module)
    assert isinstance(module, Generator)
    return module


def _nvlabs_outputs(case: GoldenCase, network: Generator, sizes: dict[str, Any]) -> dict[str, Tensor]:
    """What NVlabs' calls of these names give; their arguments are read from the case's words."""
    inputs = {name: case.tensor(name) for name in case.inputs}
    labels, outputs = inputs.get("c"), {}
    for name in case.outputs:
        psi = _setting(case, name, "truncation_psi") or 1.0
        cutoff = _word(case, name, "truncation_cutoff")
        rows = None if cutoff is None else int(cutoff)
        noise = {"const": "constant", "none": "none"}[_word(case, name, "noise_mode") or "const"]
        if name.startswith("image_from_z"):
            outputs[name] = network(inputs["z"], noise, psi, truncation_cutoff=rows, labels=labels)
        elif name.startswith("image"):
            clamp = _setting(case, name, "conv_clamp")
            other = network if clamp is None else _generator({**sizes, "conv_clamp": clamp}, network.state_dict())
            outputs[name] = other.synthesis(inputs["ws"], noise)
        elif name.startswith("ws"):
            w = network.broadcast(network.mapping(inputs["z"], labels))
            outputs[name] = network.truncate(w, network.truncation_centre(), psi, rows)
    return outputs


def _word(case: GoldenCase, output: str, setting: str) -> str | None:
    """Value of `setting=value` in what the case says of an output's call, or of the network's where `output` is ''."""
    call = case.meta.get("call", "")
    names = "|".join(re.escape(name) for name in sorted(case.outputs, key=len, reverse=True))
    parts = re.split(rf"\b({names})\b(?=:)", call)
    said = dict(zip(["", *parts[1::2]], parts[0::2], strict=True)).get(output, "")
    found = re.search(rf"\b{setting}=(['\"]?)([\w.]*\w)\1", said)
    return found[2] if found and found[2] != "None" else None


def _setting(case: GoldenCase, output: str, setting: str) -> float | None:
    word = _word(case, output, setting)
    return None if word is None else float(word)


def discriminator(case: GoldenCase) -> dict[str, Tensor]:
    """The discriminator with the public key names, at any size."""
    network = Discriminator(**Discriminator.sizes_from_shapes(case.shapes)).eval()
    case.fill(network, derivable=Discriminator.derivable)
    image = case.tensor("image")
    # in float64: a rounding may put a value on the other side of a leaky ReLU's kink, where the gradient jumps
    exact = image.double().requires_grad_()
    outputs = {"grad_input": _gradient(network.double()(exact).sum(), exact)}
    network.float()
    with torch.no_grad():
        outputs["score"] = network(image)
        outputs["features"] = network.features(image)
        for output in case.outputs:
            batch = re.fullmatch(r"score_batch(\d+)", output)
            if batch:
                given = case.tensor(f"image{batch[1]}") if f"image{batch[1]}" in case.inputs else image[: int(batch[1])]
                outputs[output] = network(given)
    return outputs


CASES: dict[str, Builder] = {
    r"ops": ops,
    r"modulated_conv": modulated_conv,
    r"stylegan2_rosinality_\d+": generator,
    r"stylegan2_discriminator_\d+": discriminator,
    r"stylegan2_nvlabs_\d+|nvlabs_\w+": nvlabs_generator,
}
