"""The identity swap as its authors publish it: two whole pickled modules, for a domain that they do not name."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
import yaml

from models.domain import Domain
from models.editors.id_swap import IDSwapEditor
from models.editors.loading import load_editor
from scripts.checks.weight_file_samples import flow_file, network, save, save_whole, state_of
from tests.masks import noise, report, run
from utils.config import load_config
from utils.paths import ROOT
from utils.weights import WeightsError, save_weights


@pytest.fixture
def domain(tiny_domain_folder: Path, tmp_path: Path) -> Path:
    """A domain without an encoder."""
    values = load_config(tiny_domain_folder / "domain.yaml").plain()
    del values["encoder"]
    path = tmp_path / "domain.yaml"
    path.write_text(yaml.safe_dump({**values, "attributes": list(values["attributes"])}), encoding="utf-8")
    return path


def write_pair(folder: Path, ending: str = "", **mapper: int) -> tuple[Path, Path]:
    folder.mkdir(exist_ok=True)
    encoder = save_whole(folder / f"swap_encoder{ending}.pt", network("swap_encoder"))
    return encoder, save_whole(folder / f"mlp{ending}.pt", network("latent_mapper", **mapper))


def test_both_files_are_an_editor(domain: Path, tmp_path: Path) -> None:
    encoder, mapper = write_pair(tmp_path / "pair")
    elsewhere = Path(shutil.move(mapper, tmp_path / "another.pt"))
    editor, loaded, metadata = load_editor(encoder, domain_config=domain, mapper=elsewhere)
    assert isinstance(editor, IDSwapEditor) and not loaded.has("encoder") and not editor.training
    assert not any(one.requires_grad for one in editor.parameters())
    assert metadata["method"] == "id_swap" and set(metadata["fingerprints"]) == {"generator"}
    assert metadata["file"].endswith("another.pt") and "swap_encoder.pt with" in metadata["file"]
    assert metadata["networks"]["encoder"]["identity_dim"] == 8
    faces = torch.rand(2, 3, loaded.image_side, loaded.image_side) * 2 - 1
    identity = editor.read(faces, faces)
    code = editor.move(editor.prepare(faces, identity, faces), identity, identity.roll(1, 0))
    assert code.shape == (2, loaded.styles, loaded.style_dim) and identity.shape == (2, 8)
    expected = state_of("latent_mapper")["model.0.weight"]
    assert torch.equal(editor.mapper.model[0].weight, expected)


@pytest.mark.parametrize(("ending", "beside"), [("_19_225000_52", "_19_225000_52"), ("_19_225000_52", ""), ("", "")])
def test_the_mapper_beside_the_encoder_is_taken(ending: str, beside: str, domain: Path, tmp_path: Path) -> None:
    encoder, mapper = write_pair(tmp_path / "pair", ending)
    mapper.rename(mapper.with_name(f"mlp{beside}.pt"))
    (tmp_path / "pair/mlp_1_5000_60.pt").write_bytes(b"of another step")
    editor, _, metadata = load_editor(encoder, domain_config=domain)
    assert isinstance(editor, IDSwapEditor) and metadata["file"].endswith(f"mlp{beside}.pt")


def test_it_is_kept_in_a_file_of_this_project(domain: Path, tmp_path: Path) -> None:
    """Of a domain without an encoder, which the file does not ask for."""
    encoder, _ = write_pair(tmp_path / "pair")
    editor, loaded, metadata = load_editor(encoder, domain_config=domain)
    assert isinstance(editor, IDSwapEditor)
    kept = {key: metadata[key] for key in ("method", "domain", "attributes", "networks", "settings", "fingerprints")}
    save_weights(tmp_path / "editor.safetensors", editor.state_dict(), kept)
    again, _, about = load_editor(tmp_path / "editor.safetensors")
    assert isinstance(again, IDSwapEditor) and about["fingerprints"] == metadata["fingerprints"]
    faces = torch.rand(2, 3, loaded.image_side, loaded.image_side) * 2 - 1
    results = []
    for one in (editor, again):
        identity = one.read(faces, faces)
        results.append(one.move(one.prepare(faces, identity, faces), identity, identity.roll(1, 0)))
    assert torch.equal(*results)


def test_what_does_not_fit_is_said(domain: Path, tmp_path: Path) -> None:
    encoder, mapper = write_pair(tmp_path / "pair")
    narrow = save(tmp_path / "narrow.pt", state_of("latent_mapper", attribute_dim=30))
    wide = save(tmp_path / "wide.pt", state_of("latent_mapper", style_dim=4))
    flow = save(tmp_path / "flow.pt", flow_file(state_of("continuous_flow")))
    for path, other, words in (
        (encoder, narrow, r"narrow\.pt: this mapper takes 38 numbers, .*swap_encoder\.pt gives 40"),
        (encoder, wide, r"wide\.pt: this mapper makes styles of 4, .* 'tiny' has 8"),
        (encoder, flow, r"flow\.pt: holds a continuous flow, not a swap mapper"),
        (mapper, None, r"mlp\.pt: a swap mapper; .* --checkpoint ENCODER --mapper FILE"),
        (flow, mapper, r"flow\.pt: a continuous flow; .* --checkpoint ENCODER --mapper FILE"),
        (None, mapper, "a mapper alone is no editor"),
        (ROOT / "pretrained/avatars/editor.safetensors", mapper, "brings its own mapper"),
    ):
        with pytest.raises(WeightsError, match=words):
            load_editor(path, domain_config=domain, mapper=other)
    with pytest.raises(WeightsError, match="give one of them"):
        load_editor(flow, semantic_encoder=flow, mapper=mapper)
    mapper.unlink()
    with pytest.raises(WeightsError, match=r"together with its mapper: .* --mapper FILE .*there is no mlp\.pt\)"):
        load_editor(encoder, domain_config=domain)


def test_its_domain_has_no_encoder() -> None:
    domain = Domain.from_file("configs/domains/ffhq_256.yaml")
    assert not domain.has("encoder") and domain.image_side == 256 and domain.config.section("generator")["size"] == 256


def test_edit_py_takes_both_files(domain: Path, tmp_path: Path) -> None:
    encoder, mapper = write_pair(tmp_path / "pair")
    elsewhere = Path(shutil.move(mapper, tmp_path / "another.pt"))
    noise(1).save(tmp_path / "face.png")
    files = ("--checkpoint", encoder, "--mapper", elsewhere, "--domain", domain)
    assert run(tmp_path / "face.png", "-o", tmp_path / "out", *files, "--identity", "random:1") == 0
    assert report(tmp_path / "out")["editor"]["file"].endswith("another.pt")
