"""A method with every kind of state that a resumed run must bring back, small enough to train in milliseconds."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from training.method import Batch, Method, Phase, update_average


class ToyData(Dataset):
    """Noisy lines."""

    def __init__(self, count: int = 37) -> None:
        draw = torch.Generator().manual_seed(5)
        self.x = torch.randn(count, 4, generator=draw)
        self.y = self.x.sum(1, keepdim=True) + 0.1 * torch.randn(count, 1, generator=draw)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"x": self.x[index], "y": self.y[index], "index": torch.tensor(index)}


class ToyMethod(Method):
    """Regression with dropout (random state), batch norm (buffers), an average, and a lazy second phase."""

    term_names = ("fit", "size", "other")

    def __init__(self, batch_norm: bool = True, dropout: float = 0.3, explode_at: int = -1) -> None:
        super().__init__()
        norm: list[nn.Module] = [nn.BatchNorm1d(8)] if batch_norm else []
        self.network = nn.Sequential(nn.Linear(4, 8), *norm, nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 1))
        self.average = copy.deepcopy(self.network)
        self.other = nn.Linear(4, 1)
        self.explode_at = explode_at
        self.finished = 0
        self.seen: list[int] = []
        self.had_gradients: list[set[str]] = []

    def phases(self) -> list[Phase]:
        first, second = list(self.network.parameters()), list(self.other.parameters())
        return [
            Phase("fit", first, torch.optim.Adam(first, lr=1e-2)),
            Phase("other", second, torch.optim.SGD(second, lr=1e-2, momentum=0.9), every=3),
        ]

    def losses(self, phase: str, batch: Batch) -> dict[str, Tensor]:
        if phase == "other":
            return {"other": (self.other(batch["x"]) - batch["y"]).square().mean()}
        self.seen += batch["index"].tolist()
        factor = float("nan") if self.finished == self.explode_at else 1.0
        error = (self.network(batch["x"]) - batch["y"]).square().mean() * factor
        return {"fit": error, "size": self.network[0].weight.square().mean()}

    def before_step(self, step: int) -> None:
        self.finished = step

    def after_step(self, step: int) -> None:
        update_average(self.average, self.network, 0.9)
        self.had_gradients.append({name for name, p in self.named_parameters() if p.requires_grad})

    def preview(self, batch: Batch) -> Tensor:
        torch.rand(7)  # a preview that draws must not change what training draws
        return torch.zeros(3, 4, 4)
