"""An editor whose condition is no vector of attributes, with two kinds of request, through the pipeline and edit.py.

Its condition is a mask (B, 4, 4) of three classes of brightness. A code is what the mask says of it, plus the style.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

import edit
from models.domain import Domain
from models.editing.inversion import Inversion
from models.editing.pipeline import EditingPipeline
from models.editing.requests import kinds
from models.editing.requests.base import Goal, Request, RequestError
from models.editing.requests.kind import RequestKind
from models.editors.base import Editor
from models.editors.catalogue import EDITORS
from models.editors.loading import load_editor
from models.editors.stored import StoredEditor, editor_metadata
from utils.images import to_tensor
from utils.provenance import read_mark
from utils.weights import load_weights, save_weights

CLASSES = ("dark", "medium", "bright")


class MaskEditor(Editor):
    """w = style + Σ_c share of class c · d_c."""

    name: ClassVar[str] = "toy"
    title: ClassVar[str] = "Toy"
    requests: ClassVar[tuple[str, ...]] = ("toy_mask", "toy_style")
    condition: ClassVar[str] = "mask"
    directions: Tensor

    def __init__(self, directions: Tensor) -> None:
        super().__init__()
        self.register_buffer("directions", directions)

    @classmethod
    def restore(cls, stored: StoredEditor) -> MaskEditor:
        return cls(stored.state["directions"])

    def read(self, w: Tensor, image: Tensor) -> Tensor:
        brightness = F.adaptive_avg_pool2d(image.mean(1, keepdim=True), 4)[:, 0]
        return torch.bucketize(brightness, torch.tensor([-0.05, 0.05]))

    def prepare(self, w: Tensor, condition: Tensor, image: Tensor | None = None) -> Tensor:
        return w - self._code(condition)

    def move(self, rest: Tensor, condition: Tensor, target: Tensor) -> Tensor:
        return rest + self._code(target)

    def named(self, condition: Tensor) -> dict[str, float]:
        return {name: float((condition == index).float().mean()) for index, name in enumerate(CLASSES)}

    def _code(self, mask: Tensor) -> Tensor:
        assert mask.dtype == torch.int64 and mask.shape[1:] == (4, 4)
        shares = F.one_hot(mask, len(CLASSES)).float().mean((1, 2))
        return torch.einsum("bc,cld->bld", shares, self.directions)


@dataclass(frozen=True)
class MaskRequest(Request):
    label: str
    mask: Tensor  # (4, 4)

    @property
    def title(self) -> str:
        return f"mask,{self.label}"

    def described(self) -> dict[str, str]:
        return {"mask": self.label}

    def resolve(self, faces: Inversion, editor: Editor) -> Goal:
        return Goal(faces.rest, self.mask.expand(len(faces), -1, -1))


class MaskRequests(RequestKind):
    name: ClassVar[str] = "toy_mask"
    title: ClassVar[str] = "mask requests"

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument_group("masks").add_argument("--toy-mask", action="append", default=[], metavar="FILE")

    def parse(self, options: argparse.Namespace, pipeline: EditingPipeline) -> Sequence[MaskRequest]:
        found = []
        for file in options.toy_mask:
            values = np.asarray(Image.open(file))
            if values.shape != (4, 4):
                raise RequestError(f"--toy-mask {file}: must be 4 × 4")
            digest = hashlib.sha256(values.tobytes()).hexdigest()[:8]
            found.append(MaskRequest(f"{Path(file).stem}-{digest}", torch.from_numpy(values.astype(np.int64))))
        return found


@dataclass(frozen=True)
class StyleRequest(Request):
    label: str
    rest: Tensor  # (1, L, D)

    def described(self) -> dict[str, str]:
        return {"style": self.label}

    def resolve(self, faces: Inversion, editor: Editor) -> Goal:
        return Goal(self.rest.expand_as(faces.rest), faces.condition)


class StyleRequests(RequestKind):
    name: ClassVar[str] = "toy_style"
    title: ClassVar[str] = "style requests"

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--toy-style", metavar="PHOTO")
        parser.add_argument("--toy-strength", type=float, default=1.0)

    def parse(self, options: argparse.Namespace, pipeline: EditingPipeline) -> Sequence[StyleRequest]:
        if options.toy_style is None:
            return []
        picture = Image.open(options.toy_style)
        rest = pipeline.invert(pipeline.align(picture)[None]).rest
        return [StyleRequest(f"style-{Path(options.toy_style).stem}", rest)]

    def settings(self, options: argparse.Namespace) -> dict[str, float]:
        return {"toy_strength": options.toy_strength}


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    find = EDITORS.find
    monkeypatch.setattr(EDITORS, "find", lambda section: MaskEditor if section["name"] == "toy" else find(section))
    for kind in (MaskRequests(), StyleRequests()):
        monkeypatch.setitem(kinds(), kind.name, kind)


@pytest.fixture
def checkpoint(tiny_domain_folder: Path, tmp_path: Path) -> str:
    domain = Domain.from_file(tiny_domain_folder / "domain.yaml")
    draw = torch.Generator().manual_seed(3)
    editor = MaskEditor(torch.randn(3, domain.styles, domain.style_dim, generator=draw))
    metadata = editor_metadata(editor.name, (), domain, {}, ("generator", "encoder"), {})
    save_weights(tmp_path / "toy.safetensors", editor.state_dict(), {**metadata, "config": {}, "step": 0})
    return str(tmp_path / "toy.safetensors")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    for number in range(3):
        values = np.random.default_rng(number).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        values[: 10 * number] //= 4
        Image.fromarray(values).save(tmp_path / f"photos/face-{number}.png")
    return tmp_path / "photos"


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    Image.fromarray(np.repeat(np.array([0, 0, 1, 2], dtype=np.uint8)[:, None], 4, axis=1)).save(tmp_path / "mask.png")
    return tmp_path / "mask.png"


def run(*arguments: object) -> int:
    return edit.main([*map(str, arguments), "--quiet", "--device", "cpu"])


def report(output: Path) -> dict:
    return json.loads((output / "report.json").read_text(encoding="utf-8"))


def test_masks_and_styles_are_edited_and_reported(photos: Path, mask: Path, tmp_path: Path, checkpoint: str) -> None:
    out, style = tmp_path / "out", photos / "face-2.png"
    common = (photos, "-o", out, "--checkpoint", checkpoint, "--toy-mask", mask, "--toy-style", style, "--save-latents")
    assert run(*common) == 0
    first = report(out)
    masked, styled = first["edits"]
    assert masked.startswith("mask-") and styled == "style-face-2" and first["edits"][masked] == {"mask": masked}
    assert first["toy_strength"] == 1.0 and "strength" not in first and first["counts"] == {"edited": 3}
    editor, domain, _ = load_editor(checkpoint)
    pipeline = EditingPipeline(domain, editor)
    images = torch.stack([to_tensor(Image.open(path)) for path in sorted(photos.iterdir())])
    faces = pipeline.invert(images)
    assert faces.condition.dtype == torch.int64 and len(faces.condition.unique()) == 3
    targets = torch.tensor([0, 0, 1, 2])[None, :, None].expand(3, 4, 4), faces.condition
    rests = faces.rest, faces.rest[2:].expand_as(faces.rest)
    for label, rest, target in zip((masked, styled), rests, targets, strict=True):
        expected = (domain.synthesise_full(editor.move(rest, faces.condition, target)) + 1) * 127.5
        for number, entry in enumerate(first["faces"]):
            shown = np.asarray(Image.open(out / entry["outputs"][label]), dtype=float)
            assert np.abs(shown - expected[number].permute(1, 2, 0).numpy()).max() < 1.01
            assert entry["edits"][label]["wanted"] == pytest.approx(editor.named(target[number]))
            assert set(entry["edits"][label]) == {"wanted", "mask", "identity", "identity_to_inversion"}
            assert entry["mask"] == pytest.approx(editor.named(faces.condition[number]))
            assert set(entry["mask_of_inversion"]) == set(CLASSES) and "semantics" not in entry
    record = read_mark(out / f"faces/face-0--{masked}.png")
    assert record is not None and record["label"] == masked and record["face"]["mask"] == first["faces"][0]["mask"]

    (out / f"faces/face-1--{masked}.png").unlink()
    assert run(*common) == 0 and report(out)["counts"] == {"edited": 1, "kept": 2}
    assert report(out)["faces"][0]["edits"] == first["faces"][0]["edits"]


def test_saved_codes_keep_the_condition_of_the_photograph(
    photos: Path, mask: Path, tmp_path: Path, checkpoint: str
) -> None:
    common = ("--checkpoint", checkpoint, "--toy-style", photos / "face-0.png", "-o")
    assert run(photos / "face-2.png", *common, tmp_path / "out", "--save-latents") == 0
    (latent,) = (tmp_path / "out/latents").iterdir()
    state, _ = load_weights(latent)
    assert state["condition"].dtype == torch.int64 and state["condition"].shape == (4, 4)
    assert run(latent, *common, tmp_path / "again") == 0
    (before,), (after,) = (report(tmp_path / name)["faces"] for name in ("out", "again"))
    assert before["mask"] == after["mask"] != before["mask_of_inversion"]
    pictures = [
        np.asarray(Image.open(tmp_path / name / entry["outputs"]["style-face-0"]), dtype=int)
        for name, entry in (("out", before), ("again", after))
    ]
    assert np.abs(pictures[0] - pictures[1]).max() <= 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "Smiling=1"], "--set: this editor (Toy) takes no attribute requests; it takes: toy_mask, toy_style"),
        (["--each"], "--each: this editor (Toy) takes no attribute requests"),
        ([], "no edit is asked for; this editor (Toy) takes: toy_mask, toy_style"),
        (["--toy-mask", "photos/face-0.png"], "must be 4 × 4"),
    ],
)
def test_what_the_editor_does_not_take(
    arguments: list[str],
    message: str,
    photos: Path,
    tmp_path: Path,
    checkpoint: str,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(photos, "-o", tmp_path / "out", "--checkpoint", checkpoint, *arguments) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_what_an_editor_of_attributes_does_not_take(
    photos: Path, mask: Path, tmp_path: Path, tiny_domain_folder: Path, capsys: pytest.CaptureFixture
) -> None:
    assert run(photos, "-o", tmp_path / "out", "--checkpoint", tiny_domain_folder, "--toy-mask", mask) == 2
    assert "--toy-mask: this editor (SDFlow) takes no mask requests; it takes: attributes" in capsys.readouterr().err


def test_options_of_all_kinds_are_in_the_help(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        edit.parse_arguments(["--help"])
    text = capsys.readouterr().out
    assert "--toy-mask FILE" in text and "--toy-style PHOTO" in text and "--set ATTRIBUTE=VALUE" in text
