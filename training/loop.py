"""The one training loop: phases of loss terms, weighted, summed and stepped, with previews, checkpoints and resume."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import torch
from torch import Tensor

from training.batches import Unreadable, collate, read_item, step_loader
from training.checkpoints import (
    DamagedCheckpoint,
    prune_checkpoints,
    put_aside,
    random_state,
    read_checkpoint,
    restore_checkpoint,
    restore_random_state,
    save_checkpoint,
    weights_names,
)
from training.logging import RunLog
from training.method import Batch, Items, Method, Phase
from training.settings import TrainingSettings
from utils.config import ConfigError, nearest
from utils.failures import described
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

    Attributes:
        passed_over: why newer checkpoints than the one that was resumed from could not be used.
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
        terms = method.terms or method.term_names
        if terms and not any(settings.loss_weights.get(name, 1.0) for name in terms):
            raise ConfigError(f"training.loss_weights: all terms ({', '.join(terms)}) are 0, so nothing would learn")
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
        self.saved_step = -1
        self.log: RunLog | None = None
        self.log_state: dict[str, Any] = {}
        self.passed_over: list[str] = []

    @property
    def checkpoints(self) -> Path:
        """Folder of the run's checkpoints."""
        return self.folder / "checkpoints"

    def resume(self) -> int:
        """Continue from the last whole checkpoint, and put damaged ones after it aside; returns its step.

        Raises:
            FileNotFoundError: the run has none.
            DamagedCheckpoint: it has, but none is whole.
            WeightsError: the last whole one is of another network.
        """
        names = weights_names(self.checkpoints)
        if not names:
            raise FileNotFoundError(f"{displayed(self.checkpoints)}: no checkpoint to resume from")
        while names:
            try:
                checkpoint = read_checkpoint(self.checkpoints, names[-1])
            except DamagedCheckpoint as damage:
                self.passed_over.append(str(damage))
                names.pop()
                continue
            restore_checkpoint(checkpoint, self.method, self.phases)
            for name in weights_names(self.checkpoints)[len(names) :]:
                put_aside(self.checkpoints, name)
            self.step = self.saved_step = checkpoint.step
            self.log_state = checkpoint.state.get("log", {})
            return self.step
        raise DamagedCheckpoint(
            f"{displayed(self.checkpoints)}: no whole checkpoint to resume from ({'; '.join(self.passed_over)})"
        )

    def run(self) -> None:
        """Train to `settings.steps`.

        Raises:
            NonFiniteLoss: a term is NaN or infinite.
            UnreadableItem: a picture or a shard went bad.
            Interrupted: SIGINT or SIGTERM came.
            OSError: the run folder cannot be written.
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
            settings.shuffle,
        )
        with (
            RunLog(
                self.folder, settings.steps, self.step, settings.batch_size, settings.log_every, self.quiet,
                self.log_state,
            ) as log,
            _deferred_signals() as received,
        ):  # fmt: skip
            self.log = log
            if not self.step:
                self._fit(log)
            elif self._is_preview_due() and not log.picture_path(self.step).exists():
                self._show(log)  # the run stopped after the state was saved and before this
            try:
                for batch in self._batches(loader):
                    self.train_step({key: value.to(self.device) for key, value in batch.items()}, log)
                    log.step(self.step, self.method.status())
                    last = self.step == settings.steps
                    if self.step % settings.checkpoint_every == 0 or last or received:
                        self.save()
                    if received and not last:
                        raise Interrupted(f"stopped by {received[0]} after step {self.step} of {settings.steps}")
                    if self._is_preview_due():
                        self._show(log)
            except OSError:  # the folder is at fault, the state is not
                with suppress(OSError):
                    self.save()
                raise
        for name, (state, metadata) in self.method.exports().items():
            save_weights(self.folder / f"{name}.safetensors", state, {**metadata, **self._provenance()})

    def _batches(self, loader: Iterable[Batch | Unreadable]) -> Iterator[Batch]:
        """What the loader yields, until it cannot.

        Raises:
            UnreadableItem: an item is unreadable, or a worker process died.
        """
        try:
            for batch in loader:
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

    def save(self) -> None:
        """Write a checkpoint of the present state and drop the oldest ones."""
        if self.step == self.saved_step:
            return
        self._save(f"step-{self.step:07d}")
        self.saved_step = self.step
        prune_checkpoints(self.checkpoints, self.settings.keep_checkpoints)

    def _save(self, name: str) -> Path:
        log = self.log.state() if self.log is not None else {}
        return save_checkpoint(self.checkpoints, name, self.method, self.phases, self.step, self.config, log)

    def _fit(self, log: RunLog) -> None:
        measures = self.method.fit(self.data)
        if measures:
            log.scalars(0, measures, "fit")
            log.say(f"fitted: {_listed(measures)}")
        if not self.settings.steps:
            self.save()
            self._show(log)

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
        try:
            kept = f"the state before the step is in {displayed(self._save(f'failed-{self.step:07d}'))}"
        except OSError as error:
            kept = f"the state before the step could not be saved ({described(error)})"
        raise NonFiniteLoss(
            f"step {self.step + 1}, phase '{phase.name}': {why}; {kept}, earlier checkpoints are untouched"
        )

    def _is_preview_due(self) -> bool:
        return self.step % self.settings.preview_every == 0 or self.step == self.settings.steps

    def _show(self, log: RunLog) -> None:
        """Preview, measures and histograms, in evaluation mode and without touching the random state of training.

        What fails is said and costs nothing but the preview: the state is saved, and the training goes on.

        Raises:
            OSError: the run folder cannot be written.
        """
        self.method.eval()
        before = random_state()
        measures: Mapping[str, float] = {}
        histograms: Mapping[str, Tensor] = {}
        preview: Tensor | None = None
        further: Mapping[str, Tensor] = {}
        with self._going_on(log), torch.no_grad():
            torch.manual_seed(0)
            source = self.validation if self.validation is not None else self.data
            measures = self.method.validate(self._items(source, 256))
            histograms = self.method.histograms()
            if self.settings.preview_images:
                preview = self.method.preview(self._items(source, self.settings.preview_images))
                further = self.method.further_pictures()
        restore_random_state(before)
        with self._going_on(log, (UnreadableItem, OSError)):
            if measures:
                log.scalars(self.step, measures, "validation")
                log.say(f"step {self.step}: {_listed(measures)}")
            log.histograms(self.step, histograms)
            if preview is not None:
                path = log.picture(self.step, preview)
                log.say(f"step {self.step}: preview in {displayed(path)}")
            for kind, picture in further.items():
                log.picture(self.step, picture, kind)

    @contextmanager
    def _going_on(
        self, log: RunLog, unless: tuple[type[Exception], ...] = (UnreadableItem,)
    ) -> Iterator[None]:
        """Errors within of any kind (out of memory, a mistake in the method) are only said."""
        try:
            yield
        except unless:
            raise
        except Exception as error:
            self.save()
            reason = f"{type(error).__name__}: {described(error).partition(chr(10))[0]:.300s}"
            log.say(f"step {self.step}: warning: no preview ({reason}); the state is saved, the training goes on")

    def _items(self, source: Items, count: int) -> Batch:
        count = min(count, len(source))  # type: ignore[arg-type]
        batch = collate([read_item(source, index) for index in range(count)])
        if isinstance(batch, Unreadable):
            self._stop_reading(batch.reason)
        return {key: value.to(self.device) for key, value in batch.items()}


def _listed(measures: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in measures.items())


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
