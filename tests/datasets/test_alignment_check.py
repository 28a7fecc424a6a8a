"""What is said, before the work, of pictures that a domain which cuts photographs would be given as aligned faces."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from PIL import Image

import train
from datasets import DATASETS
from datasets.alignment_check import AlignmentCheck, check_alignment
from datasets.latent_cache import LatentCache
from models.domain import Domain
from models.editing import face_alignment
from scripts import encode_dataset
from tests.photographs import GOLDEN, couple, portrait
from utils.config import Section
from utils.provenance import save_marked

ATTRIBUTES = "picture,Eyeglasses,Male,Young,Smiling,Wavy_Hair"
Build = Callable[..., object]


def aligned_face() -> Image.Image:
    return Image.open(GOLDEN / "photos/astronaut_aligned_256.png").convert("RGB")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One aligned face and two photographs, one of them in a sub-folder."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "nested").mkdir()
    aligned_face().save(folder / "aligned.png")
    portrait().save(folder / "portrait.png")
    couple().save(folder / "nested/couple.png")
    return folder


@pytest.fixture(scope="module")
def domain_file(tiny_domain_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = yaml.safe_load((tiny_domain_folder / "domain.yaml").read_text())
    path = tmp_path_factory.mktemp("domain") / "domain.yaml"
    path.write_text(yaml.safe_dump({**config, "aligner": {"name": "dlib"}}))
    return path


@pytest.fixture
def build(domain_file: Path) -> Build:
    def data_set(name: str, **arguments: object) -> object:
        section = Section({"name": name, **arguments}, "data")
        return DATASETS.build(section, domain=Domain.from_file(domain_file))

    return data_set


def looked_at(domain_file: Path, *sources: object) -> AlignmentCheck:
    check = check_alignment(Domain.from_file(domain_file), *sources)
    assert check is not None
    return check


def test_how_many_and_by_how_much(photos: Path, domain_file: Path, build: Build, tmp_path: Path) -> None:
    faces = {"name": "image_folder", "folder": str(photos), "side": 32}
    cache = build("latent_cache", faces=faces, cache=str(tmp_path))
    check = looked_at(domain_file, cache, None, build(**faces))  # as training and validation data: each picture once
    assert (check.count, check.seen, check.is_fine) == (3, 3, False)
    said = str(check)
    assert said.startswith("2 of 3 pictures do not look aligned: ")
    assert "nested/couple.png: it is no square" in said and "aligned.png" not in said
    assert "portrait.png: its face lies 16% of the side from where alignment puts it" in said
    assert isinstance(cache, LatentCache)
    cache.prepare()
    assert str(looked_at(domain_file, cache)) == said  # also once it is stored and no picture is read any more


@pytest.mark.parametrize("side", [32, 600])
def test_aligned_faces_of_any_size(domain_file: Path, build: Build, tmp_path: Path, side: int) -> None:
    aligned_face().resize((side, side), Image.Resampling.LANCZOS).save(tmp_path / "face.png")
    check = looked_at(domain_file, build("image_folder", folder=str(tmp_path)))
    assert check.is_fine and str(check) == "all of 1 pictures look aligned"


def test_what_edit_py_wrote_as_aligned_is_not_doubted(domain_file: Path, build: Build, tmp_path: Path) -> None:
    save_marked(tmp_path / "face.png", portrait(), "Face", {"aligned": True})
    assert looked_at(domain_file, build("image_folder", folder=str(tmp_path))).is_fine


def test_what_a_crop_leaves_is_looked_at(domain_file: Path, build: Build, tmp_path: Path) -> None:
    framed = Image.new("RGB", (300, 280), "grey")
    framed.paste(aligned_face(), (20, 10))
    framed.save(tmp_path / "a.png")
    (tmp_path / "labels.csv").write_text(f"{ATTRIBUTES}\na,1,0,1,0,1\n")
    known = {"folder": str(tmp_path), "table": str(tmp_path / "labels.csv")}
    assert looked_at(domain_file, build("labelled_folder", **known, crop=[20, 10, 276, 266])).is_fine
    assert "no square" in str(looked_at(domain_file, build("labelled_folder", **known)))


def test_a_large_folder_is_sampled_evenly(
    domain_file: Path, build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(10):
        Image.new("RGB", (20, 30)).save(tmp_path / f"{number}.png")
    monkeypatch.setattr("datasets.alignment_check.SAMPLE", 5)
    said = str(looked_at(domain_file, build("image_folder", folder=str(tmp_path))))
    assert said.startswith("5 of 5 pictures (an even sample of 10) do not look aligned")
    assert all(f"{number}.png" in said for number in range(0, 10, 2))
    assert len(AlignmentCheck(200, 200, ["name.png: no face was found in it"] * 200).__str__()) < 300


def test_domains_that_take_pictures_whole_are_not_asked(
    tiny_domain_folder: Path, photos: Path, build: Build, domain_file: Path
) -> None:
    data = build("image_folder", folder=str(photos))
    assert check_alignment(Domain.from_file(tiny_domain_folder / "domain.yaml"), data) is None
    drawn = build("avatar_faces", count=2, split="test", side=32)
    assert check_alignment(Domain.from_file(domain_file), drawn) is None


def test_without_dlib_one_sentence_says_that_nothing_was_checked(
    photos: Path, domain_file: Path, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    face_alignment._hog.cache_clear()
    monkeypatch.setitem(sys.modules, "dlib", None)
    check = looked_at(domain_file, build("image_folder", folder=str(photos)))
    assert str(check).startswith("whether the pictures are aligned was not checked: photographs are aligned with dlib")
    assert not check.is_fine and not check.doubts


@pytest.mark.parametrize("words", [[], ["--dry-run"]])
def test_training_says_it_and_goes_on(
    photos: Path, domain_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    rows = [f"{name},1,0,1,0,1" for name in ("aligned", "portrait", "couple")]
    (tmp_path / "labels.csv").write_text("\n".join([ATTRIBUTES, *rows]))
    config = {
        "domain": str(domain_file),
        "data": {"name": "labelled_folder", "folder": str(photos), "table": str(tmp_path / "labels.csv")},
        "method": {"name": "classifier", "part": "teacher", "labels": "labels", "learning_rate": 1e-3},
        "training": {"steps": 1, "batch_size": 2, "preview_images": 2},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    arguments = ["--config", str(tmp_path / "config.yaml"), "--run", str(tmp_path / "run"), "--quiet", *words]
    assert train.main(arguments) == 0
    said = capsys.readouterr().err
    assert "train.py: 2 of 3 pictures do not look aligned: " in said and said.count("\n") == 1


def test_encoding_as_aligned_says_it(
    photos: Path, domain_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(photos), "--domain", str(domain_file), "--quiet", "--device", "cpu"]
    assert encode_dataset.main([*words, "-o", str(tmp_path / "aligned"), "--aligned"]) == 0
    assert "2 of 3 pictures do not look aligned: " in capsys.readouterr().err
    assert encode_dataset.main([*words, "-o", str(tmp_path / "cut")]) == 0
    assert not capsys.readouterr().err
