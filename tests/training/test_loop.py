"""The loop: bit-exact resume, signals, accumulation, non-finite losses, pruning."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch
from torch.utils.data import Dataset

from tests.training.toy import ToyData, ToyMethod
from training.batches import batch_indices
from training.checkpoints import checkpoint_names
from training.loop import Interrupted, NonFiniteLoss, Trainer
from training.method import Batch, Method, Phase
from training.settings import TrainingSettings
from utils.config import ConfigError, Section
from utils.weights import WeightsError


def make(folder: Path, steps: int, seed: int = 0, method: Method | None = None, **settings: object) -> Trainer:
    torch.manual_seed(seed)
    chosen = TrainingSettings(steps=steps, batch_size=8, preview_every=4, checkpoint_every=3, **settings)  # type: ignore[arg-type]
    return Trainer(
        method or ToyMethod(), ToyData(), chosen, folder, {"toy": True}, torch.device("cpu"), quiet=True
    )


def everything(trainer: Trainer) -> dict[str, torch.Tensor]:
    state = dict(trainer.method.state_dict())
    for number, phase in enumerate(trainer.phases):
        for index, values in phase.optimiser.state_dict()["state"].items():
            state |= {f"{number}.{index}.{k}": torch.as_tensor(v) for k, v in values.items() if v is not None}
    return state | {"random": torch.get_rng_state()}


def test_a_resumed_run_equals_an_unbroken_one_bit_for_bit(tmp_path: Path) -> None:
    whole = make(tmp_path / "whole", 14, schedule="cosine", warmup_steps=3)
    whole.run()
    expected = everything(whole)

    first = make(tmp_path / "parts", 14, schedule="cosine", warmup_steps=3)
    first.settings = TrainingSettings(**{**vars(first.settings), "steps": 14})
    first.method.after_step = lambda step, original=first.method.after_step: (  # type: ignore[method-assign]
        original(step),
        os.kill(os.getpid(), signal.SIGTERM) if step == 7 else None,
    )
    with pytest.raises(Interrupted, match="SIGTERM after step 7 of 14"):
        first.run()
    second = make(tmp_path / "parts", 14, seed=99, schedule="cosine", warmup_steps=3)
    assert second.resume() == 7
    second.run()
    got = everything(second)
    assert expected.keys() == got.keys()
    assert all(torch.equal(expected[key], got[key]) for key in expected)
    assert first.method.seen + second.method.seen == whole.method.seen  # type: ignore[operator]


def test_a_signal_outside_training_is_not_swallowed(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    make(tmp_path, 2).run()
    assert signal.getsignal(signal.SIGINT) is before


def test_old_checkpoints_are_dropped_and_torn_files_never_appear(tmp_path: Path) -> None:
    trainer = make(tmp_path, 14, keep_checkpoints=2)
    trainer.run()
    assert checkpoint_names(trainer.checkpoints) == ["step-0000012", "step-0000014"]
    assert not list(tmp_path.rglob(".partial-*"))


def test_a_checkpoint_of_another_network_is_refused_with_its_keys(tmp_path: Path) -> None:
    make(tmp_path, 3).run()
    other = make(tmp_path, 6, method=ToyMethod(batch_norm=False))
    with pytest.raises(WeightsError, match=r"step-0000003.*network\."):
        other.resume()


def test_a_non_finite_loss_stops_and_keeps_what_was_saved(tmp_path: Path) -> None:
    trainer = make(tmp_path, 10, method=ToyMethod(explode_at=7))
    with pytest.raises(NonFiniteLoss, match=r"step 8, phase 'fit'.*fit = nan"):
        trainer.run()
    assert checkpoint_names(trainer.checkpoints) == ["step-0000003", "step-0000006"]
    assert (trainer.checkpoints / "failed-0000007.safetensors").is_file()
    assert all(torch.isfinite(p).all() for p in trainer.method.parameters())


def test_accumulation_equals_the_large_batch_without_batch_statistics(tmp_path: Path) -> None:
    states = []
    for accumulate in (1, 4):
        trainer = make(
            tmp_path / str(accumulate), 6, method=_seeded(), accumulate=accumulate, loss_weights={"size": 0.1}
        )
        trainer.run()
        states.append(trainer.method.state_dict())
    for key in states[0]:
        torch.testing.assert_close(states[0][key], states[1][key], rtol=1e-5, atol=1e-6)


def test_the_weight_of_no_term_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="loss_weights.siez: the method has no such term; did you mean 'size'"):
        make(tmp_path, 3, loss_weights={"siez": 0.1})


def test_a_training_in_which_no_term_counts_is_refused(tmp_path: Path) -> None:
    none = dict.fromkeys(ToyMethod.term_names, 0.0)
    with pytest.raises(ConfigError, match=r"training\.loss_weights: all terms \(fit, size.*\) are 0, so nothing"):
        make(tmp_path, 3, loss_weights=none)
    make(tmp_path, 3, loss_weights=none | {"size": 1.0})


def _seeded() -> ToyMethod:
    torch.manual_seed(3)
    return ToyMethod(batch_norm=False, dropout=0.0)


def test_only_the_phase_in_turn_asks_for_gradients(tmp_path: Path) -> None:
    trainer = make(tmp_path, 4)
    trainer.run()
    for step, names in enumerate(trainer.method.had_gradients):  # type: ignore[arg-type]
        kinds = {name.split(".")[0] for name in names}
        assert kinds == ({"other"} if step % 3 == 0 else {"network"})


def test_every_item_is_seen_once_an_epoch_in_an_order_that_depends_on_seed_and_step_only() -> None:
    order = [index for step in range(37) for index in batch_indices(1, 37, 8, step)]
    for epoch in range(8):
        assert sorted(order[37 * epoch : 37 * (epoch + 1)]) == list(range(37))
    assert order[:37] != order[37:74]
    assert batch_indices(1, 37, 8, 5) == order[40:48]
    assert batch_indices(2, 37, 8, 5) != order[40:48]


def test_without_shuffling_every_epoch_has_the_same_whole_batches() -> None:
    order = [batch_indices(1, 20, 6, step, shuffle=False) for step in range(7)]
    assert order[:3] == [list(range(first, first + 6)) for first in (0, 6, 12)] and order[3:6] == order[:3]
    assert order == [batch_indices(2, 20, 6, step, shuffle=False) for step in range(7)]
    assert batch_indices(0, 3, 8, 5, shuffle=False) == [0, 1, 2, 0, 1, 2, 0, 1]


def test_an_unshuffled_run_resumes_bit_for_bit(tmp_path: Path) -> None:
    whole = make(tmp_path / "whole", 11, shuffle=False)
    whole.run()
    size = len(ToyData()) // 8 * 8
    assert whole.method.seen[: 2 * size] == 2 * list(range(size))  # type: ignore[index]
    first = make(tmp_path / "parts", 11, shuffle=False)
    first.method.after_step = lambda step, original=first.method.after_step: (  # type: ignore[method-assign]
        original(step),
        os.kill(os.getpid(), signal.SIGTERM) if step == 5 else None,
    )
    with pytest.raises(Interrupted, match="after step 5 of 11"):
        first.run()
    second = make(tmp_path / "parts", 11, seed=99, shuffle=False)
    second.resume()
    second.run()
    expected, got = everything(whole), everything(second)
    assert expected.keys() == got.keys() and all(torch.equal(expected[key], got[key]) for key in expected)
    assert first.method.seen + second.method.seen == whole.method.seen  # type: ignore[operator]


class Mean(Method):
    """Learns at once."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(4))

    def fit(self, data: Dataset) -> dict[str, float]:
        assert isinstance(data, ToyData)
        self.mean = data.x.mean(0)
        return {"spread": float(data.x.std())}

    def phases(self) -> list[Phase]:
        return []

    def preview(self, batch: Batch) -> torch.Tensor:
        return torch.zeros(3, 4, 4)


def test_a_method_without_phases_learns_at_once_and_is_kept(tmp_path: Path) -> None:
    trainer = make(tmp_path, 0, method=Mean())
    trainer.run()
    torch.testing.assert_close(trainer.method.mean, ToyData().x.mean(0))
    again = make(tmp_path, 0, method=Mean())
    assert again.resume() == 0 and torch.equal(again.method.mean, trainer.method.mean)
    assert '"group": "fit", "spread"' in (tmp_path / "log.jsonl").read_text()


def test_what_is_fitted_at_once_is_fitted_before_the_first_step_alone(tmp_path: Path) -> None:
    class Fitted(ToyMethod):
        fits = 0

        def fit(self, data: Dataset) -> dict[str, float]:
            assert self.finished == 0
            self.fits += 1
            return {}

    first, later = Fitted(), Fitted()
    make(tmp_path, 3, method=first).run()
    resumed = make(tmp_path, 6, method=later)
    resumed.resume()
    resumed.run()
    assert (first.fits, later.fits) == (1, 0)


def test_steps_are_for_methods_that_learn_in_steps(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is 0, but the method is trained in steps"):
        make(tmp_path, 0)
    with pytest.raises(ConfigError, match="nothing to train in steps"):
        make(tmp_path, 1, method=Mean())


def test_learning_rate_follows_warm_up_and_cosine() -> None:
    settings = TrainingSettings(steps=12, batch_size=1, schedule="cosine", warmup_steps=2)
    factors = [settings.learning_rate_factor(step) for step in range(12)]
    assert factors[:3] == [0.5, 1.0, 1.0]
    assert factors[7] == pytest.approx(0.5) and factors[-1] < 0.03
    assert TrainingSettings(steps=9, batch_size=1).learning_rate_factor(8) == 1.0


@pytest.mark.parametrize("wrong", [{"steps": -1}, {"batch_size": 6, "accumulate": 4}, {"keep_checkpoints": 0}])
def test_settings_that_cannot_work_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        TrainingSettings.from_section(Section({"steps": 1, "batch_size": 4, **wrong}, "training"))
