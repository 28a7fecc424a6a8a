"""What tests of edits by mask and by style share; other modules here have fixtures of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.editing.studio import Face, Studio
from tests.masks import noise


@pytest.fixture(scope="module")
def studio(tiny_mask_editor: Path) -> Studio:
    return Studio.open(tiny_mask_editor, device="cpu")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for number in range(3):
        noise(number).save(folder / f"face-{number}.png")
    return folder


@pytest.fixture(scope="module")
def faces(studio: Studio, photos: Path) -> list[Face]:
    return [studio.find(path)[0] for path in sorted(photos.iterdir())]
