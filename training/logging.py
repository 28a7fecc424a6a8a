"""What a run shows: a progress bar, TensorBoard, PNG previews and a line of JSON per logged step."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from utils.failures import naming
from utils.files import write_atomically, write_text
from utils.images import to_pillow


class RunLog:
    """Collects the terms of each step and reports their means every `every` steps.

    Terms stay tensors until they are reported: reading a GPU number each step would stall it.

    Args:
        first: finished steps; what an earlier part of the run logged of later ones is dropped, since they are repeated.
        state: what `state()` gave when those steps were finished, so that means go on as if the run had not stopped.
    Raises:
        OSError: the folder cannot be written; so do all methods. The message names the file.
    """

    def __init__(
        self,
        folder: Path,
        steps: int,
        first: int,
        batch_size: int,
        every: int,
        quiet: bool = False,
        state: Mapping[str, Any] | None = None,
    ) -> None:
        from torch.utils.tensorboard import SummaryWriter  # imported late: `train.py --help` need not wait for it

        state = state or {}
        self.folder, self.every, self.batch_size = folder, every, batch_size
        self.sums: dict[str, Tensor] = dict(state.get("sums", {}))
        self.counts: dict[str, int] = dict(state.get("counts", {}))
        self.unwritten: list[str] = list(state.get("unwritten", []))
        self.lines, self.events = folder / "log.jsonl", folder / "tensorboard"
        self.written = self._drop_lines_after(first)
        self._excepthook = threading.excepthook
        threading.excepthook = self._show_failed_thread
        with naming(self.events):
            self.writer = SummaryWriter(str(self.events), purge_step=first + 1 if first else 0)
        self.bar = tqdm(total=steps, initial=first, unit="step", dynamic_ncols=True, disable=quiet, smoothing=0.05)

    def _drop_lines_after(self, step: int) -> set[tuple[int, str]]:
        """Lines of steps that are repeated would stand twice; a torn one tells nothing. Returns what is kept."""
        text, kept = "", {}
        if self.lines.exists():
            with naming(self.lines):
                text = self.lines.read_text(encoding="utf-8", errors="replace")
        for line in [*text.splitlines(), *self.unwritten] if step else ():  # a run that begins begins its log
            try:
                entry = json.loads(line)
                key = int(entry["step"]), str(entry["group"])
            except (ValueError, LookupError, TypeError):
                continue
            if key[0] <= step:
                kept[key] = line
        lines = "".join(f"{line}\n" for line in kept.values())
        if lines != text:
            write_text(self.lines, lines)
        self.unwritten.clear()
        return set(kept)

    def _show_failed_thread(self, failure: threading.ExceptHookArgs) -> None:
        # TensorBoard's writer thread hands its error to the next call; that it prints it as well helps nobody.
        if not type(failure.thread).__module__.startswith("tensorboard."):
            self._excepthook(failure)

    def state(self) -> dict[str, Any]:
        """What the next lines depend on, for a checkpoint."""
        sums = {name: value.cpu() for name, value in self.sums.items()}
        return {"sums": sums, "counts": dict(self.counts), "unwritten": list(self.unwritten)}

    def add(self, terms: Mapping[str, Tensor]) -> None:
        """Add a phase's unweighted terms."""
        for name, value in terms.items():
            total = self.sums.get(name, torch.zeros_like(value))
            self.sums[name] = total.to(value.device) + value.detach()
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
        self.sums.clear()
        self.counts.clear()
        self.scalars(step, values)

    def scalars(self, step: int, values: Mapping[str, float], group: str = "train") -> None:
        """Numbers to TensorBoard and to log.jsonl, unless they stand there already."""
        if (step, group) in self.written:
            return
        self.written = {(step, group)} | {key for key in self.written if key[0] == step}
        self.unwritten.append(json.dumps({"step": step, "group": group, **values}))
        with naming(self.lines), self.lines.open("a", encoding="utf-8") as stream:
            stream.write("".join(f"{line}\n" for line in self.unwritten))
        self.unwritten.clear()
        with naming(self.events):
            for name, value in values.items():
                self.writer.add_scalar(f"{group}/{name}", value, step)

    def histograms(self, step: int, values: Mapping[str, Tensor]) -> None:
        """Distributions to TensorBoard."""
        with naming(self.events):
            for name, value in values.items():
                self.writer.add_histogram(name, value.detach().float().cpu(), step)

    def picture_path(self, step: int, kind: str = "previews") -> Path:
        """File of a preview, or of a picture of another kind."""
        return self.folder / kind / f"step-{step:07d}.png"

    def picture(self, step: int, image: Tensor, kind: str = "previews") -> Path:
        """The preview, or a picture of another kind, as PNG in the run folder and in TensorBoard."""
        path = self.picture_path(step, kind)
        picture = to_pillow(image)
        write_atomically(path, lambda temporary: picture.save(temporary, format="PNG"))
        with naming(self.events):
            self.writer.add_image(kind, image.detach().cpu().float().add(1).div(2).clamp(0, 1), step)
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
        try:
            with naming(self.events):
                self.writer.close()
        except OSError:
            if error is None:  # else the first failure is the one to tell
                raise
        finally:
            threading.excepthook = self._excepthook
