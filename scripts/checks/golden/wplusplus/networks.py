"""Golden cases of W++: mapping networks, generators, and the one that sees a condition."""

from __future__ import annotations

import re

import torch

from models.stylegan2.conditional import widened
from models.stylegan2.generator import Generator
from scripts.checks.golden.case import Builder, GoldenCase
from scripts.checks.golden.wplusplus.common import Outputs, filled_generator, said


def mapping(case: GoldenCase) -> Outputs:
    """Tokens, what each block makes of them, attention maps, codes and their gradient."""
    z = case.tensor("z").requires_grad_()
    size, widths = 2 ** (z.shape[1] // 2 + 1), case.shapes["style.1.atten.proj.weight"]
    layers = len({key.split(".")[1] for key in case.shapes if key.startswith("style.")})
    thin = {4 << level: 1 for level in range(z.shape[1] // 2)}  # the case has no synthesis network
    network = Generator(size, widths[0], layers, thin, z_dim=z.shape[2], mapping_network="transformer").eval()
    case.fill(network, derivable=(*Generator.derivable, r"^(?!style\.)"))
    codes = network.mapping(z)
    outputs: Outputs = {"grad_z": torch.autograd.grad((codes * case.tensor("probe")).sum(), z)[0]}
    with torch.no_grad():
        tokens = network.tokens(z)
        x = normalised = network.style[0](tokens)
        for number in range(1, layers + 1):
            x = outputs[f"block_{number}"] = network.style[number](x)
        maps = {f"attention_{number}": one for number, one in enumerate(network.attention_maps(z), 1)}
        small, smaller = (said(case, f"{name}_small", r"of ([\d.e-]+) \*") for name in ("block_1", "normalised"))
        return (
            outputs
            | maps
            | {
                "tokens": tokens,
                "normalised": normalised,
                "normalised_small": network.style[0](smaller * tokens),
                "block_1_small": network.style[1](small * normalised),
                "codes": codes,
                "codes_reversed": network.mapping(z.flip(1)),
            }
        )


@torch.no_grad()
def generator(case: GoldenCase) -> Outputs:
    """Codes of z, and pictures of codes: as they are, with given noise, truncated, with another last token."""
    network = filled_generator(case)
    codes, w = case.tensor("codes"), network.mapping(case.tensor("z"))
    maps = [case.tensor(f"given_noise_{index}") for index in range(len(network.noises.maps()))]
    psi = said(case, "image_truncated", r"mean \+ ([\d.]+) \(")
    outputs = {
        "w": w,
        "image_from_z": network(case.tensor("z")),
        "image": network.synthesis(codes),
        "image_given_noise": network.synthesis(codes, maps),
        "image_truncated": network(case.tensor("z"), truncation=psi, truncation_mean=case.tensor("mean_code")[0]),
    }
    for name in case.outputs:
        if found := re.fullmatch(r"image_token_(\d+)", name):
            changed = codes.clone()
            changed[:, int(found[1])] = w[:, int(found[1])]
            outputs[name] = network.synthesis(changed)
    return outputs


@torch.no_grad()
def generator_of_w(case: GoldenCase) -> Outputs:
    """The MLP on tokens: of one z, and of two that change over."""
    network = filled_generator(case)
    z, other = case.tensor("z"), case.tensor("z2")
    change = int(said(case, "tokens_mixed", r"inject index (\d+)"))
    tokens = network.mix(z, other, change)
    return {
        "tokens_mixed": tokens,
        "w": network.mapping(z),
        "image_from_z": network(z),
        "image_mixed": network.synthesis(network.mapping(tokens)),
    }


@torch.no_grad()
def conditional(case: GoldenCase) -> Outputs:
    """Pictures of codes under each condition, and those of an unconditional generator's weights, widened."""
    codes, conditions = case.tensor("codes"), {name: case.tensor(name) for name in case.inputs if name != "codes"}
    width, more = codes.shape[2], conditions["a"].shape[1]
    sizes = Generator.sizes_from_shapes(case.shapes | {"style.1.weight": (width, width)})  # the case has no mapping
    derivable = (*Generator.derivable, r"^style\.")
    network = Generator(**sizes).eval()
    case.fill(network, derivable=derivable)
    outputs = {
        "image" if name == "a" else f"image_{name}": network.synthesis(codes, condition=condition)
        for name, condition in conditions.items()
    }
    if "image_start" in case.outputs:
        # the unconditional network's case has the same keys and numbers; its gains are those of the narrower layers
        modulations = [key for key in case.shapes if key.endswith("conv.modulation.weight")]
        narrow = case.shapes | {key: (case.shapes[key][0], width) for key in modulations}
        start = Generator(**sizes | {"condition_dim": 0})
        GoldenCase(case.name, case.meta, {}, narrow).fill(start, derivable=derivable)
        state = start.state_dict()
        for key in modulations:
            state[key] *= (width / (width + more)) ** 0.5
        network.load_state_dict(widened(state, more))
        outputs["image_start"] = network.synthesis(codes, condition=conditions["a"])
    return outputs


CASES: dict[str, Builder] = {
    r"wpp_mapping(_\w+)?": mapping,
    r"wpp_generator_\d+": generator,
    r"wpp_generator_\d+_w": generator_of_w,
    r"wpp_conditional(_\w+)?": conditional,
}
