"""The cache of latent codes: what it holds, that it resumes, and what makes it a new one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from datasets import latent_cache
from datasets.latent_cache import LatentCache
from models.domain import Domain

FACES = {"name": "avatar_faces", "count": 10, "split": "train", "side": 32}


@pytest.fixture(scope="module")
def domain(tiny_domain_folder: Path) -> Domain:
    return Domain.from_file(tiny_domain_folder / "domain.yaml")


@pytest.fixture(autouse=True)
def short_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latent_cache, "PORTION", 4)


def test_items_are_what_encoder_and_teacher_say(domain: Domain, tmp_path: Path) -> None:
    cache = LatentCache(domain, FACES, str(tmp_path), batch_size=3)
    fresh = [cache[index] for index in range(len(cache))]
    assert not list(tmp_path.rglob("*.npy"))  # nothing is stored before it is asked for
    cache.prepare()
    latents, teacher = cache.numbers()
    assert latents.shape == (10, domain.styles, domain.style_dim) and teacher.shape == (10, 5)
    for index, item in enumerate(fresh):
        stored = cache[index]
        assert torch.equal(stored["image"], item["image"])
        torch.testing.assert_close(stored["latent"], item["latent"])
        torch.testing.assert_close(stored["teacher"], item["teacher"])
        assert torch.equal(stored["latent"], latents[index]) and torch.equal(stored["teacher"], teacher[index])
    torch.testing.assert_close(fresh[7]["latent"], domain.encode(fresh[7]["image"][None])[0])
    torch.testing.assert_close(fresh[7]["teacher"], domain.teacher_probabilities(fresh[7]["image"][None])[0])


def test_what_is_stored_is_not_computed_again(
    domain: Domain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[int] = []
    compute = LatentCache._compute

    def counted(cache: LatentCache, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        encoded.append(len(images))
        if len(encoded) == 3:
            raise KeyboardInterrupt
        return compute(cache, images)

    monkeypatch.setattr(LatentCache, "_compute", counted)
    with pytest.raises(KeyboardInterrupt):
        LatentCache(domain, FACES, str(tmp_path), batch_size=4).prepare()
    LatentCache(domain, FACES, str(tmp_path), batch_size=4).prepare()
    assert encoded == [4, 4, 2, 2]
    LatentCache(domain, FACES, str(tmp_path), batch_size=4).prepare()
    assert encoded == [4, 4, 2, 2]


def test_other_faces_or_networks_are_another_cache(domain: Domain, tiny_domain_folder: Path, tmp_path: Path) -> None:
    folder = LatentCache(domain, FACES, str(tmp_path)).folder
    assert LatentCache(domain, dict(FACES), str(tmp_path)).folder == folder
    for change in ({"count": 9}, {"split": "test"}, {"correlation": 0.0}, {"mirror": True}):
        assert LatentCache(domain, {**FACES, **change}, str(tmp_path)).folder != folder
    other = Domain.from_file(tiny_domain_folder / "domain.yaml")
    with torch.no_grad():
        next(other.teacher.parameters()).add_(1e-3)
    assert LatentCache(other, FACES, str(tmp_path)).folder != folder


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(0, 20, 2):
        draw(folder / f"{number:02d}.png", number)
    return folder


def draw(path: Path, seed: int) -> None:
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(path)


@pytest.mark.parametrize("name", ["image_folder", "labelled_folder"])
def test_a_folder_that_grows_is_not_encoded_again(
    domain: Domain, tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    encoded: list[int] = []
    compute = LatentCache._compute
    monkeypatch.setattr(
        LatentCache, "_compute", lambda cache, images: (encoded.append(len(images)), compute(cache, images))[1]
    )
    faces: dict[str, object] = {"name": name, "folder": str(pictures)}
    if name == "labelled_folder":
        header = "picture,Eyeglasses,Male,Young,Smiling,Wavy_Hair\n"
        (tmp_path / "t.csv").write_text(header + "".join(f"{number:02d},1,0,1,0,1\n" for number in range(20)))
        faces |= {"table": str(tmp_path / "t.csv"), "mirror": True}
    else:
        faces |= {"side": 32}
    cache, times = str(tmp_path / "cache"), 2 if name == "labelled_folder" else 1
    small = LatentCache(domain, faces, cache).prepare()
    assert sum(encoded) == 10 * times
    for number in (3, 5):
        draw(pictures / f"{number:02d}.png", number)
    draw(pictures / "04.png", 44)  # changed
    grown = LatentCache(domain, faces, cache)
    assert sorted(path.name for path in grown.files()) == ["03.png", "04.png", "05.png"]
    grown.prepare()
    assert sum(encoded) == 13 * times and grown.folder != small.folder

    other = LatentCache(domain, faces, str(tmp_path / "elsewhere")).prepare()
    torch.testing.assert_close(grown.numbers(), other.numbers())
    places = [index for index in range(12) if grown.faces.path(index).name not in ("03.png", "04.png", "05.png")]
    old = [index for index in range(10) if index != 2]
    assert torch.equal(grown.numbers()[0][places], small.numbers()[0][old])


def test_equal_names_elsewhere_are_not_taken_for_the_same_pictures(
    domain: Domain, tmp_path: Path, pictures: Path, tiny_domain_folder: Path
) -> None:
    cache, faces = str(tmp_path / "cache"), {"name": "image_folder", "folder": str(pictures), "side": 32}
    first = LatentCache(domain, faces, cache).prepare()
    (tmp_path / "others").mkdir()
    for path in pictures.iterdir():
        draw(tmp_path / "others" / path.name, 100 + int(path.stem))
    draw(tmp_path / "others/99.png", 99)
    others = {**faces, "folder": str(tmp_path / "others")}
    second = LatentCache(domain, others, cache)
    assert len(second.files()) == 11
    assert not torch.equal(second.prepare().numbers()[0][0], first.numbers()[0][0])
    other = Domain.from_file(tiny_domain_folder / "domain.yaml")
    with torch.no_grad():
        next(other.encoder.parameters()).add_(1e-3)
    assert len(LatentCache(other, faces, cache).files()) == 10
