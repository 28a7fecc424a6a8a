"""Folders of broken pictures: what they hold, what counts as an answer, and a small one given to both commands."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from datasets.pictures import read_square
from scripts.checks.broken_picture_samples import DAMAGES, Expected, Sample, make_folder
from scripts.checks.broken_pictures import FACE, Answer, begin_training, edit_all, verdict
from utils.photo_files import find_photos
from utils.photos import PhotoError


@pytest.mark.parametrize(
    ("expected", "edit", "training", "fault"),
    [
        ("edited", None, None, ""),
        ("named", "empty", "empty", ""),
        ("either", "cut off", "cut off", ""),
        ("either", None, None, ""),
        ("either", "cut off", None, "train.py good"),
        ("either", None, "cut off", "edit.py says good"),
        ("either", "too small: 1 × 1", None, ""),
        ("named", None, None, "taken for a picture"),
        ("edited", "cut off", "cut off", "not read: cut off"),
        ("named", "", "empty", "forgotten"),
    ],
)
def test_both_commands_must_say_the_same_and_the_truth(
    expected: Expected, edit: str | None, training: str | None, fault: str
) -> None:
    said = [Answer({} if reason is None else {"a.png": reason}) for reason in (edit, training)]
    found = verdict(Sample("a.png", expected), *said)
    assert fault in found and bool(found) == bool(fault)


def test_all_of_a_folder_is_found_and_read_or_refused_with_a_reason(tmp_path: Path) -> None:
    count = 10 * len(DAMAGES)
    with Image.open(FACE) as face:
        samples = make_folder(tmp_path / "pictures", face.convert("RGB"), count)
    found = find_photos([str(tmp_path / "pictures")])
    assert Counter(str(photo.name) for photo in found.photos) == Counter(sample.name for sample in samples)
    outcomes = Counter[str]()
    for sample in samples:
        outcome: Expected = "edited"
        try:
            read_square(tmp_path / "pictures" / sample.name, 64)
        except PhotoError:
            outcome = "named"
        assert sample.expected in (outcome, "either"), sample
        outcomes[f"damaged {outcome}" if sample.name.startswith(DAMAGES) else outcome] += 1
    assert min(outcomes["damaged edited"], outcomes["damaged named"]) > count / 5 and len(outcomes) == 4


def test_edit_and_training_answer(tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    data = FACE.read_bytes()
    for name, content in {"good": data, "cut": data[:900], "empty": b""}.items():
        (pictures / f"{name}.png").write_bytes(content)
    answers = edit_all(pictures, tmp_path), begin_training(pictures, tmp_path)
    for answer in answers:
        assert answer.fault == "" and answer.named.keys() == {"cut.png", "empty.png"}
        assert answer.named["empty.png"] == "the file is empty" and "cut off" in answer.named["cut.png"]
