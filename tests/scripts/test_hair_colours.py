"""Faces with hair of one colour: drawn ones, and the codes of those that S²-Flow's authors publish."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scripts.avatars import draw_labelled
from scripts.s2flow import select_codes
from tests.datasets.test_s2flow_files import CODES, dumped, record


def test_drawn_faces_have_the_colour(tmp_path: Path) -> None:
    brightness = {}
    for colour, (low, high) in draw_labelled.HAIR.items():
        assert draw_labelled.main([str(tmp_path / colour), "--count", "6", "--hair", colour]) == 0
        rows = list(csv.DictReader((tmp_path / colour / "labels.csv").open(encoding="utf-8")))
        known = [float(row["Fair_Hair"]) for row in rows if row["Fair_Hair"]]
        assert len(rows) == 6 and known and all(low <= value <= high for value in known)
        pictures = [Image.open(tmp_path / colour / "faces" / row["picture"]).convert("L") for row in rows]
        brightness[colour] = np.mean([np.asarray(picture)[8:14, 28:36].mean() for picture in pictures])
    assert brightness["black"] < brightness["red"] < brightness["blond"]


def files(folder: Path, count: int) -> list[str]:
    """Seven codes, and records of so many faces with black, red, unknown … hair."""
    colours = ["black", "red", None, "black", "red", "black", "blond"][:count]
    records = [[record(hair={"hairColor": [{"color": colour}]})] if colour else [] for colour in colours]
    codes = dumped(folder / "all_latents.pickle", {"Latent": CODES})
    return [str(codes), str(dumped(folder / "all_att.pickle", {"Attribute": [records]}))]


@pytest.mark.parametrize(
    ("words", "rows"), [((), [0, 3, 5]), (("--count", "2"), [0, 3]), (("--of", "3"), [0])], ids=["all", "two", "first"]
)
def test_codes_of_a_hair_colour(words: tuple[str, ...], rows: list[int], tmp_path: Path) -> None:
    out = tmp_path / "black.npy"
    assert select_codes.main([*files(tmp_path, 7), "--hair", "black", *words, "-o", str(out)]) == 0
    assert np.array_equal(np.load(out), CODES[rows, 0])


def test_what_cannot_be_selected_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "green.npy")
    assert select_codes.main([*files(tmp_path, 7), "--hair", "green", "-o", out]) == 1
    assert "no face has green hair; there are: black (3), red (2), blond (1)" in capsys.readouterr().err
    latents, records = files(tmp_path, 6)
    assert select_codes.main([latents, records, "--hair", "red", "-o", out]) == 2
    assert "7 codes and 6 records: not of the same faces" in capsys.readouterr().err
    assert select_codes.main([records, records, "--hair", "red", "-o", out]) == 2
    assert "all_att.pickle: has no entry 'Latent'" in capsys.readouterr().err
    assert not Path(out).exists()
