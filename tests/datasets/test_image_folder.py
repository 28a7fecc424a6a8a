"""Folders of aligned pictures: order, parts, size, and clear errors."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from datasets.image_folder import ImageFolder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, name in enumerate(["b/00001.png", "a/00000.jpg", "b/00002.PNG", "notes.txt"]):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        if path.suffix == ".txt":
            path.write_text("no picture")
        else:
            Image.new("RGB" if number else "L", (20, 20), number * 50).save(path)
    return tmp_path


def test_pictures_come_in_the_order_of_their_names(folder: Path) -> None:
    data = ImageFolder(str(folder), side=8)
    assert [data.path(index).name for index in range(len(data))] == ["00000.jpg", "00001.png", "00002.PNG"]
    item = data[1]
    assert item["image"].shape == (3, 8, 8) and item["image"].dtype == torch.float32 and int(item["index"]) == 1
    assert torch.equal(item["image"], torch.full((3, 8, 8), -1.0))  # black, and grey pictures become RGB


def test_a_part_of_the_list(folder: Path) -> None:
    assert [path.name for path in ImageFolder(str(folder), first=1, count=1).paths] == ["00001.png"]
    assert len(ImageFolder(str(folder), first=1)) == 2
    with pytest.raises(FileNotFoundError, match="3 pictures, none from number 3 on"):
        ImageFolder(str(folder), first=3)
    with pytest.raises(FileNotFoundError, match="no such folder of pictures"):
        ImageFolder(str(folder / "missing"))


def test_the_fingerprint_follows_the_files(folder: Path) -> None:
    before = ImageFolder(str(folder)).fingerprint()
    assert ImageFolder(str(folder)).fingerprint() == before
    assert ImageFolder(str(folder), side=128).fingerprint() != before
    Image.effect_noise((30, 30), 50).convert("RGB").save(folder / "b/00001.png")
    assert ImageFolder(str(folder)).fingerprint() != before
