"""What a run shows: a progress bar, TensorBoard, PNG previews and a line of JSON per logged step."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import torch
from torch import Tensor
from tqdm import tqdm

from utils.files import write_atomically
from utils.images import to_pillow


class RunLog:
    """Collects the terms of each step and reports their means every `every` steps.

    Terms stay tensors until they are reported: reading a GPU number each step would stall it.
    """

    def __init__(self, folder: Path, steps: int, first: int, batch_size: int, every: int, quiet: bool = False) -> None:
        from torch.utils.tensorboard import SummaryWriter  # imported late: `train.py --help` need not wait for it

        self.folder, self.every, self.batch_size = folder, every, batch_size
        self.writer = SummaryWriter(str(folder / "tensorboard"), purge_step=first)
        self.bar = tqdm(total=steps, initial=first, unit="step", dynamic_ncols=True, disable=quiet, smoothing=0.05)
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}
        self.lines = folder / "log.jsonl"
        self._drop_lines_after(first)

    def _drop_lines_after(self, step: int) -> None:
        """A run resumed from an earlier checkpoint repeats steps: their old lines would stand twice."""
        if self.lines.exists():
            kept = [line for line in self.lines.read_text().splitlines() if line and json.loads(line)["step"] <= step]
            self.lines.write_text("".join(line + "\n" for line in kept))

    def add(self, terms: Mapping[str, Tensor]) -> None:
        """Add a phase's unweighted terms."""
        for name, value in terms.items():
            self.sums[name] = self.sums.get(name, torch.zeros_like(value)) + value.detach()
            self.counts[name] = self.counts.get(name, 0) + 1

    def step(self, step: int, status: Mapping[str, float]) -> None:
        """Advance the bar; every `every` steps report."""
        self.bar.update(1)
        if step % self.every and step != self.bar.total:
            return
        values = {name: float(total) / self.counts[name] for name, total in self.sums.items()} | dict(status)
        rate = self.bar.format_dict["rate"] or 0.0
        shown = {name: f"{value:.4g}" for name, value in values.items()} | {"img/s": f"{rate * self.batch_size:.1f}"}
        self.bar.set_postfix(shown, refresh=True)
        self.scalars(step, values)
        self.sums.clear()
        self.counts.clear()

    def scalars(self, step: int, values: Mapping[str, float], group: str = "train") -> None:
        """Numbers to TensorBoard and to log.jsonl."""
        for name, value in values.items():
            self.writer.add_scalar(f"{group}/{name}", value, step)
        with self.lines.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"step": step, "group": group, **values}) + "\n")

    def histograms(self, step: int, values: Mapping[str, Tensor]) -> None:
        """Distributions to TensorBoard."""
        for name, value in values.items():
            self.writer.add_histogram(name, value.detach().float().cpu(), step)

    def picture(self, step: int, image: Tensor) -> Path:
        """The preview as PNG in the run folder and in TensorBoard."""
        path = self.folder / "previews" / f"step-{step:07d}.png"
        picture = to_pillow(image)
        write_atomically(path, lambda temporary: picture.save(temporary, format="PNG"))
        self.writer.add_image("preview", image.detach().cpu().float().add(1).div(2).clamp(0, 1), step)
        return path

    def say(self, text: str) -> None:
        """A line above the progress bar."""
        self.bar.write(text)

    def __enter__(self) -> RunLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.close()
        self.writer.close()
