"""An editor's file brings its domain along and fits no other."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from models.domain import PARTS
from models.editors.loading import load_editor
from models.editors.targets import SetTo
from utils.config import ConfigError
from utils.paths import ROOT
from utils.weights import WeightsError, load_weights, save_weights


def test_file_and_run_folder_give_the_same(tiny_domain_folder: Path) -> None:
    one, domain, metadata = load_editor(tiny_domain_folder / "editor.safetensors")
    other, _, _ = load_editor(tiny_domain_folder)
    assert one.attributes == other.attributes == domain.attributes
    assert metadata["method"] == "sdflow" and len(metadata["hash"]) == 16
    image = torch.rand(2, 3, 32, 32) * 2 - 1
    latent = domain.encode(image)
    assert torch.equal(one.read(latent, image), other.read(latent, image))
    edits = [editor.edit(latent, image, {"Smiling": SetTo(1.0)}) for editor in (one, other)]
    assert torch.equal(*edits) and edits[0].shape == latent.shape


def copied(folder: Path, into: Path) -> Path:
    """A domain of its own: the editor's metadata point to the copied weights."""
    shutil.copytree(folder, into)
    state, metadata = load_weights(into / "editor.safetensors")
    for part in ("generator", "encoder", "teacher", "judge", "identity"):
        metadata["domain"][part]["weights"] = str(into / f"{part}.safetensors")
    save_weights(into / "editor.safetensors", state, metadata)
    return into


@pytest.mark.parametrize("part", ["generator", "encoder"])
def test_another_network_is_named(tiny_domain_folder: Path, tmp_path: Path, part: str) -> None:
    folder = copied(tiny_domain_folder, tmp_path / "domain")
    _, domain, metadata = load_editor(folder)
    state, about = load_weights(folder / f"{part}.safetensors")
    key = next(key for key, value in state.items() if value.is_floating_point() and value.numel() > 1)
    state[key] += 0.01
    save_weights(folder / f"{part}.safetensors", state, about)
    with pytest.raises(WeightsError) as error:
        load_editor(folder)
    assert f"trained with {part} {metadata['fingerprints'][part]}" in str(error.value)
    assert f"{part}.safetensors is {part} " in str(error.value)


def test_what_is_no_editor(tiny_domain_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no editor's file"):
        load_editor(tiny_domain_folder / "generator.safetensors")
    with pytest.raises(WeightsError, match="no such weight file"):
        load_editor(tmp_path / "gone.safetensors")
    with pytest.raises(WeightsError, match="train.py --resume"):
        load_editor(tmp_path)
    state, _ = load_weights(tiny_domain_folder / "editor.safetensors")
    save_weights(tmp_path / "step-1.safetensors", state, {"version": 1, "step": 1, "config": {}})
    with pytest.raises(WeightsError, match="give its run's folder"):
        load_editor(tmp_path / "step-1.safetensors")
    (tmp_path / "editor.safetensors").write_bytes((tiny_domain_folder / "editor.safetensors").read_bytes()[:5000])
    with pytest.raises(WeightsError, match="not a whole safetensors file"):
        load_editor(tmp_path)


def test_missing_weights_of_the_domain(tiny_domain_folder: Path, tmp_path: Path) -> None:
    folder = copied(tiny_domain_folder, tmp_path / "domain")
    (folder / "generator.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"generator.safetensors: no such weight file; the tests make it"):
        load_editor(folder)


def moved(folder: Path, tmp_path: Path) -> tuple[Path, Path]:
    """An editor whose networks lie elsewhere than its file says, and the folder where they lie."""
    there = copied(folder, tmp_path / "there")
    shutil.move(there / "editor.safetensors", tmp_path / "alone.safetensors")
    here = tmp_path / "here"
    shutil.move(there, here)
    config = here / "domain.yaml"
    config.write_text(config.read_text().replace(str(folder), str(here)))
    return tmp_path / "alone.safetensors", here


def test_networks_that_were_moved(tiny_domain_folder: Path, tmp_path: Path) -> None:
    """Before, only a link at the old path helped."""
    editor, here = moved(tiny_domain_folder, tmp_path)
    with pytest.raises(WeightsError, match="there/.* the tests make it; .* --weights FOLDER or --domain CONFIG"):
        load_editor(editor)
    with pytest.raises(ConfigError, match="nowhere: there is no such folder"):
        load_editor(editor, weights=tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"--weights .*empty: holds none of .* \(generator\.safetensors, encoder"):
        load_editor(editor, weights=tmp_path / "empty")
    for place in ({"domain_config": here / "domain.yaml"}, {"weights": here}):
        _, domain, _ = load_editor(editor, **place)  # type: ignore[arg-type]
        assert all(domain.weights_path(part).parent == here for part in PARTS)
    shutil.copy(editor, here / "editor.safetensors")
    _, domain, _ = load_editor(here)  # beside it
    assert domain.weights_path("encoder") == here / "encoder.safetensors"
    state, about = load_weights(here / "encoder.safetensors")
    state["latent_avg"] += 1  # no weight of the network
    state[next(key for key in state if key.endswith("conv.weight") or key.endswith(".weight"))] += 0.01
    save_weights(here / "encoder.safetensors", state, about)
    with pytest.raises(WeightsError, match=r"here/encoder\.safetensors is encoder "):
        load_editor(editor, weights=here)


def test_a_named_config_gives_places_and_nothing_else(tiny_domain_folder: Path, tmp_path: Path) -> None:
    editor, here = moved(tiny_domain_folder, tmp_path)
    config = here / "domain.yaml"
    config.write_text(config.read_text().replace("- Male", "- Female"))
    _, domain, metadata = load_editor(editor, domain_config=config)
    assert domain.attributes == tuple(metadata["attributes"]) and domain.name == "tiny"


def test_missing_keys_are_named(tiny_domain_folder: Path, tmp_path: Path) -> None:
    state, metadata = load_weights(tiny_domain_folder / "editor.safetensors")
    key = next(key for key in state if key.startswith("semantic_encoder."))
    save_weights(tmp_path / "editor.safetensors", {k: v for k, v in state.items() if k != key}, metadata)
    with pytest.raises(WeightsError, match=f"missing keys: {key}"):
        load_editor(tmp_path)


@pytest.mark.parametrize("value", [5, None, [1], "x"], ids=repr)
@pytest.mark.parametrize("key", ["method", "domain", "attributes", "networks", "fingerprints", "settings"])
def test_odd_metadata_are_refused(tiny_domain_folder: Path, tmp_path: Path, key: str, value: object) -> None:
    """Before: TypeErrors and AttributeErrors."""
    state, metadata = load_weights(tiny_domain_folder / "editor.safetensors")
    save_weights(tmp_path / "editor.safetensors", state, {**metadata, key: value})
    with pytest.raises(ValueError, match=f"editor.safetensors: .*{key}"):
        load_editor(tmp_path / "editor.safetensors")


def test_an_editor_that_does_not_say_what_it_belongs_to(tiny_domain_folder: Path, tmp_path: Path) -> None:
    state, metadata = load_weights(tiny_domain_folder / "editor.safetensors")
    save_weights(tmp_path / "editor.safetensors", state, {**metadata, "fingerprints": {}})
    with pytest.raises(WeightsError, match="does not say which generator and encoder it belongs to"):
        load_editor(tmp_path / "editor.safetensors")


@pytest.mark.parametrize("part", ["editor", "generator"])
def test_weights_that_are_not_finite(tiny_domain_folder: Path, tmp_path: Path, part: str) -> None:
    """Before: the solver's error, or black pictures."""
    folder = copied(tiny_domain_folder, tmp_path / "copy")
    state, metadata = load_weights(folder / f"{part}.safetensors")
    key = next(key for key, value in state.items() if value.is_floating_point())
    save_weights(folder / f"{part}.safetensors", {**state, key: state[key] * float("nan")}, metadata)
    with pytest.raises(WeightsError, match=f"{part}.safetensors: '{key}' holds values that are not finite"):
        load_editor(folder)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("configs/domains/ffhq.yaml", r"configs/domains/ffhq\.yaml: is of domain 'ffhq', not of 'tiny'"),
        ("configs/sdflow/avatars.yaml", r"configs/sdflow/avatars\.yaml.*'domain' has no such key"),
        ("configs/study.yaml", r"configs/study\.yaml.*'domain' has no such key"),
    ],
)
def test_the_config_of_something_else(config: str, said: str, tiny_domain_folder: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        load_editor(tiny_domain_folder / "editor.safetensors", domain_config=ROOT / config)
