"""What tests of exchanged identities have in common: an editor with random weights, and pictures for it."""

from __future__ import annotations

from pathlib import Path

import torch

from models.domain import Domain
from models.editors.id_swap import IDSwapEditor
from models.editors.stored import editor_metadata
from models.encoders.swap_encoder import SwapEncoder
from models.latent_mapper import LatentMapper
from utils.weights import save_weights

ENCODER = {
    "name": "swap_encoder",
    "layers": [1, 1, 1, 1],
    "widths": [16, 16, 16, 16, 16],  # a squeeze-and-excitation unit needs 16
    "identity_dim": 6,
    "attribute_dim": 12,
    "identity_width": 4,
    "attribute_widths": [8, 8],
    "input_side": 64,  # the smallest; pictures are enlarged
}
MAPPER = {"name": "latent_mapper", "hidden": [16, 16]}


def save_swap_editor(domain: Domain, path: Path) -> Path:
    """A file with an identity swap of random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = SwapEncoder(**{key: value for key, value in ENCODER.items() if key != "name"})
        mapper = LatentMapper(encoder.identity_dim, encoder.attribute_dim, MAPPER["hidden"], domain.style_dim)
    with torch.no_grad():
        mapper.model[0].weight.mul_(4)  # edits are to be seen
    editor = IDSwapEditor(encoder, mapper, domain.styles)
    sections = {"encoder": ENCODER, "mapper": MAPPER}
    parts = [part for part in ("generator", "encoder") if domain.has(part)]
    metadata = editor_metadata(editor.name, (), domain, sections, parts, {})
    save_weights(path, editor.state_dict(), {**metadata, "config": {}, "step": 0})
    return path
