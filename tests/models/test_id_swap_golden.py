"""The identity swap's networks, losses and training set against the numbers of the published code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from datasets.face_samples import pair_files
from models.encoders.swap_encoder import SwapEncoder, swap_encoder_sizes
from models.landmarks import MobileFaceNet, mobilefacenet_sizes
from models.latent_mapper import latent_mapper_sizes
from scripts.check_golden import find_builder
from scripts.checks.golden.case import run_case

GOLDEN = Path(__file__).parents[1] / "golden"
RECORDS = {name: json.loads((GOLDEN / f"id_swap_{name}.json").read_text("utf-8")) for name in ("data", "landmarks")}


# The encoder at its published size (84 million parameters) is left to scripts/check_golden.py.
@pytest.mark.parametrize("name", ["mapper", "losses", "data", "landmarks"])
def test_recorded_numbers(name: str) -> None:
    result = run_case(GOLDEN / f"id_swap_{name}.json", find_builder(f"id_swap_{name}"))
    assert result.passed, "\n".join(result.failures())


def test_the_published_encoder_has_these_keys_in_this_order() -> None:
    record = json.loads((GOLDEN / "id_swap_encoder.json").read_text("utf-8"))
    with torch.device("meta"):
        network = SwapEncoder(**swap_encoder_sizes(record["shapes"]))
        assert swap_encoder_sizes(record["shapes"]).items() >= {"layers": [3, 4, 14, 3], "input_side": 256}.items()
        published = SwapEncoder()
    for encoder in (network, published):
        assert {key: list(value.shape) for key, value in encoder.state_dict().items()} == record["shapes"]
        assert sum(one.numel() for one in encoder.parameters()) == record["constants"]["parameters"]
    sections = list(dict.fromkeys(key.split(".")[0] for key in network.state_dict()))
    assert sections == ["input_layer", "output_layer", "output_layer2", "body"]


def test_landmarks_are_refused_at_another_side() -> None:
    network = MobileFaceNet(**mobilefacenet_sizes(RECORDS["landmarks"]["shapes"]))
    assert sum(one.numel() for one in network.parameters()) == RECORDS["landmarks"]["constants"]["parameters"]
    with pytest.raises(ValueError, match="takes pictures of 112 x 112, not 64 x 64"):
        network(torch.zeros(1, 3, 64, 64))


def test_a_mapper_too_narrow_for_the_identity_is_refused() -> None:
    with pytest.raises(ValueError, match="takes 32 numbers, of which the identity alone has 512"):
        latent_mapper_sizes({"model.0.weight": (8, 32), "model.2.weight": (4, 8)}, identity_dim=512)


def test_pairs_stand_where_the_published_ones_do() -> None:
    places = RECORDS["data"]["constants"]["evaluation_pairs_n_and_attribute_path"]
    for number, attributes in places:
        other = int(attributes.split("/")[1])
        assert pair_files(number, 10_000)["attr_small_image"] == f"attr_small_image/{attributes}.png"
        assert pair_files(other, 10_000)["id_small_image"] == f"id_small_image/{attributes}.png"
    made = [name for number in range(4) for name in pair_files(number, 4).values()]
    assert sorted(f"data/eval_10000/{name}" for name in made) == sorted(RECORDS["data"]["files"][1])
