"""Sheets, marks and names of results."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from utils.output_names import output_names, shortened
from utils.photos import Photo
from utils.provenance import read_mark, save_marked
from utils.sheets import SheetWriter


def photo(path: str) -> Photo:
    return Photo(Path(path), Path(Path(path).name))


def test_names_stay_where_they_can() -> None:
    photos = [Photo(Path("in/a.png"), Path("a.png")), Photo(Path("in/sub/a.png"), Path("sub/a.png"))]
    assert output_names(photos, 200) == [Path("a"), Path("sub/a")]


def test_equal_stems_get_more_of_their_names() -> None:
    assert output_names([photo("in/a.png"), photo("in/a.jpg"), photo("in/b.jpg")], 200) == [
        Path("a-png"),
        Path("a-jpg"),
        Path("b"),
    ]
    assert output_names([photo("x/a.png"), photo("y/a.png")], 200) == [Path("x-a-png"), Path("y-a-png")]


def test_names_never_meet() -> None:
    awkward = ["p/x/a.png", "q/x/a.png", "x/A.PNG", "x/a-png", "x/a.jpg", "x/x-a-png.jpg", "x/.png", "x/noend"]
    awkward += ["x/\u00e4.png", "x/a\u0308.png"] + [f"{'long' * 60}{end}.png" for end in "ab"]
    names = output_names([photo(path) for path in awkward], 120)
    assert len({unicodedata.normalize("NFC", str(name)).casefold() for name in names}) == len(awkward)
    assert max(len(os.fsencode(name.name)) for name in names) <= 120
    assert names == output_names([photo(path) for path in awkward], 120)


def test_shortening_counts_bytes() -> None:
    name = "笑" * 80
    assert len(os.fsencode(shortened(name, 100))) <= 100 and shortened(name, 100).startswith("笑")
    assert shortened(name, 100) != shortened(name + "笑", 100)
    assert shortened("short", 100) == "short"


def test_sheets_are_paginated(tmp_path: Path) -> None:
    (tmp_path / "sheet-3.png").touch()
    sheet = SheetWriter(tmp_path, ["input", "Smiling=1,Young=0", "Eyeglasses=flip0.2"], rows=2)
    red, blue = Image.new("RGB", (64, 64), "red"), Image.new("RGB", (64, 64), "blue")
    for number in range(3):
        sheet.add(f"{'very-long-name-' * 10}{number}.png", [red, blue, red])
    sheet.flush()
    sheet.remove_older()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sheet-2.png", "sheet.png"]
    assert read_mark(sheet.paths[0]) == {"titles": sheet.titles}
    first, second = (np.asarray(Image.open(path)) for path in sheet.paths)
    assert first.shape[1] == second.shape[1] >= 3 * 128 and first.shape[0] > second.shape[0] > 128
    for page, rows in ((first, 2), (second, 1)):  # 64 pixels a face are shown as at least 128
        assert ((page == (255, 0, 0)).all(-1)).sum() == rows * 2 * 128**2
        assert ((page == (0, 0, 255)).all(-1)).sum() == rows * 128**2
    assert (first[:40].min(-1) < 100).any()  # the titles


def test_large_pictures_are_reduced_on_the_sheet(tmp_path: Path) -> None:
    sheet = SheetWriter(tmp_path, ["input"])
    sheet.add("face", [Image.new("RGB", (1024, 1024), "red")])
    sheet.flush()
    assert Image.open(tmp_path / "sheet.png").width < 300


def test_marks(tmp_path: Path) -> None:
    path = tmp_path / "ж.png"
    save_marked(path, Image.new("RGB", (8, 8), "red"), "edited: Smiling=1", {"label": "Smiling=1", "n": [1, 2.5]})
    assert read_mark(path) == {"label": "Smiling=1", "n": [1, 2.5]}
    with Image.open(path) as picture:
        assert picture.info["Software"] == "SDFlow" and "Smiling" in picture.info["Description"]
    path.write_bytes(path.read_bytes()[:-30])  # cut off: not finished
    assert read_mark(path) is None
    Image.new("RGB", (8, 8)).save(path)
    assert read_mark(path) is None
    with pytest.raises(OSError):
        save_marked(tmp_path / "ж.png" / "face.png", Image.new("RGB", (8, 8)), "", {})


def test_a_name_of_dots_is_no_folder() -> None:
    """Before: "Invalid name '.'", and nothing was edited."""
    assert output_names([photo("in/..png"), photo("in/a.png")], 200) == [Path("..png"), Path("a")]
