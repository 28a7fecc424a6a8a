"""From photographs to a shard of encoded faces: one pure function, mapped in this process or over a cluster."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from datasets.latent_shards import Shard, ShardFile, Source, encode_faces, hashed, write_shard
from models.domain import Domain
from models.editing.aligners import build_aligner
from models.editing.alignment import Aligner, AlignerMissing, AlignmentError, ResizeAligner
from utils.devices import pick_device
from utils.photos import PhotoError, decode_photo, read_file


@dataclass(frozen=True)
class ShardTask:
    """All that decides a shard; plain values, so that it travels to other processes and machines.

    Attributes:
        domain: file of the domain's config.
        destination: file of the shard; where it is there already, its other photos stay.
        photos: (number, path, name) of each photo that is to be encoded.
        drop: names of the photos that are to be taken out of the shard.
        aligned: the photos are aligned faces already.
        batch_size: faces encoded at once.
        device: see `utils.devices.pick_device`.
    """

    domain: str
    destination: str
    photos: tuple[tuple[int, str, str], ...]
    drop: tuple[str, ...] = ()
    aligned: bool = False
    batch_size: int = 16
    device: str = "auto"


@dataclass(frozen=True)
class ShardSummary:
    """What became of a task: faces that were encoded and that failed, or why there is no shard at all."""

    task: ShardTask
    encoded: int = 0
    failed: int = 0
    lost: str = ""


@lru_cache(maxsize=1)
def _networks(domain: str, device: str) -> Domain:
    """The domain, loaded once a process: a shard takes less time than its networks take to load."""
    return Domain.from_file(domain, pick_device(device))


def encode_shard(task: ShardTask) -> Shard:
    """The shard of a task's photos; depends on nothing but the task and the files that it names, and changes nothing.

    Raises:
        ConfigError, WeightsError: the domain cannot be built.
        AlignerMissing: what cuts faces out of photographs is not installed; that is no photo's failure.
    """
    domain = _networks(task.domain, task.device)
    aligner: Aligner = ResizeAligner(domain.image_side) if task.aligned else build_aligner(domain)
    failures: dict[str, str] = {}
    sources: dict[str, Source] = {}
    numbers: list[int] = []
    names: list[str] = []
    images: list[Tensor] = []
    latents: list[Tensor] = []
    teacher: list[Tensor] = []
    for batch in _batches(task, aligner, failures, sources):
        image = torch.stack([face for _, face in batch])
        codes, outputs = encode_faces(domain, image.float().div_(127.5).sub_(1))
        for row, (name, face) in enumerate(batch):
            if not (torch.isfinite(codes[row]).all() and torch.isfinite(outputs[row]).all()):
                failures[name] = "the networks gave no finite numbers"
                continue
            numbers.append(sources[name].number)
            names.append(name)
            images.append(face)
            latents.append(codes[row])
            teacher.append(outputs[row])
    side, encoder = domain.image_side, domain.encoder
    return Shard(
        latent=torch.stack(latents) if latents else torch.zeros(0, encoder.style_count, encoder.style_dim),
        teacher=torch.stack(teacher) if teacher else torch.zeros(0, len(domain.classifier_outputs)),
        number=torch.tensor(numbers, dtype=torch.int64),
        outputs=domain.classifier_outputs,
        image=torch.stack(images) if images else torch.zeros(0, 3, side, side, dtype=torch.uint8),
        names=tuple(names),
        failures=failures,
        sources=sources,
    )


def _batches(
    task: ShardTask, aligner: Aligner, failures: dict[str, str], sources: dict[str, Source]
) -> Iterator[list[tuple[str, Tensor]]]:
    """Names and aligned faces (3, S, S) uint8 in batches; notes what cannot be aligned, and every file."""
    batch: list[tuple[str, Tensor]] = []
    for number, path, name in task.photos:
        sources[name] = Source(number)
        try:
            data, sources[name] = _read(number, path)
            batch.append((name, _bytes(aligner(decode_photo(data, aligner.enough)))))
        except AlignerMissing:
            raise
        except (PhotoError, AlignmentError) as error:
            failures[name] = str(error)
        except (RuntimeError, MemoryError) as error:  # the face detector's
            failures[name] = f"cannot be aligned: {error}"
        if len(batch) == task.batch_size:
            yield batch
            batch = []
    if batch:
        yield batch


def _read(number: int, path: str) -> tuple[bytes, Source]:
    """The bytes of a photo's file and what tells it from another; first the latter, so that a change is noticed."""
    try:
        state = os.stat(path)
    except OSError:
        return read_file(path), Source(number)
    data = read_file(path)
    return data, Source(number, state.st_size, state.st_mtime_ns, hashed(data))


def _bytes(picture: Image.Image) -> Tensor:
    return torch.from_numpy(np.asarray(picture.convert("RGB")).copy()).permute(2, 0, 1).contiguous()


def store_shard(task: ShardTask) -> ShardSummary:
    """Encode the photos of a task and put the shard where it says, whole; to do it twice is to do it once.

    Raises:
        ConfigError, WeightsError, AlignerMissing: see `encode_shard`.
        ShardError: the shard that is there already is damaged.
        OSError: the disk is full or not writable.
    """
    shard, path = encode_shard(task), Path(task.destination)
    write_shard(path, merged(ShardFile(path), shard, task.drop) if path.is_file() else shard)
    return ShardSummary(task, len(shard.names), len(shard.failures))


def merged(old: ShardFile, new: Shard, drop: Collection[str]) -> Shard:
    """An old shard with the photos of a new one in the place of its own, and without some of them."""
    gone = {*new.names, *new.failures, *drop}
    rows = [row for row, name in enumerate(old.names) if name not in gone]
    number = torch.cat([torch.from_numpy(old.number)[rows], new.number])
    order = number.argsort()

    def joined(key: str, added: Tensor) -> Tensor:
        return torch.cat([torch.from_numpy(old.all(key))[rows], added])[order]

    names = [*(old.names[row] for row in rows), *new.names]
    return Shard(
        latent=joined("latent", new.latent),
        teacher=joined("teacher", new.teacher),
        number=number[order],
        outputs=new.outputs,
        image=joined("image", new.image) if new.image is not None else None,
        names=tuple(names[row] for row in order.tolist()),
        failures={name: why for name, why in old.failures.items() if name not in gone} | dict(new.failures),
        sources={name: source for name, source in old.sources.items() if name not in gone} | dict(new.sources),
    )


class EngineError(RuntimeError):
    """An engine that cannot be used; the message says how it can."""


def map_here(tasks: Iterable[ShardTask]) -> Iterator[ShardSummary]:
    """Store the shards of all tasks in this process, one after the other."""
    yield from map(store_shard, tasks)


def map_with_ray(
    tasks: Iterable[ShardTask], address: str | None = None, workers: int | None = None, per_gpu: int = 4
) -> Iterator[ShardSummary]:
    """Store the shards of all tasks on a Ray cluster, in the order in which they are done.

    Ray places the tasks, on GPUs where there are any, and starts the task of a lost worker again, up to three times.
    Every machine must see photos, weights, project and output under the same paths (a shared file system).

    Args:
        address: of a running cluster (`auto`, `ray://…`); None starts one on this machine.
        workers: tasks at a time on this machine; by default one a CPU core. Only without an address.
        per_gpu: tasks that share a GPU, so that it computes for one while others read and align photos.
    Raises:
        EngineError: ray is not installed, or the cluster cannot be reached.
    """
    try:
        import ray
    except ImportError:
        raise EngineError("--engine ray needs the package ray: pip install ray") from None
    try:
        ray.init(address=address, num_cpus=workers if address is None else None, include_dashboard=False,
                 log_to_driver=False, configure_logging=False)  # fmt: skip
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise EngineError(f"no Ray cluster answers at {address or 'this machine'}: {error}") from error
    try:
        gpus = ray.cluster_resources().get("GPU", 0)
        remote = ray.remote(max_retries=3, num_gpus=1 / per_gpu if gpus else 0)(store_shard)
        waiting = {remote.remote(task): task for task in tasks}
        while waiting:
            (done,), _ = ray.wait(list(waiting), num_returns=1)
            task = waiting.pop(done)
            try:
                yield ray.get(done)
            except ray.exceptions.RayTaskError as error:
                raise error.as_instanceof_cause() from None
            except ray.exceptions.RayError as error:  # the worker died again and again: perhaps one of these photos
                yield ShardSummary(task, lost=f"its worker died four times ({type(error).__name__})")
    finally:
        ray.shutdown()
