"""Photographs for tests, made of the one that may be copied (NASA, public domain), and a domain that aligns them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from utils.weights import load_weights, save_weights

GOLDEN = Path(__file__).parent / "golden"
FACE = (120, 20, 320, 220)  # of the astronaut: head and shoulders, small enough to be searched quickly


def astronaut() -> Image.Image:
    """512 × 512; HOG finds the face and, with a low score, something that is none."""
    return Image.open(GOLDEN / "photos/astronaut.png").convert("RGB")


def portrait() -> Image.Image:
    """200 × 200, one face, not aligned."""
    return astronaut().crop(FACE)


def couple() -> Image.Image:
    """440 × 260, two faces, the right one larger."""
    picture = Image.new("RGB", (440, 260), (120, 130, 125))
    picture.paste(portrait().resize((170, 170), Image.Resampling.LANCZOS), (5, 60))
    picture.paste(portrait().resize((240, 240), Image.Resampling.LANCZOS), (190, 10))
    return picture


def recorded() -> dict[str, np.ndarray]:
    """Arrays of the golden case of the alignment."""
    with np.load(GOLDEN / "ffhq_align.npz") as arrays:
        return dict(arrays)


def encoded(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """The picture as a file."""
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def photograph_editor(tiny_domain_folder: Path, path: Path) -> str:
    """The tiny editor in a domain that cuts its faces out of photographs."""
    state, metadata = load_weights(tiny_domain_folder / "editor.safetensors")
    metadata["domain"]["aligner"] = {"name": "dlib"}
    save_weights(path, state, metadata)
    return str(path)
