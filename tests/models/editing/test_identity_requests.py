"""Edits by identity, through edit.py as a command and from Python."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models.editing.requests.base import RequestError
from models.editing.requests.identity import between, random_identity
from models.editing.studio import Face, Studio
from tests.masks import difference, noise, report, run, shown
from tests.photographs import couple, portrait
from utils.images import at_side
from utils.provenance import read_mark
from utils.weights import load_weights, save_weights


@pytest.fixture(scope="module")
def swapping(tiny_swap_editor: Path) -> Studio:
    return Studio.open(tiny_swap_editor, device="cpu")


@pytest.fixture(scope="module")
def pair(swapping: Studio, photos: Path) -> list[Face]:
    return [swapping.find(path)[0] for path in sorted(photos.iterdir())[:2]]


def test_the_identity_of_another_face(swapping: Studio, pair: list[Face], photos: Path) -> None:
    editor, (scene, person) = swapping.pipeline.editor, pair
    images = [at_side(face.inverted.image, 64) for face in (person, scene)]
    expected = editor.mapper.code(
        editor.encoder(images[0])[0], editor.encoder(images[1])[1], swapping.pipeline.domain.styles
    )
    edit = scene.edit(identity=person)
    torch.testing.assert_close(edit.latent, expected[0], rtol=0, atol=1e-6)
    assert scene.edit(identity=photos / "face-1.png").picture.tobytes() == edit.picture.tobytes()
    assert scene.edit(identity=(person, 1)).picture.tobytes() == edit.picture.tobytes()
    assert edit.identity_to(person) == pytest.approx(float((edit.result.embedding @ person.inverted.embedding[0])[0]))
    own = scene.edit(identity=(person, 0))
    assert difference(own.picture, edit.picture) > 2
    assert own.picture.tobytes() == scene.edit(identity=scene).picture.tobytes()  # the same face twice
    assert person.edit(identity=scene).picture.tobytes() != edit.picture.tobytes()


def test_the_way_from_one_identity_to_another_is_a_great_circle() -> None:
    own, other = (random_identity(seed, 7) for seed in (1, 2))
    shares = (0, 0.25, 0.5, 1)
    found = [between(own[None], other, share)[0] for share in shares]
    assert torch.equal(found[0], own) and torch.equal(found[-1], other)
    whole = float((own @ other).acos())
    for share, vector in zip(shares, found, strict=True):
        assert float(vector.norm()) == pytest.approx(1, abs=1e-6)
        assert float((own @ vector).clamp(-1, 1).acos()) == pytest.approx(share * whole, abs=1e-3)
    assert torch.allclose(between(own[None], own, 0.5)[0], own, atol=1e-3)


def test_a_random_identity_is_the_same_for_a_seed(pair: list[Face]) -> None:
    first, again, other = (pair[0].edit(identity=f"random:{seed}").picture for seed in (3, 3, 4))
    assert first.tobytes() == again.tobytes() and difference(first, other) > 2


def test_what_is_no_identity_is_named(swapping: Studio, pair: list[Face], studio: Studio) -> None:
    face = pair[0]
    for share in (-0.1, 1.1, float("nan"), "much"):
        with pytest.raises(RequestError, match="a share of an identity is a number from 0 to 1"):
            face.edit(identity=(pair[1], share))  # type: ignore[arg-type]
    for seed in ("", "-1", "one", "9" * 30):
        with pytest.raises(RequestError, match="write random:SEED with a whole number"):
            face.edit(identity=f"random:{seed}")
    with pytest.raises(RequestError, match="must be a face or picture, or a pair"):
        face.edit(identity=(pair[1],))  # type: ignore[arg-type]
    with pytest.raises(RequestError, match="this editor takes no mask requests; it takes: identity"):
        face.edit(mask=np.zeros((32, 32), np.uint8))
    with pytest.raises(RequestError, match="found by another studio"):
        face.edit(identity=studio.find(noise(1))[0])
    with pytest.raises(RequestError, match="attributes and identity at once"):
        face.edit(identity=pair[1], Smiling=1)


def test_edit_py_gives_each_photograph_each_identity(photos: Path, tiny_swap_editor: Path, tmp_path: Path) -> None:
    people = tmp_path / "people"
    people.mkdir()
    for number in (4, 5):
        noise(number).save(people / f"person-{number}.png")
    arguments = (photos, "-o", tmp_path / "out", "--checkpoint", tiny_swap_editor, "--identity", people)
    assert run(*arguments, "--identity-grid") == 0
    said = report(tmp_path / "out")
    assert len(said["edits"]) == 2 and len(said["faces"]) == 3
    for label, edit in said["edits"].items():
        number = label.split("-")[2]
        assert edit["identity"].startswith(f"person-{number}.png (") and edit["identity share"] == "1"
    entry = said["faces"][0]
    for label in said["edits"]:
        assert -1 <= entry["edits"][label]["identity_to_other"] <= 1
        assert "warning" not in entry["edits"][label]  # another person is what was asked for
        mark = read_mark(tmp_path / "out" / entry["outputs"][label])
        assert mark is not None and mark["digest"] and mark["asked"] == said["edits"][label]
    with Image.open(tmp_path / "out/grid.png") as grid:
        assert grid.size == (3 * 32, 4 * 32) and set(grid.crop((0, 0, 32, 32)).getdata()) == {(255, 255, 255)}
        assert difference(grid.crop((32, 0, 64, 32)), noise(4)) <= 1
        label = next(iter(said["edits"]))
        assert difference(grid.crop((32, 32, 64, 64)), shown(tmp_path / "out", entry, label).astype(np.uint8)) == 0


def test_shares_and_seeds_of_edit_py(photos: Path, tiny_swap_editor: Path, tmp_path: Path) -> None:
    common = (photos / "face-0.png", "--checkpoint", tiny_swap_editor)
    walk = ("--identity", photos / "face-1.png", "--identity-share", "0:1:5")
    assert run(*common, "-o", tmp_path / "walk", *walk) == 0
    assert [edit["identity share"] for edit in report(tmp_path / "walk")["edits"].values()] == [
        "0", "0.25", "0.5", "0.75", "1",
    ]  # fmt: skip
    seeds = ("--identity", "random:1", "--identity", "random:2")
    assert run(*common, "-o", tmp_path / "seeds", *seeds) == 0
    assert [edit["identity"] for edit in report(tmp_path / "seeds")["edits"].values()] == ["random:1", "random:2"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--identity-share", "0.5"], "--identity must say whose"),
        (["--identity-grid"], "--identity must say whose"),
        (["--identity", "random:1", "--identity-share", "2"], "from 0 to 1"),
        (["--identity", "random:1", "--identity-share", "0:1"], "FIRST:LAST:COUNT"),
        (["--identity", "random:1", "--identity-share", "0:1:3", "--identity-grid"], "shows one share"),
        (["--identity", "random:x"], "random:SEED"),
        (["--identity", "nowhere.png"], "nowhere.png"),
        (["--set", "Smiling=1"], "takes no attribute requests; it takes: identity"),
        ([], "no edit is asked for; this editor (ID swap) takes: identity"),
    ],
)
def test_wrong_options(
    options: list[str],
    words: str,
    photos: Path,
    tiny_swap_editor: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(photos, "-o", tmp_path / "out", "--checkpoint", tiny_swap_editor, *options) == 2
    assert words in capsys.readouterr().err


def test_identities_of_pictures_of_all_kinds(photos: Path, tiny_swap_editor: Path, tmp_path: Path) -> None:
    people = tmp_path / "people"
    people.mkdir()
    noise(6).convert("L").save(people / "grey.png")
    noise(6).convert("RGBA").save(people / "alpha.png")
    noise(6).resize((90, 70)).save(people / "larger.jpg")
    assert run(photos, "-o", tmp_path / "out", "--checkpoint", tiny_swap_editor, "--identity", people) == 0
    assert {edit["identity"].split(" ")[0] for edit in report(tmp_path / "out")["edits"].values()} == {
        "alpha.png", "grey.png", "larger.jpg",
    }  # fmt: skip


def test_photographs_with_two_faces_and_with_none(
    tiny_swap_editor: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state, metadata = load_weights(tiny_swap_editor)
    metadata["domain"]["aligner"] = {"name": "dlib"}
    save_weights(tmp_path / "editor.safetensors", state, metadata)
    couple().save(tmp_path / "couple.png")
    portrait().save(tmp_path / "portrait.png")
    Image.new("RGB", (300, 300), "white").save(tmp_path / "wall.png")
    common = ("--checkpoint", tmp_path / "editor.safetensors", "-o", tmp_path / "out")
    assert run(tmp_path / "couple.png", *common, "--identity", tmp_path / "portrait.png") == 0
    assert len(report(tmp_path / "out")["faces"]) == 2  # both get it, and are pasted back
    assert list((tmp_path / "out/photos").iterdir())
    assert run(tmp_path / "portrait.png", *common, "--identity", tmp_path / "couple.png") == 0  # the larger one
    assert run(tmp_path / "portrait.png", *common, "--identity", tmp_path / "wall.png") == 2
    assert "--identity" in (said := capsys.readouterr().err) and "wall.png" in said
    assert run(tmp_path / "wall.png", *common, "--identity", tmp_path / "portrait.png", "--overwrite") == 1
    assert json.loads((tmp_path / "out/report.json").read_text())["faces"][0]["status"] == "failed"


def test_a_domain_without_encoder_serves_an_editor_that_reads_no_codes(
    tiny_swap_editor: Path, photos: Path, tmp_path: Path
) -> None:
    state, metadata = load_weights(tiny_swap_editor)
    del metadata["domain"]["encoder"], metadata["fingerprints"]["encoder"]
    save_weights(tmp_path / "editor.safetensors", state, metadata)
    arguments = (photos, "-o", tmp_path / "out", "--checkpoint", tmp_path / "editor.safetensors")
    assert run(*arguments, "--identity", photos / "face-1.png") == 0
    entry = report(tmp_path / "out")["faces"][1]
    label = next(iter(entry["edits"]))
    assert difference(shown(tmp_path / "out", entry, label), shown(tmp_path / "out", entry, "inversion")) == 0
