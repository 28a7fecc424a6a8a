"""Short runs of the real methods on a domain in miniature."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from training.loop import Trainer
from training.method import Batch, Method, Phase
from training.settings import TrainingSettings

SIDE = 32


class Noise(Dataset):
    """Pictures without a meaning, said to be drawn from numbers."""

    def __init__(self, count: int = 12) -> None:
        random = torch.Generator().manual_seed(7)
        self.images = torch.rand(count, 3, SIDE, SIDE, generator=random) * 2 - 1
        self.normals = torch.randn(count, 5, generator=random)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"image": self.images[index], "normals": self.normals[index]}


def batch_of(count: int) -> Batch:
    faces = Noise(count)
    return {"image": faces.images, "normals": faces.normals}


def trainer(method: Method, folder: Path, steps: int) -> Trainer:
    settings = TrainingSettings(
        steps=steps, batch_size=4, preview_every=steps, checkpoint_every=steps, preview_images=4
    )
    return Trainer(method, Noise(), settings, folder, {}, torch.device("cpu"), quiet=True)


def everything(run: Trainer) -> dict[str, Tensor]:
    """All that decides the next step."""
    state = dict(run.method.state_dict())
    for number, phase in enumerate(run.phases):
        for index, values in phase.optimiser.state_dict()["state"].items():
            state |= {f"{number}.{index}.{key}": torch.as_tensor(value) for key, value in values.items()}
    return state | {"random": torch.get_rng_state()}


def assert_resumes_exactly(build: Callable[[], Method], folder: Path, stop: int, steps: int) -> None:
    """A run that is stopped and resumed ends like one that was not, bit for bit."""
    torch.manual_seed(0)
    whole = trainer(build(), folder / "whole", steps)
    whole.run()
    expected = {key: value.clone() for key, value in everything(whole).items()}

    torch.manual_seed(0)
    trainer(build(), folder / "parts", stop).run()
    torch.manual_seed(1)
    resumed = trainer(build(), folder / "parts", steps)
    assert resumed.resume() == stop
    resumed.run()
    got = everything(resumed)
    assert expected.keys() == got.keys()
    different = [key for key in expected if not torch.equal(expected[key], got[key])]
    assert not different


def backward(method: Method, phase: Phase, batch: Batch) -> dict[str, Tensor]:
    """Gradients of one phase as the loop computes them; returns the terms."""
    learning = {id(parameter) for parameter in phase.parameters}
    for parameter in method.parameters():
        parameter.grad = None
        parameter.requires_grad_(id(parameter) in learning)
    terms = method.losses(phase.name, batch)
    torch.stack(list(terms.values())).sum().backward()
    return {name: value.detach() for name, value in terms.items()}


def with_gradients(method: Method) -> set[str]:
    """Names of the method's networks that have a gradient which is not zero."""
    named = method.named_parameters()
    return {name.split(".")[0] for name, p in named if p.grad is not None and bool(p.grad.any())}
