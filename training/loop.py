"""The one training loop: phases of loss terms, weighted, summed and stepped, with previews, checkpoints and resume."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import torch

from training.batches import Unreadable, collate, read_item, step_loader
from training.checkpoints import checkpoint_names, prune_checkpoints, restore_checkpoint, save_checkpoint
from training.logging import RunLog
from training.method import Batch, Items, Method, Phase
from training.settings import TrainingSettings
from utils.config import ConfigError, nearest
from utils.paths import displayed
from utils.weights import save_weights


class NonFiniteLoss(ArithmeticError):
    """A loss term is NaN or infinite, or a computation failed; the state before the step is saved."""


class UnreadableItem(Exception):
    """An item of the data cannot be read any more; everything up to the last finished step is saved."""


class Interrupted(Exception):
    """The run was asked to stop; everything up to the last finished step is saved."""


class Trainer:
    """Trains a method on a dataset into a run folder.

    Args:
        validation: dataset of the preview pictures and measures; the training data's first items where there is none.
        config: the resolved config, stored in every checkpoint.
    """

    def __init__(
        self,
        method: Method,
        data: Items,
        settings: TrainingSettings,
        folder: Path,
        config: Mapping[str, Any],
        device: torch.device,
        validation: Items | None = None,
        quiet: bool = False,
    ) -> None:
        for source in (data, validation):
            if source is not None:
                method.check_data(source)
        for name in settings.loss_weights:
            if name not in method.term_names:
                raise ConfigError(
                    f"training.loss_weights.{name}: the method has no such term{nearest(name, method.term_names)}"
                )
        self.method = method.to(device)
        self.data, self.validation = data, validation
        self.settings, self.folder, self.config, self.device = settings, folder, dict(config), device
        self.quiet = quiet
        self.phases = method.phases()
        if bool(self.phases) != bool(settings.steps):
            steps = "has nothing to train in steps" if settings.steps else "is trained in steps"
            raise ConfigError(f"training.steps is {settings.steps}, but the method {steps}")
        if self.phases:  # a method without phases has its result only after `fit`
            method.check_result()
        self.base_rates = {
            id(phase.optimiser): [group["lr"] for group in phase.optimiser.param_groups] for phase in self.phases
        }
        self.step = 0

    @property
    def checkpoints(self) -> Path:
        """Folder of the run's checkpoints."""
        return self.folder / "checkpoints"

    def resume(self) -> int:
        """Continue from the last whole checkpoint; returns its step.

        Raises:
            FileNotFoundError: the run has none.
        """
        names = checkpoint_names(self.checkpoints)
        if not names:
            raise FileNotFoundError(f"{displayed(self.checkpoints)}: no checkpoint to resume from")
        self.step = restore_checkpoint(self.checkpoints, names[-1], self.method, self.phases)
        return self.step

    def run(self) -> None:
        """Train to `settings.steps`.

        Raises:
            NonFiniteLoss: a term is NaN or infinite.
            UnreadableItem: a picture or a shard went bad.
            Interrupted: SIGINT or SIGTERM came.
        """
        settings = self.settings
        loader = step_loader(
            self.data,
            settings.batch_size,
            settings.seed,
            self.step,
            settings.steps,
            settings.workers,
            self.device.type == "cuda",
        )
        with (
            RunLog(
                self.folder, settings.steps, self.step, settings.batch_size, settings.log_every, self.quiet
            ) as log,
            _deferred_signals() as received,
        ):
            if not self.step:
                self._fit(log)
            for batch in self._batches(loader):
                self.train_step({key: value.to(self.device) for key, value in batch.items()}, log)
                log.step(self.step, self.method.status())
                last = self.step == settings.steps
                if self.step % settings.preview_every == 0 or last:
                    self._show(log)
                if self.step % settings.checkpoint_every == 0 or last or received:
                    self.save()
                if received and not last:
                    raise Interrupted(f"stopped by {received[0]} after step {self.step} of {settings.steps}")
        for name, (state, metadata) in self.method.exports().items():
            save_weights(self.folder / f"{name}.safetensors", state, {**metadata, **self._provenance()})

    def _batches(self, loader: Iterable[Batch | Unreadable]) -> Iterator[Batch]:
        """What the loader yields, until it cannot.

        Raises:
            UnreadableItem: an item is unreadable, or a worker process died.
        """
        try:
            for batch in _without_child_handler(loader):
                if isinstance(batch, Unreadable):
                    self._stop_reading(batch.reason)
                yield batch
        except (EOFError, OSError, RuntimeError) as error:  # of the loader: in a generator, a step's do not come here
            if isinstance(error, RuntimeError) and "DataLoader worker" not in str(error):
                raise
            why = str(error).partition("\n")[0] or type(error).__name__
            self._stop_reading(
                f"a process that reads data ended ({why.rstrip('. ')}); perhaps there is too little memory for "
                f"training.workers={self.settings.workers}, 0 reads in the training process"
            )

    def _stop_reading(self, why: str) -> NoReturn:
        if self.step:
            self.save()
        raise UnreadableItem(f"stopped after step {self.step} of {self.settings.steps}: {why}")

    def _provenance(self) -> dict[str, Any]:
        return {"config": self.config, "step": self.step}

    def save(self) -> Path:
        """Write a checkpoint of the present state and drop the oldest ones."""
        name = f"step-{self.step:07d}"
        path = save_checkpoint(self.checkpoints, name, self.method, self.phases, self.step, self.config)
        prune_checkpoints(self.checkpoints, self.settings.keep_checkpoints)
        return path

    def _fit(self, log: RunLog) -> None:
        measures = self.method.fit(self.data)
        if measures:
            log.scalars(0, measures, "fit")
            log.say(f"fitted: {_listed(measures)}")
        if not self.settings.steps:
            self._show(log)
            self.save()

    def train_step(self, batch: Batch, log: RunLog) -> None:
        """One optimiser step of every phase whose turn it is, on a batch that lies on the device."""
        self.method.train()
        self.method.before_step(self.step)
        factor = self.settings.learning_rate_factor(self.step)
        for phase in self.phases:
            if self.step % phase.every:
                continue
            for group, rate in zip(phase.optimiser.param_groups, self.base_rates[id(phase.optimiser)], strict=True):
                group["lr"] = rate * factor
            self._accumulate_gradients(phase, batch, log)
            phase.optimiser.step()
        self.step += 1
        self.method.after_step(self.step)

    def _accumulate_gradients(self, phase: Phase, batch: Batch, log: RunLog) -> None:
        learning = {id(parameter) for parameter in phase.parameters}
        for parameter in self.method.parameters():
            parameter.requires_grad_(id(parameter) in learning)
        phase.optimiser.zero_grad(set_to_none=True)
        portions = self.settings.accumulate
        size = self.settings.batch_size // portions
        for index in range(portions):
            portion = {key: value[index * size : (index + 1) * size] for key, value in batch.items()}
            try:
                terms = self.method.losses(phase.name, portion)
            except FloatingPointError as error:
                self._stop_at(phase, str(error))
            weighted = [self.settings.loss_weights.get(name, 1.0) * value for name, value in terms.items()]
            total = torch.stack(weighted).sum() / portions
            if not torch.isfinite(total):
                shown = ", ".join(f"{name} = {float(value.detach()):.4g}" for name, value in terms.items())
                self._stop_at(phase, f"the loss is not finite ({shown})")
            total.backward()
            log.add(terms)

    def _stop_at(self, phase: Phase, why: str) -> NoReturn:
        name = f"failed-{self.step:07d}"
        path = save_checkpoint(self.checkpoints, name, self.method, self.phases, self.step, self.config)
        raise NonFiniteLoss(
            f"step {self.step + 1}, phase '{phase.name}': {why}; "
            f"the state before the step is in {displayed(path)}, earlier checkpoints are untouched"
        )

    def _show(self, log: RunLog) -> None:
        """Preview, measures and histograms, in evaluation mode and without touching the random state of training."""
        self.method.eval()
        source = self.validation if self.validation is not None else self.data
        with torch.random.fork_rng(devices=[] if self.device.type != "cuda" else None), torch.no_grad():
            torch.manual_seed(0)
            measures = self.method.validate(self._items(source, 256))
            preview = self.method.preview(self._items(source, self.settings.preview_images))
        if measures:
            log.scalars(self.step, measures, "validation")
            log.say(f"step {self.step}: {_listed(measures)}")
        log.histograms(self.step, self.method.histograms())
        path = log.picture(self.step, preview)
        log.say(f"step {self.step}: preview in {displayed(path)}")

    def _items(self, source: Items, count: int) -> Batch:
        count = min(count, len(source))  # type: ignore[arg-type]
        batch = collate([read_item(source, index) for index in range(count)])
        if isinstance(batch, Unreadable):
            self._stop_reading(batch.reason)
        return {key: value.to(self.device) for key, value in batch.items()}


def _listed(measures: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in measures.items())


def _without_child_handler(loader: Iterable[Batch | Unreadable]) -> Iterator[Batch | Unreadable]:
    """The loader's iterator without PyTorch's handler of SIGCHLD, which raises in the midst of a step where a worker
    dies; the loader itself notices that between two steps."""
    if not hasattr(signal, "SIGCHLD"):
        return iter(loader)
    previous = signal.getsignal(signal.SIGCHLD)
    try:
        return iter(loader)
    finally:
        signal.signal(signal.SIGCHLD, previous)


@contextmanager
def _deferred_signals() -> Iterator[list[str]]:
    """While open, SIGINT and SIGTERM are noted in the yielded list instead of ending the program at once."""
    received: list[str] = []

    def note(number: int, frame: FrameType | None) -> None:
        if received and number == signal.SIGINT:  # a second Ctrl-C means now
            raise KeyboardInterrupt
        received.append(signal.Signals(number).name)

    previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
