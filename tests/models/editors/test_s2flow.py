"""S²-Flow's editor: read, edit, keep in a file, and the file as its authors publish it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from models.domain import Domain
from models.editors.loading import load_editor
from models.editors.s2flow import S2FlowEditor, style_shares, style_walk
from models.editors.stored import editor_metadata
from models.flows.cnf import ContinuousFlow
from models.parsing.mask_encoder import MaskEncoder
from scripts.checks.weight_file_samples import s2flow_file, save, state_of
from utils.weights import WeightsError, save_weights

SIDE = 32
ENCODER = {"name": "mask_encoder", "side": SIDE, "stages": 2, "width": 4}


def brightness(image: Tensor) -> Tensor:
    """A stand-in parser: the class of a pixel is its brightness."""
    assert image.shape[1] == 3
    return ((image.mean(1) + 1) * 9.49).long().clamp(0, 18)


@pytest.fixture(autouse=True)
def parser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Domain, "parse", lambda self, image: brightness(image))


def faces(count: int = 4, side: int = SIDE) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    w = torch.randn(count, 8, 8, generator=generator)
    return w, torch.rand(count, 3, side, side, generator=generator) * 2 - 1


def editor() -> S2FlowEditor:
    torch.manual_seed(0)
    flow = ContinuousFlow(8, 19, [16, 16], tolerance=1e-7)
    with torch.no_grad():
        for parameter in flow.velocity.parameters():
            parameter.mul_(2)
    return S2FlowEditor(flow, MaskEncoder(side=SIDE, stages=2, width=4), brightness)


def test_an_edit_with_its_own_mask_gives_the_code_back_and_another_mask_moves_it() -> None:
    made, (w, image) = editor(), faces()
    condition = made.read(w, image)
    assert condition.shape == (4, 19) and not condition.requires_grad
    assert torch.equal(condition, made.condition_of(brightness(image)))
    rest = made.prepare(w, condition)
    torch.testing.assert_close(made.move(rest, condition, condition), w, rtol=0, atol=1e-5)
    target = made.condition_of(brightness(image).flip(-1))
    moved = made.move(rest, condition, target)
    assert not moved.requires_grad and (moved - w).abs().amax((1, 2)).min() > 1e-3
    torch.testing.assert_close(made.prepare(moved, target), rest, rtol=0, atol=1e-5)  # the style stays


def test_a_face_alone_and_in_a_batch_and_in_training_mode() -> None:
    """The published scripts leave the networks in training mode: statistics of the batch, which every call changes."""
    made, (w, image) = editor(), faces()
    made.train()
    together = made.read(w, image)
    before = {key: value.clone() for key, value in made.state_dict().items()}
    rest = made.prepare(w, together)
    made.move(rest, together, together.flip(0))
    alone = made.read(w[1:2], image[1:2])
    torch.testing.assert_close(alone, together[1:2])
    torch.testing.assert_close(made.prepare(w[1:2], alone), rest[1:2], rtol=0, atol=1e-5)
    assert all(torch.equal(value, before[key]) for key, value in made.state_dict().items())


def test_pictures_of_another_side_are_resized_before_they_are_parsed() -> None:
    made, (_, image) = editor(), faces(side=2 * SIDE)
    mask = made.mask_of(image)
    assert mask.shape == (4, SIDE, SIDE)
    smooth = torch.nn.functional.avg_pool2d(image, 2)
    assert (mask - brightness(smooth)).abs().float().mean() < 1  # not every second pixel of noise
    with pytest.raises(ValueError, match="takes masks of 32 × 32, not 64 × 64"):
        made.condition_of(brightness(image))


def test_it_is_kept_in_a_file(tiny_domain_folder: Path, tmp_path: Path) -> None:
    made, (w, image) = editor(), faces()
    domain = Domain.from_file(tiny_domain_folder / "domain.yaml")
    flow = {"name": "continuous_flow", "hidden": [16, 16], "tolerance": 1e-7}
    networks = {"flow": flow, "mask_encoder": ENCODER}
    metadata = editor_metadata(made.name, (), domain, networks, ("generator", "encoder"), {})
    save_weights(tmp_path / "e.safetensors", made.state_dict(), {**metadata, "config": {}, "step": 0})
    restored, _, about = load_editor(tmp_path / "e.safetensors")
    assert isinstance(restored, S2FlowEditor) and restored.flow.tolerance == 1e-7 and about["method"] == "s2flow"
    condition = restored.read(w, image)
    assert torch.equal(condition, made.read(w, image))
    target = condition.roll(1, 0)
    edits = [one.move(one.prepare(w, condition), condition, target) for one in (made, restored)]
    assert torch.equal(*edits)


def test_the_published_file_is_an_editor(tiny_domain_folder: Path, tmp_path: Path) -> None:
    path = save(tmp_path / "last_checkpoint.pt", s2flow_file("module."))
    loaded, domain, metadata = load_editor(path, domain_config=tiny_domain_folder / "domain.yaml")
    assert isinstance(loaded, S2FlowEditor) and loaded.flow.tolerance == 1e-7 and not loaded.training
    assert metadata["method"] == "s2flow" and set(metadata["fingerprints"]) == {"generator", "encoder", "parser"}
    assert torch.equal(loaded.mask_encoder.fc.weight, state_of("mask_encoder")["fc.weight"])
    w, image = faces()
    condition = loaded.read(w, image)
    rest = loaded.prepare(w, condition)
    torch.testing.assert_close(loaded.move(rest, condition, condition), w, rtol=0, atol=1e-4)


def test_a_published_file_that_does_not_fit(tiny_domain_folder: Path, tmp_path: Path) -> None:
    domain = tiny_domain_folder / "domain.yaml"
    whole = s2flow_file()
    for change, words in (
        ({"prior_ntwk": state_of("continuous_flow", semantics=5)}, "flow takes 5 numbers, its mask encoder gives 19"),
        ({"prior_ntwk": state_of("continuous_flow", semantics=19, style_dim=4)}, "styles of 4, .* 'tiny' has 8"),
        ({"prior_ntwk": {}}, "holds a mask encoder, not a continuous flow"),
    ):
        path = save(tmp_path / "last_checkpoint.pt", {**whole, **change})
        with pytest.raises(WeightsError, match=rf"last_checkpoint\.pt: .*{words}"):
            load_editor(path, domain_config=domain)


def test_the_walk_to_a_style_compounds() -> None:
    (start, end), steps = torch.randn(2, 3, 4, 5, dtype=torch.float64), 11
    walk, shares = list(style_walk(start, end, steps)), style_shares(steps)
    assert len(walk) == steps and torch.equal(walk[0], start)
    torch.testing.assert_close(walk[-1], end)
    for share, rest in zip(shares, walk, strict=True):
        torch.testing.assert_close(rest, (1 - share) * start + share * end)
    published = [round(100 * float(share), 1) for share in style_shares()[:10]]
    assert published == [0.0, 1.0, 3.0, 5.9, 9.7, 14.3, 19.5, 25.2, 31.2, 37.5]
