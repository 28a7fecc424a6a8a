"""The face parser's training: what it is shown, what it is drawn to, and that it learns."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from models.domain import Domain
from models.parsing.masks import mirrored
from training.loop import Trainer
from training.methods.face_parser import FaceParserMethod
from training.settings import TrainingSettings
from utils.config import ConfigError
from utils.weights import load_strict, load_weights


@pytest.fixture(scope="module")
def domain(tiny_domain_folder: Path) -> Domain:
    return Domain.from_file(tiny_domain_folder / "domain.yaml")


class Eyes(Dataset):
    """Pictures of 32 × 32 with a red left eye and a green right one on a dark background, under noise."""

    def __init__(self, domain: Domain) -> None:
        self.domain = domain

    def __len__(self) -> int:
        return 64

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        random = torch.Generator().manual_seed(index)
        rows = int(torch.randint(4, 20, (1,), generator=random))
        mask = torch.zeros(32, 32, dtype=torch.int64)
        mask[rows : rows + 8, 4:12], mask[rows : rows + 8, 20:28] = 4, 5
        image = torch.stack([mask == 4, mask == 5, mask < 0]).float() * 1.6 - 0.8
        image += 0.1 * torch.randn(3, 32, 32, generator=random)
        latent = torch.randn(self.domain.styles, self.domain.style_dim, generator=random)
        return {"image": image, "mask": mask, "latent": latent}


def batch_of(domain: Domain, count: int) -> dict[str, Tensor]:
    items = [Eyes(domain)[index] for index in range(count)]
    return {key: torch.stack([item[key] for item in items]) for key in items[0]}


def train(domain: Domain, folder: Path, steps: int, resume: bool = False) -> Trainer:
    torch.manual_seed(0)
    method = FaceParserMethod(
        domain, inversions=0.0, mirror=False, precision="bfloat16", learning_rate=1e-2, average_decay=0.8,
        augment={"noise": 0.1},
    )  # fmt: skip
    settings = TrainingSettings(steps=steps, batch_size=8, preview_every=steps, checkpoint_every=20, preview_images=4)
    trainer = Trainer(method, Eyes(domain), settings, folder, {}, torch.device("cpu"), quiet=True)
    if resume:
        trainer.resume()
    trainer.run()
    return trainer


def test_a_parser_learns_and_a_resumed_one_learns_the_same(domain: Domain, tmp_path: Path) -> None:
    whole = train(domain, tmp_path / "whole", 40)
    train(domain, tmp_path / "halves", 20)
    halves = train(domain, tmp_path / "halves", 40, resume=True)
    expected = whole.method.state_dict()
    assert all(value.equal(expected[key]) for key, value in halves.method.state_dict().items())
    measures = whole.method.eval().validate(batch_of(domain, 32))
    assert measures["iou_faces"] > 0.85 and measures["accuracy_faces"] > 0.95
    assert measures["iou_inversions"] < 0.5  # of noise, whose masks nobody drew
    state, metadata = load_weights(tmp_path / "whole/parser.safetensors")
    load_strict(domain.untrained("parser"), state)
    assert metadata["part"] == "parser" and metadata["network"] == {"name": "face_parser", "widths": [8, 8]}
    assert len(list((tmp_path / "whole/previews").iterdir())) == 1
    assert json.loads((tmp_path / "whole/log.jsonl").read_text().splitlines()[0])["cross_entropy"] > 0


def test_a_share_of_the_batch_is_inverted_and_half_of_it_mirrored_with_its_masks(domain: Domain) -> None:
    batch = batch_of(domain, 16)
    inverted = torch.cat([domain.synthesise(batch["latent"][:4]), batch["image"][4:]])
    plain, kept = FaceParserMethod(domain, inversions=0.25, mirror=False).examples(batch)
    assert plain.equal(inverted) and kept.equal(batch["mask"])
    torch.manual_seed(0)
    image, mask = FaceParserMethod(domain, inversions=0.25).examples(batch)
    turned = [bool(image[index].equal(inverted[index].flip(-1))) for index in range(16)]
    assert 4 < sum(turned) < 12
    for index, turn in enumerate(turned):
        assert image[index].equal(inverted[index].flip(-1) if turn else inverted[index])
        assert mask[index].equal(mirrored(batch["mask"][index]) if turn else batch["mask"][index])
    nothing = FaceParserMethod(domain, inversions=0.0, mirror=False).examples({k: batch[k] for k in ("image", "mask")})
    assert nothing[0].equal(batch["image"])


def test_the_loss_is_the_cross_entropy_of_the_classes(domain: Domain) -> None:
    method, batch = FaceParserMethod(domain, inversions=0.0, mirror=False).eval(), batch_of(domain, 2)
    logits = method.network(batch["image"])
    torch.testing.assert_close(
        method.losses("parser", batch)["cross_entropy"], F.cross_entropy(logits, batch["mask"]), rtol=1e-5, atol=1e-6
    )


def test_an_augmentation_that_masks_would_not_follow_is_refused(domain: Domain) -> None:
    with pytest.raises(ConfigError, match=r"method\.augment\.shift: masks would not move"):
        FaceParserMethod(domain, augment={"shift": 1})


def test_data_without_masks_is_refused(domain: Domain) -> None:
    class Plain(Eyes):
        holds = ("image", "latent")

    with pytest.raises(ConfigError, match="items hold image, latent, but the method needs 'mask'"):
        FaceParserMethod(domain).check_data(Plain(domain))
