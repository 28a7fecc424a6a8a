"""Classifiers and recognition networks: what they are drawn to, what they count, what they hand on."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from criteria.margin_softmax import margin_softmax
from models import NETWORKS
from models.domain import Domain
from training.augment import Augmentation, blurred, shifted
from training.layout import channels_last, is_channels_last
from training.loop import Trainer
from training.methods.classifier import ClassifierMethod
from training.methods.identity import IdentityMethod, pair_cosines
from training.settings import TrainingSettings
from utils.config import ConfigError, Section
from utils.weights import load_strict

ATTRIBUTES = ["Male", "Young", "Smiling"]


def small_domain(**changes: Any) -> Domain:
    classifier = {"name": "attribute_classifier", "width": 8, "attribute_heads": 3, "age_logits": 0, "head_width": 8}
    identity = {"name": "iresnet_identity", "layers": [1, 1, 1, 1], "width": 8, "input_side": 16, "embedding_dim": 8}
    config = {
        "name": "toy",
        "attributes": ATTRIBUTES,
        "image_side": 16,
        "judge": {**classifier, "backbone": "r18"},
        "identity": {**identity, "crop": None},
    }
    return Domain(Section(config | changes))


class Channels(Dataset):
    """Pictures whose three channels' means are the values, under noise."""

    def __len__(self) -> int:
        return 512

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        random = torch.Generator().manual_seed(index)
        values = torch.rand(3, generator=random)
        image = 2 * values[:, None, None] - 1 + 0.1 * torch.randn(3, 16, 16, generator=random)
        return {"image": image, "values": values, "labels": (values > 0.5).float(), "identity": torch.tensor(index % 8)}


class Fixed(nn.Module):
    """Gives the same answers to whatever it sees."""

    def __init__(self, answers: Tensor) -> None:
        super().__init__()
        self.answers = answers

    def forward(self, image: Tensor) -> Tensor:
        return self.answers[: len(image)]

    embedding = forward


def settings(steps: int, **changes: Any) -> TrainingSettings:
    return TrainingSettings(steps=steps, batch_size=32, preview_every=1000, checkpoint_every=1000, **changes)


def train(folder: Path, steps: int, resume: bool = False) -> Trainer:
    torch.manual_seed(3)
    method = ClassifierMethod(
        small_domain(), "judge", labels="values", softness=0.1, learning_rate=5e-3, average_decay=0.9,
        augment={"shift": 1, "blur": 0.3, "noise": 0.1, "brightness": 0.05, "contrast": 0.05},
    )  # fmt: skip
    trainer = Trainer(method, Channels(), settings(steps), folder, {}, torch.device("cpu"), quiet=True)
    if resume:
        trainer.resume()
    trainer.run()
    return trainer


def test_a_classifier_learns_and_a_resumed_one_learns_the_same(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", 60)
    train(tmp_path / "halves", 30)
    halves = train(tmp_path / "halves", 60, resume=True)
    expected = whole.method.state_dict()
    for key, value in halves.method.state_dict().items():
        assert torch.equal(value, expected[key]), key
    measures = whole.method.eval().validate(whole._items(Channels(), 256))
    assert min(measures.values()) > 0.9
    assert set(measures) == {f"accuracy_{name}" for name in ATTRIBUTES}


def test_targets_are_the_truth_a_soft_truth_or_the_annotators_labels() -> None:
    values = torch.tensor([[0.0, 0.45, 0.52], [1.0, 0.5, 0.9]])
    batch = {"values": values, "labels": torch.tensor([[0.0, 1.0, 0.0], [1.0, 1.0, 1.0]])}
    step = ClassifierMethod(small_domain(), "judge", labels="values")
    assert torch.equal(step.targets(batch), (values > 0.5).float())
    soft = ClassifierMethod(small_domain(), "judge", labels="values", softness=0.05)
    expected = 1 / (1 + np.exp(-(values.numpy() - 0.5) / 0.05))
    np.testing.assert_allclose(soft.targets(batch), expected, rtol=1e-5)
    assert torch.equal(ClassifierMethod(small_domain(), "judge").targets(batch), batch["labels"])


def test_loss_is_the_mean_binary_cross_entropy() -> None:
    method = ClassifierMethod(small_domain(), "judge", labels="labels")
    logits = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]], dtype=torch.float64)
    method.network = Fixed(logits)
    labels = torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 1.0]], dtype=torch.float64)
    loss = method.losses("classifier", {"image": torch.zeros(2, 3, 16, 16), "labels": labels})["bce"]
    p, t = 1 / (1 + np.exp(-logits.numpy())), labels.numpy()
    assert float(loss) == pytest.approx(float(-(t * np.log(p) + (1 - t) * np.log(1 - p)).mean()), rel=1e-6)


def test_faces_near_the_threshold_do_not_count() -> None:
    method = ClassifierMethod(small_domain(), "judge")
    method.network = Fixed(torch.tensor([[1.0, -1.0, 1.0], [1.0, 1.0, 1.0]]))
    values = torch.tensor([[1.0, 0.54, 0.44], [0.0, 0.9, 0.7]])
    found = method.validate({"image": torch.zeros(2, 3, 16, 16), "values": values})
    assert found == {"accuracy_Male": 0.5, "accuracy_Young": 1.0, "accuracy_Smiling": 0.5}


def test_preview_sorts_by_logit_and_frames_what_is_wrong() -> None:
    method = ClassifierMethod(small_domain(), "judge")
    logits = torch.tensor([[2.0, -3.0, 1.0], [-2.0, 3.0, 2.0]])
    method.network = Fixed(logits)
    image = torch.stack([torch.full((3, 16, 16), -1.0), torch.full((3, 16, 16), 1.0)])
    picture = method.preview({"image": image, "values": torch.tensor([[0.0, 0.0, 0.5], [0.0, 0.0, 1.0]])})
    assert picture.shape == (3, 3 * 18 - 2, 2 * 18 - 2)
    assert picture.abs().max() <= 1
    shown = picture[0, 8::18, 8::18]
    assert torch.equal(shown, torch.tensor([[1.0, -1.0], [-1.0, 1.0], [-1.0, 1.0]]))
    frames = picture[:, 0::18, 0::18]
    red, green = torch.tensor([1.0, -0.6, -0.6]), torch.tensor([-0.4, 0.5, -0.3])
    assert torch.equal(frames[:, 0, 0], green) and torch.equal(frames[:, 0, 1], red)
    assert frames[:, 2, 0].unique().numel() == 1  # neither right nor wrong: grey


@pytest.mark.parametrize(("width", "expected"), [(4, False), (8, True)])
def test_narrow_networks_keep_the_usual_layout(width: int, expected: bool) -> None:
    network = channels_last(NETWORKS.build(Section({"name": "iresnet_identity", "width": width, "input_side": 16})))
    assert is_channels_last(network) is expected


def test_what_is_exported_is_the_average_and_loads_strictly() -> None:
    domain = small_domain()
    method = ClassifierMethod(domain, "judge", average_decay=0.75)
    before = [p.clone() for p in method.network.parameters()]
    method.after_step(1)
    for step in (2, 10):
        with torch.no_grad():
            for parameter in method.network.parameters():
                parameter.add_(1.0)
        method.after_step(step)
    # 1/2 of the first move, then 1/4 of what was left and of the second
    for start, mean in zip(before, method.average.parameters(), strict=True):
        torch.testing.assert_close(mean, start + 0.5 + 0.25 * 1.5)
    state, metadata = method.exports()["judge"]
    load_strict(domain.untrained("judge"), state)
    assert metadata["network"]["backbone"] == "r18" and metadata["attributes"] == ATTRIBUTES


def test_norms_and_biases_are_not_decayed() -> None:
    (phase,) = ClassifierMethod(small_domain(), "judge", weight_decay=0.1).phases()
    decay = {id(p): group["weight_decay"] for group in phase.optimiser.param_groups for p in group["params"]}
    assert {decay[id(p)] for p in phase.parameters if p.ndim == 1} == {0.0}
    assert {decay[id(p)] for p in phase.parameters if p.ndim > 1} == {0.1}


def test_a_classifier_with_other_outputs_is_refused() -> None:
    method = ClassifierMethod(small_domain(classifier_outputs=["Smiling", "Male", "Young"]), "judge")
    labelled = Channels()
    labelled.attributes = tuple(ATTRIBUTES)
    with pytest.raises(ConfigError, match="Male, Young, Smiling.* outputs Smiling, Male, Young"):
        Trainer(method, labelled, settings(1), Path(), {}, torch.device("cpu"))
    Trainer(ClassifierMethod(small_domain(), "judge"), labelled, settings(1), Path(), {}, torch.device("cpu"))
    with pytest.raises(ConfigError, match="has 3 attribute heads and 0 age logits; .* needs 40"):
        ClassifierMethod(small_domain(classifier_outputs="celeba"), "judge")
    with pytest.raises(ConfigError, match="did you mean 'blur'"):
        ClassifierMethod(small_domain(), "judge", augment={"blurr": 1.0})


def test_shift_moves_whole_pixels_and_repeats_borders() -> None:
    image = torch.randn(3, 2, 6, 5)
    offsets = torch.tensor([[0, 0], [2, -1], [-6, 0]])
    moved = shifted(image, offsets)
    assert torch.equal(moved[0], image[0])
    assert torch.equal(moved[1, :, 2:, :4], image[1, :, :4, 1:])
    assert torch.equal(moved[1, :, :2, :4], image[1, :, :1, 1:].expand(-1, 2, -1))
    assert torch.equal(moved[2], image[2, :, -1:].expand(-1, 6, -1))


def test_blur_is_the_binomial_kernel() -> None:
    image = torch.randn(2, 3, 7, 7, dtype=torch.float64)
    kernel = np.outer([1, 2, 1], [1, 2, 1]) / 16
    expected = (image[1, 2, 2:5, 3:6].numpy() * kernel).sum()
    assert float(blurred(image)[1, 2, 3, 4]) == pytest.approx(expected)
    flat = torch.full((1, 3, 4, 4), 0.7)
    torch.testing.assert_close(blurred(flat), flat)


def test_augmentation_keeps_to_its_strengths_and_treats_each_picture_alone() -> None:
    image = torch.full((200, 3, 4, 4), 0.5)
    assert Augmentation()(image) is image
    torch.manual_seed(0)
    moves = (Augmentation(brightness=0.2)(image) - image).flatten(1)
    assert torch.allclose(moves, moves[:, :1].expand_as(moves), atol=1e-6)  # a picture moves as a whole
    assert -0.2 <= float(moves.min()) < -0.15 and 0.15 < float(moves.max()) <= 0.2
    noise = (Augmentation(noise=0.3)(image) - image).flatten(1).std(1)
    assert float(noise.min()) < 0.05 and 0.2 < float(noise.max()) < 0.5


def test_margin_softmax_is_its_formula() -> None:
    cosines = torch.tensor([[0.3, -0.2, 0.9], [0.5, 0.1, -0.7]], dtype=torch.float64)
    identity = torch.tensor([0, 1])
    found = margin_softmax(cosines, identity, scale=10.0, angular_margin=0.4, cosine_margin=0.1)
    terms = []
    for row, own in zip(cosines.numpy(), (0, 1), strict=True):
        logits = 10 * row
        logits[own] = 10 * (math.cos(math.acos(row[own]) + 0.4) - 0.1)
        terms.append(np.log(np.exp(logits).sum()) - logits[own])
    assert float(found) == pytest.approx(np.mean(terms), rel=1e-9)
    torch.testing.assert_close(margin_softmax(cosines, identity, 7.0), F.cross_entropy(7.0 * cosines, identity))


def test_margin_softmax_has_the_right_gradient_and_falls_with_the_own_cosine_everywhere() -> None:
    cosines = (torch.rand(4, 5, dtype=torch.float64) * 1.8 - 0.9).requires_grad_()
    identity = torch.tensor([0, 4, 2, 2])
    assert torch.autograd.gradcheck(lambda c: margin_softmax(c, identity, 8.0, 0.5, 0.1), cosines)
    own = torch.linspace(-1, 1, 101, dtype=torch.float64)
    losses = [float(margin_softmax(torch.stack([c, c * 0])[None], identity[:1], 8.0, 0.5)) for c in own]
    assert all(later < earlier for earlier, later in zip(losses, losses[1:], strict=False))


def test_pairs_are_counted_once_and_by_person() -> None:
    embedding = F.normalize(torch.randn(7, 4))
    identity = torch.tensor([0, 0, 1, 2, 1, 0, 3])
    same, different = pair_cosines(embedding, identity)
    cosines = (embedding @ embedding.T).numpy()
    expected = {True: [], False: []}
    for i in range(7):
        for j in range(i + 1, 7):
            expected[bool(identity[i] == identity[j])].append(cosines[i, j])
    np.testing.assert_allclose(np.sort(same), np.sort(expected[True]), rtol=1e-6)
    np.testing.assert_allclose(np.sort(different), np.sort(expected[False]), rtol=1e-6)


def test_a_constant_embedding_fails_verification() -> None:
    method = IdentityMethod(small_domain(), identities=4)
    method.network = Fixed(F.normalize(torch.ones(8, 5)))
    found = method.validate({"image": torch.zeros(8, 3, 16, 16), "identity": torch.arange(8) // 2})
    assert found["auc"] == 0.5 and found["different_cosine"] == pytest.approx(1)


def test_margins_rise_and_centres_stay_behind() -> None:
    domain = small_domain()
    method = IdentityMethod(domain, identities=8, cosine_margin=0.3, margin_steps=10)
    batch = {"image": torch.randn(8, 3, 16, 16), "identity": torch.arange(8)}
    method.before_step(0)
    first = method.losses("identity", batch)["margin_softmax"]
    method.before_step(9)
    last = method.losses("identity", batch)["margin_softmax"]
    assert last > first
    method.before_step(500)
    torch.testing.assert_close(method.losses("identity", batch)["margin_softmax"], last)
    load_strict(domain.untrained("identity"), method.exports()["identity"][0])
    assert method.preview(batch).shape == (3, 8 * 18 - 2, 8 * 18 - 2)


def test_recognition_learns_to_tell_people_apart(tmp_path: Path) -> None:
    class People(Channels):
        def __getitem__(self, index: int) -> dict[str, Tensor]:
            person = index // 16
            values = torch.rand(3, generator=torch.Generator().manual_seed(person))
            noise = 0.1 * torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(1000 + index))
            return {"image": 2 * values[:, None, None] - 1 + noise, "identity": torch.tensor(person)}

    torch.manual_seed(0)
    method = IdentityMethod(small_domain(), identities=32, scale=16.0, cosine_margin=0.1, learning_rate=5e-3)
    trainer = Trainer(method, People(), settings(60), tmp_path, {}, torch.device("cpu"), quiet=True)
    trainer.run()
    found = method.eval().validate(trainer._items(People(), 256))
    assert found["auc"] > 0.95 and found["different_cosine"] < 0.3


def test_what_is_not_known_counts_in_no_loss_gradient_or_measure() -> None:
    unknown = torch.nan
    method = ClassifierMethod(small_domain(), "judge", labels="labels")
    logits = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]], requires_grad=True)
    method.network = Fixed(logits)
    labels = torch.tensor([[1.0, unknown, 0.0], [unknown, 0.0, unknown]])
    batch = {"image": torch.zeros(2, 3, 16, 16), "labels": labels, "values": labels}
    loss = method.losses("classifier", batch)["bce"]
    rows, columns = torch.tensor([0, 0, 1]), torch.tensor([0, 2, 1])
    expected = F.binary_cross_entropy_with_logits(logits[rows, columns], labels[rows, columns])
    torch.testing.assert_close(loss, expected)
    (found,), (gradient,) = torch.autograd.grad(loss, logits), torch.autograd.grad(expected, logits)
    torch.testing.assert_close(found, gradient)
    assert method.validate(batch) == {"accuracy_Male": 1.0, "accuracy_Young": 0.0, "accuracy_Smiling": 0.0}
    assert method.validate({**batch, "values": labels[:1]}).keys() == {"accuracy_Male", "accuracy_Smiling"}
    assert torch.isfinite(method.preview(batch)).all()
    for choice, softness in (("values", 0.0), ("values", 0.1)):
        other = ClassifierMethod(small_domain(), "judge", labels=choice, softness=softness)  # type: ignore[arg-type]
        assert torch.equal(other.targets(batch).isnan(), labels.isnan())
    empty = {**batch, "labels": torch.full((2, 3), unknown)}
    nothing = method.losses("classifier", empty)["bce"]
    assert nothing.item() == 0 and not torch.autograd.grad(nothing, logits)[0].any()
