"""Worker processes that are spawned, as on Windows and macOS, get a data set as a pickle: files, no networks."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from datasets import DATASETS
from datasets.latent_cache import LatentCache
from models.domain import Domain
from scripts import encode_dataset
from training.batches import step_loader
from utils.celeba import CELEBA_ATTRIBUTES
from utils.config import Section

COUNT = 6
UNPREPARED = ("latent_cache", "mask_targets")  # nothing of them is stored
Item = Mapping[str, Tensor]


@pytest.fixture(scope="module")
def data_sets(tiny_domain_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Dataset]:
    """Every data set, in the states that it goes through."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "pictures").mkdir()
    random = np.random.default_rng(0)
    for number in range(COUNT):
        picture = Image.fromarray(random.integers(0, 256, (32, 32, 3), dtype=np.uint8))
        picture.save(folder / f"pictures/{number:05d}.png")
    names = [f"{number:05d}.png" for number in range(COUNT)]
    rows = ["picture,Eyeglasses,Male,Young,Smiling,Wavy_Hair", *(f"{name},1,0,0.5,0,1" for name in names)]
    (folder / "labels.csv").write_text("\n".join(rows))
    rows = ["image_id," + ",".join(CELEBA_ATTRIBUTES), *(",".join([name, *["1"] * 40]) for name in names)]
    (folder / "celeba.csv").write_text("\n".join(rows))
    pictures, domain_file = str(folder / "pictures"), tiny_domain_folder / "domain.yaml"
    words = [pictures, "-o", str(folder / "encoded"), "--domain", str(domain_file), "--aligned", "--quiet"]
    assert encode_dataset.main([*words, "--device", "cpu"]) == 0

    drawn = {"side": 32, "cache": str(folder / "drawn")}
    plain = {"name": "image_folder", "folder": pictures, "side": 32}
    latents = {"name": "latent_cache", "faces": plain, "cache": str(folder / "latents")}
    sections: dict[str, dict[str, object]] = {
        "avatar_faces": {"name": "avatar_faces", "count": COUNT, "side": 32},
        "avatar_faces kept": {"name": "avatar_faces", "count": COUNT, "normals": True, **drawn},
        "avatar_identities": {"name": "avatar_identities", "identities": 3, "views": 2, **drawn},
        "celeba": {"name": "celeba", "folder": pictures, "labels": str(folder / "celeba.csv"), "split": "all"},
        "encoded_faces": {"name": "encoded_faces", "folder": str(folder / "encoded")},
        "ffhq": {"name": "ffhq", "folder": pictures, "side": 32},
        "image_folder": plain,
        "labelled_folder": {"name": "labelled_folder", "folder": pictures, "table": str(folder / "labels.csv")},
        "latent_cache": latents,
        "latent_cache prepared": latents,
        "latent_cache of drawn faces": {**latents, "faces": {"name": "avatar_faces", "count": COUNT, "side": 32}},
        "mask_targets": {**latents, "name": "mask_targets", "nearest": 3},
        "mask_targets prepared": {**latents, "name": "mask_targets", "nearest": 3},
    }
    assert {str(section["name"]) for section in sections.values()} == set(DATASETS.entries)
    domain = Domain.from_file(domain_file)
    built = {name: DATASETS.build(Section(section, "data"), domain=domain) for name, section in sections.items()}
    for name, data in built.items():
        assert len(data[0]["image"].shape) == 3  # opens files; networks are loaded
        if isinstance(data, LatentCache) and name not in UNPREPARED:
            data.prepare()
    assert {"encoder", "teacher"} <= set(domain.loaded())
    return built


def items(data: Dataset) -> Iterator[Item]:
    return (data[index] for index in range(COUNT))


def assert_equal(one: Item, other: Item, exactly: bool = True) -> None:
    assert one.keys() == other.keys()
    for key in one:
        torch.testing.assert_close(one[key], other[key], equal_nan=True, **({"rtol": 0, "atol": 0} if exactly else {}))


def test_pickles_hold_files_and_no_networks(data_sets: dict[str, Dataset]) -> None:
    for name, data in data_sets.items():
        pickled = pickle.dumps(data)
        assert len(pickled) < 10_000, name
        assert b"torchvision" not in pickled and b"models.encoders" not in pickled, name


class InTurn(Dataset):
    """Items of several data sets, one after the other."""

    def __init__(self, data_sets: dict[str, Dataset]) -> None:
        self.data_sets = list(data_sets.values())

    def __len__(self) -> int:
        return COUNT * len(self.data_sets)

    def __getitem__(self, index: int) -> Item:
        return self.data_sets[index // COUNT][index % COUNT]


def test_a_spawned_worker_reads_the_same_items(data_sets: dict[str, Dataset]) -> None:
    """Without what is stored, the worker loads the networks itself, also where torchvision's binary does not load."""
    loader = DataLoader(InTurn(data_sets), batch_size=None, num_workers=1, multiprocessing_context="spawn")
    received = iter(loader)
    for name, data in data_sets.items():
        for expected in items(data):
            assert_equal(next(received), expected, exactly=name not in UNPREPARED)


@pytest.mark.parametrize("workers", [1, 2])
def test_batches_of_workers_are_those_without(data_sets: dict[str, Dataset], workers: int) -> None:
    data = data_sets["latent_cache prepared"]
    alone = list(step_loader(data, 4, 0, 0, 5, 0, False))
    for expected, batch in zip(alone, step_loader(data, 4, 0, 0, 5, workers, False), strict=True):
        assert isinstance(expected, dict) and isinstance(batch, dict)
        assert_equal(batch, expected)
