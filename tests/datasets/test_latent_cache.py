"""The cache of latent codes: what it holds, that it resumes, and what makes it a new one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

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
