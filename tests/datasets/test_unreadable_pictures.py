"""All pictures that cannot be read are named before the work begins, by every data set of pictures."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import train
from datasets import DATASETS
from datasets.latent_cache import LatentCache
from datasets.pictures import Pictures, UnreadablePictures, check_pictures
from models.domain import Domain
from utils.celeba import CELEBA_ATTRIBUTES
from utils.config import Section

COUNT = 12
BAD = {3: "damaged or cut off", 7: "the file is empty", 10: "not a picture of a known format"}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(COUNT):
        path = folder / f"{number:05d}.png"
        Image.fromarray(random.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(path)
        if number in BAD:
            path.write_bytes({3: path.read_bytes()[:1500], 7: b"", 10: b"<html>not found</html>"}[number])
    names = [f"{number:05d}.png" for number in range(COUNT)]
    attributes = ["Eyeglasses", "Male", "Young", "Smiling", "Wavy_Hair"]
    rows = [f"{name},1,0,1,0,1" for name in names]
    (tmp_path / "labels.csv").write_text("\n".join(["picture," + ",".join(attributes), *rows]))
    rows = [",".join([name, *["1"] * 40]) for name in names]
    (tmp_path / "celeba.csv").write_text("\n".join(["image_id," + ",".join(CELEBA_ATTRIBUTES), *rows]))
    return folder


def sections(pictures: Path, cache: Path) -> dict[str, dict[str, object]]:
    folder, beside = str(pictures), pictures.parent
    plain: dict[str, object] = {"name": "image_folder", "folder": folder, "side": 32}
    labelled = {"name": "labelled_folder", "folder": folder, "table": str(beside / "labels.csv"), "mirror": True}
    return {
        "image_folder": plain,
        "ffhq": {"name": "ffhq", "folder": folder, "side": 32},
        "labelled_folder": labelled,
        "celeba": {"name": "celeba", "folder": folder, "labels": str(beside / "celeba.csv"), "split": "all"},
        "latent_cache": {"name": "latent_cache", "faces": plain, "cache": str(cache)},
        "latent_cache of labelled": {"name": "latent_cache", "faces": labelled, "cache": str(cache)},
    }


@pytest.fixture
def build(tiny_domain_folder: Path, pictures: Path, tmp_path: Path) -> Callable[[str], object]:
    domain = Domain.from_file(tiny_domain_folder / "domain.yaml")
    return lambda name: DATASETS.build(Section(sections(pictures, tmp_path / "cache")[name], "data"), domain=domain)


@pytest.mark.parametrize("name", ["image_folder", "ffhq", "labelled_folder", "celeba", "latent_cache"])
def test_all_are_named_in_one_message(build: Callable[[str], object], name: str) -> None:
    with pytest.raises(UnreadablePictures) as caught:
        check_pictures(build(name), None, build(name))  # as training and validation data: each picture once
    said = str(caught.value).splitlines()
    assert said[0] == f"3 of {COUNT} pictures cannot be read; remove or replace them, then start again:"
    assert len(said) == 4
    for line, (number, reason) in zip(said[1:], BAD.items(), strict=True):
        assert f"{number:05d}.png: {reason}" in line


@pytest.mark.parametrize("name", ["latent_cache", "latent_cache of labelled"])
def test_a_latent_cache_is_not_begun_with_bad_pictures_and_not_read_again_once_it_is_stored(
    build: Callable[[str], object], name: str, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = build(name)
    assert isinstance(cache, LatentCache)
    with pytest.raises(UnreadablePictures, match="3 of 12"):
        cache.prepare()
    assert not cache.folder.exists()
    for number in BAD:
        (pictures / f"{number:05d}.png").unlink()
    cache = build(name)
    assert isinstance(cache, LatentCache) and len(cache.files()) == COUNT - 3
    cache.prepare()
    assert not cache.files()
    check_pictures(cache)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
def test_files_that_are_no_files_are_named_as_well(build: Callable[[str], object], pictures: Path) -> None:
    for number in BAD:
        (pictures / f"{number:05d}.png").unlink()
    (pictures / "folder.png").mkdir()
    (pictures / "broken.png").symlink_to(pictures / "nothing")
    os.mkfifo(pictures / "pipe.png")
    Path(os.fsdecode(os.fsencode(pictures) + b"/\xff\n.png")).write_bytes(b"")
    with pytest.raises(UnreadablePictures, match="3 of 12 pictures") as caught:
        check_pictures(build("latent_cache"))
    lines = str(caught.value).splitlines()
    assert len(lines) == 4 and "broken.png: there is no such file" in lines[1] and "no regular file" in lines[2]
    caught.value.message().encode()


def test_a_long_list_is_bounded_and_kept_whole_in_a_file(tmp_path: Path) -> None:
    error = UnreadablePictures([f"{number}.png: the file is empty" for number in range(3000)], 70_000)
    assert str(error).startswith("3,000 of 70,000 pictures cannot be read") and len(str(error)) < 1000
    said = error.message(tmp_path / "run")
    assert said.splitlines()[-1].endswith(f"and 2,980 more; all are listed in {tmp_path}/run/unreadable_pictures.txt")
    assert len((tmp_path / "run/unreadable_pictures.txt").read_text().splitlines()) == 3000


@pytest.mark.parametrize("name", ["latent_cache", "labelled_folder"])
@pytest.mark.parametrize("words", [[], ["--dry-run"]])
def test_training_and_dry_run_refuse_to_begin(
    tiny_domain_folder: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str,
    words: list[str],
) -> None:  # fmt: skip
    method: dict[str, object] = {"name": "classifier", "part": "teacher", "labels": "labels", "learning_rate": 1e-3}
    config = {
        "domain": str(tiny_domain_folder / "domain.yaml"),
        "data": sections(pictures, tmp_path / "cache")[name],
        "method": {"name": "linear"} if name == "latent_cache" else method,
        "training": {"steps": 0 if name == "latent_cache" else 2, "batch_size": 4},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    assert train.main(["--config", str(tmp_path / "config.yaml"), "--run", str(tmp_path / "run"), *words]) == 2
    said = capsys.readouterr().err
    assert said.startswith("train.py: 3 of 12 pictures cannot be read") and "Traceback" not in said
    assert not (tmp_path / "run").exists() and not (tmp_path / "cache").exists()


def test_an_interrupted_search_is_one_sentence(
    tiny_domain_folder: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def interrupted(*_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(Pictures, "unreadable", interrupted)
    config = {
        "domain": str(tiny_domain_folder / "domain.yaml"),
        "data": sections(pictures, tmp_path / "cache")["latent_cache"],
        "method": {"name": "linear"},
        "training": {"steps": 0, "batch_size": 4},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    assert train.main(["--config", str(tmp_path / "config.yaml"), "--run", str(tmp_path / "run")]) == 1
    assert capsys.readouterr().err.startswith("train.py: interrupted; the same command")
