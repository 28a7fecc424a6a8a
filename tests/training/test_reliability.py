"""What goes wrong around a training: disks, damaged files, previews that fail, a second training in its folder."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import train
from tests.training.test_loop import everything, make
from tests.training.toy import ToyMethod
from training.checkpoints import DamagedCheckpoint, checkpoint_names
from training.loop import Trainer
from training.method import Batch
from utils.config import Section
from utils.failures import described
from utils.locks import FolderInUse, only_writer

STEPS = 14


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Within, no file of this process can grow beyond `size` bytes: the nearest thing to a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class Disturbed(ToyMethod):
    """Does something after a step; its preview may fail."""

    def __init__(self, at: int = -1, act: Callable[[], object] = lambda: None, wrong: Exception | None = None) -> None:
        super().__init__()
        self.at, self.act, self.wrong = at, act, wrong

    def after_step(self, step: int) -> None:
        super().after_step(step)
        if step == self.at:
            self.act()

    def validate(self, batch: Batch) -> dict[str, float]:
        return {"weight": float(self.other.weight.sum())}

    def preview(self, batch: Batch) -> Tensor:
        if self.wrong is not None:
            raise self.wrong
        return super().preview(batch)


def build(folder: Path, *disturbance: Any, seed: int = 0, wrong: Exception | None = None) -> Trainer:
    """A trainer of 14 steps; `disturbance` is the step after which something is done, and what."""
    torch.manual_seed(seed)
    return make(folder, STEPS, seed, Disturbed(*disturbance, wrong=wrong), log_every=5)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    trainer = build(tmp_path_factory.mktemp("unbroken"))
    trainer.run()
    trainer.last = {key: value.clone() for key, value in everything(trainer).items()}  # type: ignore[attr-defined]
    return trainer


def stopped_after(folder: Path, step: int) -> None:
    """A run folder as a kill in the step after a checkpoint leaves it."""
    with pytest.raises(KeyboardInterrupt):
        build(folder, step + 1, interrupt).run()
    assert checkpoint_names(folder / "checkpoints")[-1] == f"step-{step:07d}"


def interrupt() -> None:
    raise KeyboardInterrupt


def lines(folder: Path) -> list[str]:
    return (folder / "log.jsonl").read_text().splitlines()


def assert_equal(trainer: Trainer, unbroken: Trainer) -> None:
    expected, got = unbroken.last, everything(trainer)  # type: ignore[attr-defined]
    assert expected.keys() == got.keys()
    assert all(torch.equal(expected[key], got[key]) for key in expected)
    assert lines(trainer.folder) == lines(unbroken.folder)
    assert not list(trainer.folder.rglob(".partial-*"))


def resumed(folder: Path) -> Trainer:
    trainer = build(folder, seed=99)
    trainer.resume()
    trainer.run()
    return trainer


def test_a_full_disk_leaves_what_was_saved_and_the_run_goes_on_when_there_is_room(
    tmp_path: Path, unbroken: Trainer
) -> None:
    trainer = build(tmp_path)
    trainer.method.after_step = lambda step: (  # type: ignore[method-assign]
        ToyMethod.after_step(trainer.method, step),  # type: ignore[arg-type]
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY)) if step == 6 else None,
    )
    with file_size_limit(resource.RLIM_INFINITY), pytest.raises(OSError) as caught:
        trainer.run()
    assert re.search(r"step-0000006\.state\.pt: the file would be larger than allowed", described(caught.value))
    assert checkpoint_names(trainer.checkpoints) == ["step-0000003"]
    assert sorted(path.name for path in trainer.checkpoints.iterdir()) == [
        "step-0000003.safetensors", "step-0000003.state.pt"
    ]  # fmt: skip
    assert_equal(resumed(tmp_path), unbroken)


def test_weights_that_do_not_fit_take_their_state_with_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = build(tmp_path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "weights")

    monkeypatch.setattr("training.checkpoints.save_weights", full)
    with pytest.raises(OSError, match="No space left"):
        trainer.run()
    assert not list(trainer.checkpoints.iterdir())


def test_errors_of_tensorboards_thread_are_one_sentence_and_lose_no_step(
    tmp_path: Path, unbroken: Trainer, capfd: pytest.CaptureFixture[str]
) -> None:
    events = tmp_path / "tensorboard"

    def spoil() -> None:
        shutil.rmtree(events)
        events.write_text("no folder")

    with pytest.raises(OSError) as caught:
        build(tmp_path, 5, spoil).run()
    assert described(caught.value).startswith(str(events))
    assert "Traceback" not in capfd.readouterr().err
    events.unlink()
    assert_equal(resumed(tmp_path), unbroken)


@pytest.mark.parametrize("step", [3, 6, 12])
def test_the_log_of_a_resumed_run_is_that_of_an_unbroken_one(tmp_path: Path, unbroken: Trainer, step: int) -> None:
    stopped_after(tmp_path, step)
    (tmp_path / f"previews/step-{step:07d}.png").unlink(missing_ok=True)  # stopped before it was drawn
    assert_equal(resumed(tmp_path), unbroken)


@pytest.mark.parametrize("end", ['{"step": 1', '{"step": 10}\n', "\0\0\n", "[]\n", '{"step": "x", "group": "y"}\n'])
def test_a_torn_line_of_the_log_blocks_nothing(tmp_path: Path, unbroken: Trainer, end: str) -> None:
    stopped_after(tmp_path, 6)
    with (tmp_path / "log.jsonl").open("ab") as stream:
        stream.write(end.encode() + b"\xff\xfe")
    assert_equal(resumed(tmp_path), unbroken)


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _empty(path: Path) -> None:
    os.truncate(path, 0)


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-100 if path.suffix == ".safetensors" else len(data) // 2] ^= 16
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [_cut, _empty, _flip, Path.unlink])
@pytest.mark.parametrize("suffix", [".safetensors", ".state.pt"])
def test_a_damaged_checkpoint_is_passed_over(
    tmp_path: Path, unbroken: Trainer, suffix: str, damage: Callable[[Path], None]
) -> None:
    stopped_after(tmp_path, 9)
    damage(tmp_path / f"checkpoints/step-0000009{suffix}")
    trainer = build(tmp_path, seed=99)
    assert trainer.resume() == 6
    if (suffix, damage) != (".safetensors", Path.unlink):  # which looks like one that was never finished
        assert len(trainer.passed_over) == 1 and "step-0000009" in trainer.passed_over[0]
        assert list((tmp_path / "checkpoints").glob("damaged-0000009.*"))
    trainer.run()
    assert_equal(trainer, unbroken)
    assert checkpoint_names(trainer.checkpoints) == ["step-0000009", "step-0000012", "step-0000014"]


def test_without_any_whole_checkpoint_nothing_is_touched(tmp_path: Path) -> None:
    stopped_after(tmp_path, 6)
    for path in (tmp_path / "checkpoints").glob("*.safetensors"):
        _cut(path)
    before = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    with pytest.raises(DamagedCheckpoint, match=r"no whole checkpoint.*step-0000006.*step-0000003"):
        build(tmp_path).resume()
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == before


@pytest.mark.parametrize("wrong", [ValueError("no\nface"), MemoryError(), torch.cuda.OutOfMemoryError(), OSError("x")])
def test_a_preview_that_fails_costs_nothing_else(
    tmp_path: Path, unbroken: Trainer, wrong: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = build(tmp_path, wrong=wrong)
    trainer.run()
    assert_equal(trainer, unbroken)
    assert f"step 4: warning: no preview ({type(wrong).__name__}" in capsys.readouterr().out


def test_the_state_is_saved_when_a_preview_fails(tmp_path: Path) -> None:
    trainer = build(tmp_path, 5, interrupt, wrong=ValueError("no face"))
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    assert checkpoint_names(trainer.checkpoints) == ["step-0000003", "step-0000004"]


def command(monkeypatch: pytest.MonkeyPatch, folder: Path, *disturbance: Any, resume: bool = False) -> int:
    """Exit status of train.py with the toy method in the place of a config's."""
    config = Section({"toy": True}, "toy.yaml")
    monkeypatch.setattr(train, "read_config", lambda options: config)
    monkeypatch.setattr(train, "build_trainer", lambda *_: (build(folder, *disturbance), None))
    monkeypatch.setattr(train, "report_alignment", lambda *_, **__: None)  # the toy has no domain
    return train.main([*(("--resume", str(folder)) if resume else ("--config", "toy.yaml", "--run", str(folder)))])


def test_the_command_says_in_one_sentence_that_the_disk_is_full_and_how_to_go_on(
    tmp_path: Path, unbroken: Trainer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    with file_size_limit(2000):
        assert command(monkeypatch, folder) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and said[0].startswith(f"train.py: {folder}/checkpoints/step-0000003.state.pt: the file")
    assert said[0].endswith(f"continue with: python train.py --resume {folder}")
    assert command(monkeypatch, folder, resume=True) == 0
    assert "no checkpoint yet: starting from the beginning" in capsys.readouterr().out
    assert lines(folder) == lines(unbroken.folder)
    assert command(monkeypatch, folder, resume=True) == 0  # nothing is left to do
    assert lines(folder) == lines(unbroken.folder)


def test_the_command_goes_back_to_the_last_whole_checkpoint_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stopped_after(tmp_path, 6)
    _cut(tmp_path / "checkpoints/step-0000006.state.pt")
    assert command(monkeypatch, tmp_path, resume=True) == 0
    said = capsys.readouterr()
    assert re.search(r"step-0000006\.state\.pt: .*going back to step 3", said.err)
    assert "after step 3" in said.out


def test_the_command_removes_what_a_killed_one_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped_after(tmp_path, 6)
    litter = [
        tmp_path / "checkpoints/step-0000009.state.pt",
        tmp_path / "checkpoints/.partial-abcdefgh.pt",
        tmp_path / "previews/.partial-abcdefgh.png",
    ]
    for path in litter:
        path.touch()
        os.utime(path, (0, 0))
    assert command(monkeypatch, tmp_path, resume=True) == 0
    assert not any(path.exists() for path in litter[1:])
    assert not list(tmp_path.rglob("step-0000009.state.pt")) or litter[0].stat().st_size


@pytest.mark.parametrize("resume", [False, True])
def test_two_trainings_do_not_share_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], resume: bool
) -> None:
    stopped_after(tmp_path, 6)
    with only_writer(tmp_path, "train.py"):
        assert command(monkeypatch, tmp_path, resume=resume) == 2
    said = capsys.readouterr().err
    assert re.search(rf"in use: train\.py, process {os.getpid()} on .*, started \d{{4}}-\d\d-\d\d", said)
    assert issubclass(FolderInUse, ValueError)


def test_out_of_memory_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def exhaust() -> None:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory")

    assert command(monkeypatch, tmp_path, 5, exhaust) == 1
    assert re.fullmatch(r"train\.py: out of memory: .*accumulate.*--resume .*\n", capsys.readouterr().err)


def test_a_worker_that_dies_does_not_break_a_step(tmp_path: Path) -> None:
    trainer = build(tmp_path, 5, lambda: [os.kill(one.pid, signal.SIGKILL) for one in active_children()])
    trainer.settings = replace(trainer.settings, workers=1)
    finished = []
    step = trainer.train_step

    def counted(*arguments: Any) -> None:
        step(*arguments)
        finished.append(trainer.step)

    trainer.train_step = counted  # type: ignore[method-assign]
    with pytest.raises(Exception, match="a process that reads data ended"):
        trainer.run()
    assert finished[-1] == trainer.step >= 5
