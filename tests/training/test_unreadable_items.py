"""A picture goes bad in the midst of a training: what was reached is saved, and one sentence says why it stopped."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torch.utils.data._utils import signal_handling

import train
from tests.training.toy import ToyData, ToyMethod
from training.batches import batch_indices
from training.checkpoints import checkpoint_names
from training.loop import Trainer, UnreadableItem
from training.settings import TrainingSettings
from utils.photos import PhotoError

STEPS, BATCH = 9, 8
ITEM = batch_indices(0, len(ToyData()), BATCH, 4)[3]  # read in the fifth step, unless it is read before


class Damaged(ToyData):
    """Toy data of which one item cannot be read any more."""

    def __init__(self, item: int, error: Exception | None = None) -> None:
        super().__init__()
        self.item, self.error = item, error

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        if index == self.item:
            if self.error is None:
                os.kill(os.getpid(), signal.SIGKILL)
            else:
                raise self.error
        return super().__getitem__(index)


def make(folder: Path, data: ToyData, workers: int = 0, **settings: int) -> Trainer:
    torch.manual_seed(0)
    values = {"preview_every": 100, "checkpoint_every": 100, "preview_images": 1, **settings}
    chosen = TrainingSettings(steps=STEPS, batch_size=BATCH, workers=workers, **values)
    return Trainer(ToyMethod(), data, chosen, folder, {}, torch.device("cpu"), ToyData(), quiet=True)


def first_step_with(item: int) -> int:
    return next(step for step in range(STEPS) if item in batch_indices(0, len(ToyData()), BATCH, step))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("error", [PhotoError("pictures/3.png: the file is empty"), OSError(5, "Input/output error")])
def test_training_stops_with_its_state_and_goes_on_bit_for_bit(
    tmp_path: Path, workers: int, error: Exception
) -> None:
    whole = make(tmp_path / "whole", ToyData())
    whole.run()
    done = first_step_with(ITEM)
    assert done > 0
    stopped = make(tmp_path / "run", Damaged(ITEM, error), workers)
    with pytest.raises(UnreadableItem) as caught:
        stopped.run()
    assert str(caught.value) == f"stopped after step {done} of {STEPS}: {error}"
    assert checkpoint_names(stopped.checkpoints) == [f"step-{done:07d}"]
    resumed = make(tmp_path / "run", ToyData(), workers)
    assert resumed.resume() == done
    resumed.run()
    expected, got = whole.method.state_dict(), resumed.method.state_dict()
    assert all(torch.equal(expected[key], got[key]) for key in expected)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
@pytest.mark.parametrize("another_loader", [False, True])
def test_a_killed_worker_costs_no_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, another_loader: bool
) -> None:
    monkeypatch.setattr(signal_handling, "_SIGCHLD_handler_set", False)  # as in a new process
    if another_loader:  # in the same process, so that PyTorch's handler is there already
        assert len(list(DataLoader(ToyData(), batch_size=20, num_workers=1))) == 2
    trainer = make(tmp_path, Damaged(ITEM), workers=1)
    slow_step = trainer.method.before_step
    trainer.method.before_step = lambda step: (time.sleep(0.2), slow_step(step))  # type: ignore[method-assign]
    with pytest.raises(UnreadableItem, match="process that reads data ended .*too little memory") as caught:
        trainer.run()
    assert "\n" not in str(caught.value)
    assert checkpoint_names(trainer.checkpoints) == [f"step-{trainer.step:07d}"]
    assert "torch" not in getattr(signal.getsignal(signal.SIGCHLD), "__module__", "")


def test_a_bad_picture_of_the_validation_set_costs_no_step(tmp_path: Path) -> None:
    trainer = make(tmp_path, ToyData(), preview_every=4)
    trainer.validation = Damaged(5, PhotoError("a.png: damaged"))
    with pytest.raises(UnreadableItem, match=f"after step 4 of {STEPS}: a.png: damaged"):
        trainer.run()
    assert checkpoint_names(trainer.checkpoints) == ["step-0000004"]


def test_other_errors_are_not_taken_for_bad_pictures(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        make(tmp_path, Damaged(ITEM, ZeroDivisionError("a mistake"))).run()


@pytest.mark.parametrize("workers", [0, 2])
def test_the_command_says_it_in_two_lines(
    tiny_domain_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    workers: int,
) -> None:  # fmt: skip
    (tmp_path / "pictures").mkdir()
    rows = ["picture,Eyeglasses,Male,Young,Smiling,Wavy_Hair"]
    for number in range(12):
        Image.new("RGB", (32, 32), (20 * number, 90, 90)).save(tmp_path / f"pictures/{number}.png")
        rows.append(f"{number},1,0,1,0,1")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    (tmp_path / "config.yaml").write_text(
        f"domain: {tiny_domain_folder / 'domain.yaml'}\n"
        f"data: {{name: labelled_folder, folder: {tmp_path}/pictures, table: {tmp_path}/labels.csv}}\n"
        "method: {name: classifier, part: teacher, labels: labels, learning_rate: 1.0e-3}\n"
        f"training: {{steps: 6, batch_size: 4, preview_images: 2, workers: {workers}}}\n"
    )
    item = batch_indices(0, 12, 4, 2)[0]  # of the third step
    check = train.check_pictures

    def damage_later(*data: object) -> None:
        check(*data)
        (tmp_path / f"pictures/{item}.png").write_bytes(b"")

    with monkeypatch.context() as patch:
        patch.setattr(train, "check_pictures", damage_later)
        assert train.main(["--config", str(tmp_path / "config.yaml"), "--run", str(tmp_path / "run"), "--quiet"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[0].endswith(f"after step 2 of 6: {tmp_path}/pictures/{item}.png: the file is empty")
    assert said[1].endswith(f"train.py --resume {tmp_path}/run") and len(said) == 2
    Image.new("RGB", (32, 32)).save(tmp_path / f"pictures/{item}.png")
    assert train.main(["--resume", str(tmp_path / "run"), "--quiet"]) == 0
