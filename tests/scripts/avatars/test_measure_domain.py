"""Reports of measure_domain.py on numbers whose answer is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from models.domain import Domain
from models.editing.reconstruction import reconstruction_distance
from models.parsing.agreement import confusion
from scripts.avatars.measure_domain import main
from scripts.avatars.measures.bars import Bar, bars, card
from scripts.avatars.measures.classifiers import accuracy_report
from scripts.avatars.measures.encoder import inversion_report
from scripts.avatars.measures.generator import attribute_shares, nuisance_shares
from scripts.avatars.measures.identity import verification_report
from scripts.avatars.measures.nuisances import NUISANCES, determination, thirds
from scripts.avatars.measures.parser import agreement_report
from utils.config import Section
from utils.paths import ROOT

ATTRIBUTES = ["Eyeglasses", "Male", "Young", "Smiling", "Wavy_Hair"]


@pytest.fixture(scope="module")
def domain() -> Domain:
    return Domain(Section({"name": "toy", "attributes": ATTRIBUTES, "image_side": 8}))


def unit(rng: np.random.Generator, *shape: int) -> np.ndarray:
    x = rng.standard_normal(shape)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def test_accuracy_leaves_out_what_is_near_the_threshold(domain: Domain) -> None:
    values = np.array([[1, 0, 0.52, 0.9, 1], [0, 1, 0.40, 0.47, 0], [1, 1, 0.10, 0.6, 1]])
    logits = np.array([[1, -1, -1, 2, -1], [-1, 1, -2, 1, -1], [1, -1, -3, 1, 1.0]])
    report = accuracy_report(domain, logits, values)
    assert report["accuracy"] == pytest.approx(dict(zip(ATTRIBUTES, [1, 2 / 3, 1, 1, 2 / 3], strict=True)))
    assert report["accuracy_all_faces"]["Young"] == pytest.approx(2 / 3)
    assert report["clear_faces"] == {"Eyeglasses": 3, "Male": 3, "Young": 2, "Smiling": 2, "Wavy_Hair": 3}
    assert report["rank_correlation"]["Young"] == pytest.approx(1)
    assert set(report["rank_correlation"]) == {"Young", "Smiling"}


def test_verification_tells_a_good_embedding_from_one_that_sees_attributes_and_from_a_constant() -> None:
    rng = np.random.default_rng(0)
    identity = np.repeat(np.arange(40), 6)
    values = rng.random((240, 5))
    people = unit(rng, 40, 16)[identity]
    good = verification_report(people, identity, values)
    assert good["auc"] == 1 and good["same_person_cosine"] == pytest.approx(1)
    assert abs(good["different_people_cosine"]) < 0.1
    constant = verification_report(unit(rng, 1, 16).repeat(240, 0), identity, values)
    assert constant["auc"] == 0.5 and constant["different_people_cosine"] == pytest.approx(1)
    attributes = 2.0 * (values > 0.5) - 1 + 0.01 * rng.standard_normal((240, 5))
    blind = verification_report(attributes / np.linalg.norm(attributes, axis=1, keepdims=True), identity, values)
    assert blind["hard"]["auc"] < 0.01


def test_thirds_are_even_for_the_same_distribution_and_show_where_faces_are_missing() -> None:
    real = np.random.default_rng(1).random(30000)
    assert thirds(real, real) == pytest.approx([1 / 3] * 3, abs=1e-3)
    assert thirds(real, real / 3) == pytest.approx([1, 0, 0], abs=0.02)


def test_determination_is_one_for_the_truth_and_zero_for_the_mean_and_skips_what_cannot_be_seen() -> None:
    true = np.random.default_rng(2).standard_normal((500, 2))
    true[:250, 1] = np.nan
    means = np.broadcast_to(np.nanmean(true, 0), true.shape)
    np.testing.assert_allclose(determination(np.nan_to_num(true), true), 1)
    np.testing.assert_allclose(determination(means, true), 0, atol=1e-12)


def test_shares_are_compared_in_points(domain: Domain) -> None:
    real, fake = np.full((100, 5), 3.0), np.full((100, 5), 3.0)
    real[:50, 2], fake[:75, 2] = -3.0, -0.5
    shares = attribute_shares(domain, real, fake)
    assert shares["difference_points"]["Young"] == pytest.approx(-25)
    assert shares["difference_points"]["Male"] == 0
    assert shares["ambiguous_generated"]["Young"] == 0.75 and shares["ambiguous_drawn"]["Young"] == 0


def quality_report(domain: Domain) -> dict:
    rng = np.random.default_rng(3)
    logits, values = rng.standard_normal((300, 5)), rng.random((300, 5))
    factors = {"factors": rng.random((300, len(NUISANCES))), "logits": logits}
    accuracy = accuracy_report(domain, logits, values)
    kinds = {"decorrelated": accuracy, "correlated": accuracy}
    identity = verification_report(unit(rng, 300, 8), np.arange(300) // 6, values)
    found = {
        "before": logits, "after": -logits, "features": rng.random((300, 4)), "feature_distance": rng.random(300),
        "identity_cosine": rng.random(300), "pixel_mse": rng.random(300), "reconstruction_distance": rng.random(300),
    }  # fmt: skip
    inversion = inversion_report(domain, found)
    mask = torch.tensor([[1, 1, 13, 13]])
    seen = confusion(mask, torch.tensor([[1, 13, 13, 0]]))
    return {
        "networks": {"judge": {"parameters": 5, "megabytes": 1.0, "fingerprint": "ab"}},
        "judge": kinds,
        "teacher": kinds,
        "identity": {"people": 50, "views": 6, **identity},
        "generator": {
            "faces": 300, "frechet_share": 0.05, "frechet_share_of_drawn_faces": 0.0005,
            "attributes": attribute_shares(domain, logits, logits),
            "nuisances": nuisance_shares(factors, factors, np.linspace(0, 1, len(NUISANCES)), 0),
        },
        "encoder": {"correlated": inversion, "decorrelated": inversion, "reconstruction_limit": 0.9},
        "parser": {"faces": 2, "drawn": agreement_report(confusion(mask, mask)), "inversions": agreement_report(seen)},
    }  # fmt: skip


def test_inversion_that_turns_every_decision_keeps_none(domain: Domain) -> None:
    report = quality_report(domain)["encoder"]["correlated"]
    assert set(report["decisions_kept"].values()) == {0.0}


def test_bars_count_only_readable_nuisances_and_the_card_shows_everything(domain: Domain, tmp_path: Path) -> None:
    report = json.loads(json.dumps(quality_report(domain)))
    names = [bar.name for bar in bars(report)]
    assert len(names) == 5 + 5 + 2 + 1 + 5 + len(NUISANCES) // 2 + 5 + 1 + 2
    assert not any("skin" in name for name in names) and any("hair_volume" in name for name in names)
    text = card(report)
    for name in (*ATTRIBUTES, *NUISANCES, "Reconstruction limit", "0.9000"):
        assert name in text
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) == 7
    assert "| skin | 1.000 | 1.000 | 0.500 | 0.500 |" in text and "| hair | 1.000 | 1.000 | 0.333 | 0.500 |" in text
    assert "| mean, all pixels | 1.000 | 1.000 | 0.278 | 0.500 |" in text and "necklace" not in text
    for lines in tables:
        assert len({line.count("|") for line in lines}) == 1  # as many cells in each row


def test_accuracy_on_all_faces_stands_beside_that_without_ambiguous_ones(domain: Domain) -> None:
    values = np.linspace(0, 1, 200)[:, None].repeat(5, 1)
    logits = np.where(np.abs(values - 0.5) < 0.02, 0.5 - values, values - 0.5)  # wrong about the most ambiguous alone
    found = {kind: accuracy_report(domain, logits, values) for kind in ("correlated", "decorrelated")}
    row = next(line for line in card({"judge": found}).splitlines() if line.startswith("| correlated | Young |"))
    assert row.startswith("| correlated | Young | 200 | 96.00 % | 180 | 100.00 % |")


def test_the_model_card_holds_the_measured_numbers() -> None:
    folder = ROOT / "pretrained/avatars"
    measured = card(json.loads((folder / "quality.json").read_text("utf-8"))).partition("\n\n")[2]
    assert (folder / "README.md").read_text("utf-8").endswith(measured), "measure_domain.py --card prints the tables"


def test_a_bar_knows_its_direction() -> None:
    assert Bar("x", 0.99, 0.99, True).met and not Bar("x", 0.98, 0.99, True).met
    assert Bar("x", 0.06, 0.06, False).met and not Bar("x", 0.07, 0.06, False).met
    assert not Bar("x", float("nan"), 0.99, True).met and not Bar("x", float("nan"), 0.06, False).met


def test_the_card_needs_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str], domain: Domain) -> None:
    output = tmp_path / "quality.json"
    assert main(["--card", "--output", str(output)]) == 2
    assert "measure first" in capsys.readouterr().err
    output.write_text(json.dumps(quality_report(domain)))
    assert main(["--card", "--output", str(output)]) == 0
    assert capsys.readouterr().out.startswith("# Networks of the avatar domain")


def test_reconstruction_distance_is_the_unexplained_share(domain: Domain) -> None:
    torch.manual_seed(0)
    image = torch.rand(4, 3, 8, 8) * 2 - 1
    mean = image.mean((2, 3), keepdim=True).expand_as(image)
    torch.testing.assert_close(reconstruction_distance(domain, image, image), torch.zeros(4))
    torch.testing.assert_close(reconstruction_distance(domain, image, mean), torch.ones(4))
    halfway = image.lerp(mean, 0.5)
    torch.testing.assert_close(reconstruction_distance(domain, image, halfway), torch.full((4,), 0.25))
    faint = mean + 0.1 * (image - mean)  # contrast does not matter
    torch.testing.assert_close(
        reconstruction_distance(domain, faint, faint.lerp(mean, 0.5)), torch.full((4,), 0.25), rtol=1e-3, atol=1e-4
    )
    grey = torch.zeros(1, 3, 8, 8)
    assert float(reconstruction_distance(domain, grey, image[:1])) > 10  # a flat picture is no face
