"""Faces that a generator draws of random z, near the mean of its codes ("Controllable face image editing in a
disentanglement way", 2023): what is drawn depends on the seed and the number of the face alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from datasets.latent_shards import Shard, ShardFile
from models.domain import Domain
from models.protocols import Generator
from models.stylegan2.generator import Generator as StyleGAN2
from utils.files import write_atomically
from utils.images import to_bytes

_PORTION = 4096  # z that are mapped at once
_PER_FOLDER = 1000  # files of the published layout
_MEAN = "mean"


def drawn_z(seed: int, numbers: range, shape: tuple[int, ...]) -> Tensor:
    """Standard normal (N, *shape) of the faces with these numbers."""
    rows = [np.random.default_rng([seed, number]).standard_normal(shape, dtype=np.float32) for number in numbers]
    return torch.from_numpy(np.stack(rows))


@torch.no_grad()
def mean_of(generator: Generator, z: Iterator[Tensor]) -> Tensor:
    """Mean of what the mapping gives, (D,) or (L, D), of portions of z."""
    total, count = torch.zeros((), dtype=torch.float64), 0
    for portion in z:
        total = total + generator.mapping(portion).double().sum(0).cpu()
        count += len(portion)
    return (total / count).float()


def mean_code(domain: Domain, seed: int, count: int, path: Path) -> Tensor:
    """Mean of what the mapping gives, (D,) or (L, D), of `count` z.

    Kept in a file, so that a set that is continued has the same.
    """
    if not path.is_file():
        random = torch.Generator().manual_seed(seed)
        sizes = [min(_PORTION, count - first) for first in range(0, count, _PORTION)]
        shape = domain.generator.z_shape
        portions = (torch.randn(size, *shape, generator=random).to(domain.device) for size in sizes)
        mean = mean_of(domain.generator, portions)
        write_atomically(path, lambda temporary: save_file({_MEAN: mean}, temporary))
    return load_file(path)[_MEAN]


@torch.no_grad()
def truncated_codes(generator: Generator, z: Tensor, mean: Tensor, psi: float) -> Tensor:
    """Codes (B, L, D) of z: mean + ψ (w − mean)."""
    return generator.broadcast(StyleGAN2.truncate(generator.mapping(z), mean, psi))


def as_bytes(image: Tensor) -> Tensor:
    """Pictures (B, 3, S, S), around [−1, 1], as they are stored: (B, 3, S, S) uint8."""
    return torch.from_numpy(np.stack([to_bytes(one) for one in image])).permute(0, 3, 1, 2).contiguous()


@dataclass(frozen=True)
class Sampling:
    """What decides a set of samples beside the domain.

    Args:
        seed: of the faces and of the mean.
        psi: ψ.
        batch_size: faces drawn at once.
        teacher: keep the teacher's probabilities, too.
    """

    seed: int
    psi: float
    batch_size: int
    teacher: bool = False


@torch.no_grad()
def sample_shard(domain: Domain, numbers: range, mean: Tensor, sampling: Sampling) -> Shard:
    """The faces with these numbers."""
    outputs = domain.classifier_outputs if sampling.teacher else ()
    codes, images, decisions = [], [], []
    for first in range(0, len(numbers), sampling.batch_size):  # the same batches whenever the shard is drawn
        part = numbers[first : first + sampling.batch_size]
        z = drawn_z(sampling.seed, part, domain.generator.z_shape).to(domain.device)
        w = truncated_codes(domain.generator, z, mean.to(domain.device), sampling.psi)
        code = w if domain.latent_space is None else domain.latent_space.enter(w)
        image = domain.synthesise(code)
        codes.append(code.float().cpu())
        images.append(as_bytes(image))
        if outputs:
            seen = images[-1].to(domain.device).float().div_(127.5).sub_(1)
            decisions.append(torch.sigmoid(domain.teacher(seen)[:, : len(outputs)]).float().cpu())
    return Shard(
        latent=torch.cat(codes).contiguous(),
        teacher=torch.cat(decisions) if outputs else torch.zeros(len(numbers), 0),
        number=torch.arange(numbers.start, numbers.stop),
        outputs=outputs,
        image=torch.cat(images),
        names=tuple(str(number) for number in numbers),
    )


def published_place(number: int) -> str:
    """Folder and name of a file of the published sets, without its suffix."""
    return f"{number // _PER_FOLDER}/{number}"


def pair_files(number: int, count: int) -> dict[str, str]:
    """Where a face stands in the published evaluation set of so many: as identity n, as attributes of another pair,
    and its code. Pair n is (face n, face count − 1 − n)."""
    here, there = published_place(number), published_place(count - 1 - number)
    return {
        "id_small_image": f"id_small_image/{here}.png",
        "attr_small_image": f"attr_small_image/{there}.png",
        "small_w": f"small_w/{here}.npy",
    }


def write_pairs(folder: Path, shard: ShardFile, count: int) -> None:
    """Write the faces of a shard into an evaluation set of `count` pairs, in the published layout.

    Raises:
        OSError: one cannot be written.
    """
    for row, number in enumerate(shard.number.tolist()):
        picture = Image.fromarray(shard.row("image", row).permute(1, 2, 0).contiguous().numpy(), "RGB")
        code = shard.row("latent", row)[0].numpy()
        for kind, name in pair_files(number, count).items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, partial(_save_code, code) if kind == "small_w" else partial(_save_picture, picture))


def _save_picture(picture: Image.Image, path: Path) -> None:
    picture.save(path, format="PNG")


def _save_code(code: np.ndarray, path: Path) -> None:
    with path.open("wb") as stream:  # given a path, NumPy adds a suffix
        np.save(stream, code)
