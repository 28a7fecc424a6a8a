"""Golden cases of the identity swap: encoder, mapper, losses, training set, and landmarks."""

from __future__ import annotations

import re
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from criteria.high_frequency import blurred, gaussian_kernel, high_frequency
from criteria.identity import identity_loss
from criteria.landmarks import JAWLINE, inner_landmarks, landmark_distance, landmarks, reduced
from criteria.lpips import LPIPS
from criteria.patches import Crop, patches
from criteria.structural_similarity import mixed_distance, structural_similarity
from datasets.face_samples import as_bytes, mean_of, truncated_codes
from models.encoders.swap_encoder import SwapEncoder, swap_encoder_sizes
from models.identity import PUBLISHED_CROP, crop_face
from models.landmarks import MobileFaceNet, mobilefacenet_sizes
from models.latent_mapper import LatentMapper, latent_mapper_sizes
from models.stylegan2.generator import Generator
from scripts.checks.golden.case import Builder, GoldenCase
from utils.images import to_pillow, to_tensor
from utils.weights import freeze

Outputs = dict[str, Any]
FACE_SIDE = 112  # of what a recognition network takes


@torch.no_grad()
def encoder(case: GoldenCase) -> Outputs:
    """Both vectors, their lengths and what the trunk gives; then one call in training mode and what it leaves."""
    with torch.device("meta"):
        network = SwapEncoder(**swap_encoder_sizes(case.shapes))
    network.to_empty(device="cpu")
    case.fill(network)
    freeze(network)
    image = case.tensor("image")
    outputs: Outputs = {}
    features = network.input_layer(image[: case.outputs["identity"]["shape"][0]])
    for number, unit in enumerate(network.body):
        features = unit(features)
        if f"body_{number}" in case.outputs:
            outputs[f"body_{number}"] = features
    names = ("identity_length", "attribute_length", "identity", "attribute")
    outputs |= dict(zip(names, network.heads(features), strict=True))
    trained = network.train()(image)
    outputs |= {"train_identity": trained[0], "train_attribute": trained[1]}
    buffers = dict(network.named_buffers())
    after = [name for name in case.outputs if name.startswith("after.")]
    return outputs | {name: buffers[name.removeprefix("after.")] for name in after}


@torch.no_grad()
def mapper(case: GoldenCase) -> Outputs:
    """The code of all items, of one alone, and the layers between."""
    identity, attribute = case.tensor("identity"), case.tensor("attribute")
    network = LatentMapper(**latent_mapper_sizes(case.shapes, identity.shape[1])).eval()
    case.fill(network)
    outputs: Outputs = {"w": network(identity, attribute).flatten(1)}
    for name, record in case.outputs.items():
        if match := re.fullmatch(r"hidden_(\d+)", name):
            outputs[name] = network.model[: int(match[1]) + 1](torch.cat([identity, attribute], dim=1))
        elif name == "w_one_item":
            one, other = (int(number) for number in re.findall(r"\[(\d+)\]", record["what"]))
            outputs[name] = network(identity[one : one + 1], attribute[other : other + 1]).flatten()
    return outputs


def losses(case: GoldenCase) -> Outputs:
    """The six terms and their gradients in both roles of a batch, and what they are made of."""
    images, small, weight = (case.tensor(name).float() for name in ("images", "small", "R_weight"))
    kernel, side = case.outputs["kernel"]["shape"][0], case.outputs["patches_fake2"]["shape"][-1]
    share = float(_number(case, r"\ba = ([\d.]+\d)", "0.9"))
    first, stride = int(_number(case, r"x\[:, (\d+)::", "3")), int(_number(case, r"x\[:, \d+::(\d+)", "8"))
    crops = [Crop(*row) for row in case.tensor("crops").int().tolist()]
    distance = LPIPS()
    case.fill(distance.network)

    def recognised(image: Tensor) -> Tensor:
        face = F.adaptive_avg_pool2d(crop_face(2 * image - 1, PUBLISHED_CROP), FACE_SIDE)
        return F.normalize(face[:, :, first::stride, first::stride].flatten(1) @ weight.T)

    def perceptual(image: Tensor, target: Tensor) -> Tensor:
        return distance(2 * image - 1, 2 * target - 1)

    def squares(image: Tensor) -> Tensor:
        return patches(image, crops, side)

    def h(image: Tensor) -> Tensor:
        return high_frequency(image, kernel)

    def terms(rebuilt: Tensor, hybrid: Tensor, a: Tensor, b: Tensor) -> dict[str, Tensor]:
        return {
            "pixel": (rebuilt - a).square().mean(),
            "mixed": mixed_distance(rebuilt, a, share),
            "perceptual": perceptual(rebuilt, a).mean(),
            "identity_1": identity_loss(recognised(rebuilt), recognised(a)),
            "identity_2": identity_loss(recognised(h(hybrid)), recognised(h(a))),
            "attribute": perceptual(squares(hybrid), squares(b)).mean(),
        }

    front, back, rebuilt, hybrid = images.chunk(4)
    rebuilt, hybrid = rebuilt.clone().requires_grad_(), hybrid.clone().requires_grad_()
    outputs: Outputs = {}
    for ending, a, b in (("", front, back), ("_odd", back, front)):
        found = terms(rebuilt, hybrid, a, b)
        found["total"] = torch.stack(list(found.values())).sum()
        gradients = torch.autograd.grad(found["total"], (rebuilt, hybrid), retain_graph=True)
        found |= {"grad_fake1": gradients[0], "grad_fake2": gradients[1]}
        found["grad_fake2_identity_2"] = torch.autograd.grad(found["identity_2"], hybrid, retain_graph=True)[0]
        outputs |= {f"{name}{ending}": value.detach() for name, value in found.items()}
    with torch.no_grad():
        layers = distance.network(2 * rebuilt - 1, 2 * front - 1, retPerLayer=True)[1]
        outputs |= {
            "ms_ssim": structural_similarity(rebuilt, front),
            "lpips_pairs": perceptual(rebuilt, front),
            "lpips_layers": torch.stack([layer.flatten() for layer in layers]),
            "lpips_patches": perceptual(squares(hybrid), squares(back)),
            "R_fake1": recognised(rebuilt),
            "R_A": recognised(front),
            "R_h_fake2": recognised(h(hybrid)),
            "R_h_A": recognised(h(front)),
            "h_A": h(front),
            "h_fake2": h(hybrid),
            "h_A_corner": h(front),
            "h_A_far_corner": h(front),
            "small_h": h(small),
            "small_blurred_colour": blurred(small, kernel),
            "kernel": gaussian_kernel(kernel),
            "patches_fake2": squares(hybrid),
            "patches_B": squares(back),
            "patch_5": squares(hybrid),
            "image_samples": images,
        }
    return outputs


def _number(case: GoldenCase, pattern: str, otherwise: str) -> str:
    """What the case's words say of its call."""
    found = re.search(pattern, case.meta.get("call", ""))
    return found[1] if found else otherwise


@torch.no_grad()
def training_set(case: GoldenCase) -> Outputs:
    """Truncated codes of given z, and pictures as they are stored and read again."""
    network = Generator(**Generator.sizes_from_shapes(case.shapes)).eval()
    case.fill(network, derivable=Generator.derivable)
    z, psi = case.tensor("z"), float(_number(case, r"truncation=([\d.]+\d)", "0.5"))
    mean = mean_of(network, iter([case.tensor("z_mean")]))
    codes = truncated_codes(network, z, mean, psi)
    image = network.synthesis(codes)
    stored = as_bytes(image)
    outputs: Outputs = {
        "mean_w": mean[None],
        "z_to_w": network.mapping(z),
        "w": codes[:, 0],
        "latents": codes,
        "image": image,
        "png": stored,
        "png_attr": stored.flip(0),
    }
    if "loaded" in case.outputs:
        record = case.outputs["loaded"]
        found = re.search(r"picture (\d+)", record["what"])
        picture = to_pillow(image[int(found[1]) if found else 0])
        read = picture.resize(record["shape"][1:], Image.Resampling.BICUBIC)
        outputs["loaded"] = (to_tensor(read) + 1) / 2
    return outputs


@torch.no_grad()
def mobilefacenet(case: GoldenCase) -> Outputs:
    """Landmarks of small and of large pictures, reduced in either way, and their distance."""
    network = MobileFaceNet(**mobilefacenet_sizes(case.shapes))
    case.fill(network)
    freeze(network)
    faces, images, side = case.tensor("faces"), case.tensor("images"), network.input_side
    points = landmarks(network, faces)
    outputs: Outputs = {
        "output": network(faces).flatten(1),
        "features": network.features(faces),
        "points": points.flatten(1),
        "inner_points": points[:, JAWLINE:],
    }
    for name, antialias in (("plain", False), ("antialiased", True)):
        outputs[f"points_256_{name}"] = landmarks(network, images, antialias).flatten(1)
        outputs[f"resized_{name}"] = reduced(images, side, antialias)
    inner = inner_landmarks(network, images, antialias=False)
    return outputs | {"landmark_loss": landmark_distance(inner[:1], inner[1:])}


CASES: dict[str, Builder] = {
    r"id_swap_encoder(_\w+)?": encoder,
    r"id_swap_mapper(_\w+)?": mapper,
    r"id_swap_losses(_\w+)?": losses,
    r"id_swap_data(_\w+)?": training_set,
    r"id_swap_landmarks(_\w+)?": mobilefacenet,
}
