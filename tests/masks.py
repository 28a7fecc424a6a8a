"""What tests of edits by mask and by style have in common: pictures, drawn masks, and edit.py as a command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import edit
from models.domain import Domain
from models.editors.s2flow import S2FlowEditor
from models.editors.stored import editor_metadata
from models.flows.cnf import ContinuousFlow
from models.parsing.mask_encoder import MaskEncoder
from models.parsing.palette import CLASSES
from utils.weights import save_weights

SIDE = 32


def noise(number: int) -> Image.Image:
    """A picture that is a face in the tiny domain."""
    values = np.random.default_rng(number).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    values[: 10 * number] //= 4
    return Image.fromarray(values)


def drawn(*, glasses: bool = False, eyes: bool = True, teeth: bool = False, hair: int = 8) -> np.ndarray:
    """A face's mask (32, 32) of boxes."""
    mask = np.zeros((SIDE, SIDE), dtype=np.uint8)

    def fill(name: str, rows: slice, columns: slice) -> None:
        mask[rows, columns] = CLASSES.index(name)

    fill("hair", slice(2, 2 + hair), slice(4, 28))
    fill("skin", slice(8, 29), slice(8, 24))
    fill("nose", slice(15, 19), slice(15, 17))
    fill("lower lip", slice(23, 26), slice(12, 20))
    if teeth:
        fill("mouth interior", slice(23, 25), slice(12, 20))
    if glasses:
        fill("eyeglasses", slice(11, 15), slice(9, 23))
    if eyes:
        fill("left eye", slice(12, 14), slice(10, 13))
        fill("right eye", slice(12, 14), slice(19, 22))
    return mask


def save_mask(path: Path, mask: np.ndarray) -> Path:
    """A grey mask in a file."""
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(mask).save(path)
    return path


def save_mask_editor(domain: Domain, path: Path) -> Path:
    """A file with an S²-Flow editor of random weights, whose masks have the domain's side."""
    side, hidden, tolerance = domain.image_side, [16, 16], 1e-6
    networks = {
        "flow": {"name": "continuous_flow", "hidden": hidden, "tolerance": tolerance},
        "mask_encoder": {"name": "mask_encoder", "side": side, "stages": 2, "width": 4},
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        flow = ContinuousFlow(domain.style_dim, 19, hidden, tolerance=tolerance)
        encoder = MaskEncoder(side=side, stages=2, width=4)
    with torch.no_grad():
        for parameter in [*flow.velocity.parameters(), *encoder.fc.parameters()]:
            parameter.mul_(2)  # edits are to be seen
    editor = S2FlowEditor(flow, encoder, domain.parse)
    metadata = editor_metadata(editor.name, (), domain, networks, ("generator", "encoder", "parser"), {})
    save_weights(path, editor.state_dict(), {**metadata, "config": {}, "step": 0})
    return path


def run(*arguments: object) -> int:
    """edit.py's exit status."""
    return edit.main([*map(str, arguments), "--quiet", "--device", "cpu"])


def report(output: Path) -> dict:
    return json.loads((output / "report.json").read_text(encoding="utf-8"))


def shown(output: Path, entry: dict, label: str) -> np.ndarray:
    """The picture with this label of a face, as whole numbers."""
    with Image.open(output / entry["outputs"][label]) as picture:
        return np.asarray(picture, dtype=int)


def difference(one: Image.Image | np.ndarray, other: Image.Image | np.ndarray) -> int:
    """The largest difference of two pictures, in grey levels."""
    return int(np.abs(np.asarray(one, dtype=int) - np.asarray(other, dtype=int)).max())
