"""Every public format is recognised by content and gives the network that was saved in it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from models.domain import Domain
from models.editors.loading import load_editor
from models.editors.targets import SetTo
from models.flows.cnf import ContinuousFlow
from models.stylegan2.nvlabs import nvlabs_keys, public_keys
from models.weight_files import load_network, read_network
from models.weight_files.contents import Found
from models.weight_files.description import describe
from models.weight_files.kinds import kind_of
from scripts import convert_checkpoint, inspect_checkpoint
from scripts.checks.weight_file_samples import (
    SIZES,
    deeplab_file,
    encoder_file,
    flow_file,
    prefixed,
    realnvp_file,
    rosinality_training_file,
    s2flow_file,
    save,
    state_of,
    without,
    write_nvlabs,
    write_tuned,
)
from utils.config import ConfigError, load_config
from utils.integrity import damage
from utils.paths import ROOT
from utils.weights import WeightsError, key_differences, save_weights

State = dict[str, Tensor]
GENERATOR = "stylegan2_generator"
CONDITIONAL = {"label_dim": 3, "stored_mean": True}


def same(state: State, expected: State) -> bool:
    """Same keys, same bits."""
    return state.keys() == expected.keys() and all(torch.equal(state[key], expected[key]) for key in expected)


# name of a public file -> (kind, content or writer, state that the network must have)
FILES: dict[str, tuple[str, Any, Callable[[], State]]] = {
    "stylegan2-ffhq-config-f.pt": (
        GENERATOR, lambda: {"g_ema": state_of(GENERATOR), "latent_avg": torch.ones(8)}, lambda: state_of(GENERATOR)
    ),
    "with g alone": (GENERATOR, lambda: {"g": state_of(GENERATOR)}, lambda: state_of(GENERATOR)),
    "training of rosinality": (GENERATOR, rosinality_training_file, lambda: state_of(GENERATOR)),
    "bare generator": (GENERATOR, lambda: state_of(GENERATOR), lambda: state_of(GENERATOR)),
    "e4e_ffhq_encode.pt": ("e4e_encoder", encoder_file, lambda: state_of("e4e_encoder")),
    "psp_ffhq_encode.pt": ("psp_encoder", lambda: encoder_file("psp_encoder"), lambda: state_of("psp_encoder")),
    "model_ir_se50.pth": ("ir_se_identity", lambda: state_of("ir_se_identity"), lambda: state_of("ir_se_identity")),
    "iresnet34.pth": ("iresnet_identity", lambda: state_of("iresnet_identity"), lambda: state_of("iresnet_identity")),
    "iresnet50.pth": (
        "iresnet_identity",
        lambda: state_of("iresnet_identity", layers=[1, 1, 3, 1]),
        lambda: state_of("iresnet_identity", layers=[1, 1, 3, 1]),
    ),
    "r34_a40_age_256_classifier.pth": (
        "attribute_classifier", lambda: state_of("attribute_classifier"), lambda: state_of("attribute_classifier")
    ),
    "with module.": (
        "attribute_classifier",
        lambda: prefixed(state_of("attribute_classifier"), "module."),
        lambda: state_of("attribute_classifier"),
    ),
    "prior-0010000": (
        "continuous_flow", lambda: flow_file(state_of("continuous_flow")), lambda: state_of("continuous_flow")
    ),
    "modellarge10k.pt": (
        "continuous_flow",
        lambda: flow_file(state_of("continuous_flow", semantics=17)),
        lambda: state_of("continuous_flow", semantics=17),
    ),
    "labeldist-0010000": (
        "semantic_encoder", lambda: state_of("semantic_encoder"), lambda: state_of("semantic_encoder")
    ),
    "tnet_15.pth.tar": (
        "latent_transformer", lambda: state_of("latent_transformer"), lambda: state_of("latent_transformer")
    ),
    "latent_classifier_epoch_20.pth": (
        "latent_classifier", lambda: state_of("latent_classifier"), lambda: state_of("latent_classifier")
    ),
    "AdaTrans' model-latest": (
        "adatrans", lambda: prefixed(state_of("adatrans"), "module."), lambda: state_of("adatrans")
    ),
    "realnvp.pth": ("realnvp", lambda: realnvp_file(state_of("realnvp")), lambda: state_of("realnvp")),
    "last_checkpoint.pt": (
        "continuous_flow", s2flow_file, lambda: state_of("continuous_flow", semantics=19)
    ),
    "last_checkpoint.pt of a distributed training": (
        "continuous_flow", lambda: s2flow_file("module."), lambda: state_of("continuous_flow", semantics=19)
    ),
    "deeplab_model.pth": ("deeplab_v3", deeplab_file, lambda: state_of("deeplab_v3")),
    "mobilefacenet_model_best.pth.tar": (
        "mobilefacenet",
        lambda: {"epoch": 7, "arch": "MobileFaceNet", "state_dict": state_of("mobilefacenet"), "best_acc": 0.1},
        lambda: state_of("mobilefacenet"),
    ),
    "swap encoder, weights alone": (
        "swap_encoder", lambda: state_of("swap_encoder"), lambda: state_of("swap_encoder")
    ),
    "mapper, weights alone": ("latent_mapper", lambda: state_of("latent_mapper"), lambda: state_of("latent_mapper")),
    "discriminator": (
        "stylegan2_discriminator",
        lambda: {"d": state_of("stylegan2_discriminator")},
        lambda: state_of("stylegan2_discriminator"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("name", FILES)
def test_public_file(name: str, legacy: bool, tmp_path: Path) -> None:
    kind, content, expected = FILES[name]
    path = save(tmp_path / "weights.bin", content(), legacy)  # a name that tells nothing
    loaded = load_network(path)
    assert loaded.kind == kind and loaded.format == ("PyTorch legacy" if legacy else "PyTorch zip")
    assert same(loaded.module.state_dict(), expected()) and not loaded.module.training
    titles = [text for label, text in describe(path) if label == "network"]
    assert len(titles) >= 1 and not [row for row in describe(path) if row[0] in ("missing", "surplus", "shapes")]


@pytest.mark.parametrize("sizes", [{}, CONDITIONAL], ids=["unconditional", "conditional"])
def test_nvlabs_pickle(sizes: dict[str, Any], tmp_path: Path) -> None:
    state = state_of(GENERATOR, **{"stored_mean": True, **sizes})
    other = nvlabs_keys(state_of(GENERATOR, 5, **{"stored_mean": True, **sizes}))
    arguments = {"z_dim": 8, "c_dim": 3 * bool(sizes), "synthesis_kwargs": {"conv_clamp": 256, "channel_max": 8}}
    write_nvlabs(tmp_path / "x", {"G": other, "D": {"b4.out.weight": torch.ones(1, 4)}, "G_ema": nvlabs_keys(state)},
                 "import os", **arguments)  # fmt: skip
    loaded = load_network(tmp_path / "x")
    assert loaded.kind == GENERATOR and loaded.format == "NVlabs pickle"
    assert same(loaded.module.state_dict(), state)
    assert loaded.sizes["conv_clamp"] == 256 and loaded.sizes["label_dim"] == 3 * bool(sizes)
    assert loaded.metadata["c_dim"] == 3 * bool(sizes)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("place", ["", "G_ema"])
def test_a_generator_tuned_for_one_photograph(place: str, legacy: bool, tmp_path: Path) -> None:
    """PTI keeps NVlabs' module in a file of torch.save; it is the generator that NVlabs' own pickle holds."""
    state = nvlabs_keys(state_of(GENERATOR, stored_mean=True))
    write_nvlabs(tmp_path / "network.pkl", {"G_ema": state}, "import os", z_dim=8)
    path = write_tuned(tmp_path / "tuned.pt", state, "import os", place, legacy)
    assert dict(describe(path))["network"] == " at ".join(filter(None, ("StyleGAN2 generator", place)))
    first, tuned = read_network(tmp_path / "network.pkl"), read_network(path)
    assert tuned.kind == GENERATOR and same(tuned.tensors, first.tensors) and tuned.sizes == first.sizes
    assert convert_checkpoint.main([str(path), str(tmp_path / "x.safetensors")]) == 0
    assert same(load_network(tmp_path / "x.safetensors").module.state_dict(), state_of(GENERATOR, stored_mean=True))


@pytest.mark.parametrize("first", [0x80, 0x08])
def test_safetensors_are_recognised_whatever_their_header_measures(first: int, tmp_path: Path) -> None:
    """They begin with the header's length, which may be 0x80 modulo 256: how a pickle begins."""
    path = tmp_path / "x"
    for spaces in range(0, 256, 8):
        save_weights(path, state_of("continuous_flow"), {"network": "continuous_flow", "note": " " * spaces})
        if path.read_bytes()[0] == first:
            break
    assert path.read_bytes()[0] == first
    assert load_network(path).format == "safetensors" and damage(path) is None
    path.write_bytes(path.read_bytes()[:-1])
    assert "header says" in str(damage(path))


def test_a_missing_public_file_is_named_with_the_call_that_brings_it(tmp_path: Path) -> None:
    call = r"prior-0010000: no such weight file; 'python scripts/download\.py sdflow-prior' fetches it to"
    with pytest.raises(WeightsError, match=call):
        load_editor(tmp_path / "prior-0010000", "cpu", tmp_path / "labeldist-0010000")
    for path, reason in ((tmp_path, "is a folder"), (tmp_path / ("a" * 300), "cannot be read")):
        with pytest.raises(WeightsError, match=reason):
            load_network(path)


def test_nvlabs_and_rosinality_weights_give_one_picture(tmp_path: Path) -> None:
    state = state_of(GENERATOR)
    write_nvlabs(tmp_path / "a.pkl", {"G_ema": nvlabs_keys(state)}, "", z_dim=8)
    save(tmp_path / "b.pt", {"g_ema": state})
    z = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
    pictures = [load_network(tmp_path / file).module(z) for file in ("a.pkl", "b.pt")]
    assert torch.equal(*pictures)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_both_networks_of_s2flow(prefix: str, tmp_path: Path) -> None:
    path = save(tmp_path / "last_checkpoint.pt", s2flow_file(prefix))
    flow, encoder = load_network(path, "continuous_flow"), load_network(path, "mask_encoder")
    assert isinstance(flow.module, ContinuousFlow) and flow.module.tolerance == 1e-7
    assert encoder.sizes == SIZES["mask_encoder"] and same(encoder.module.state_dict(), state_of("mask_encoder"))
    rows, word = describe(path), prefix and ".module"
    networks = [text for label, text in rows if label == "network"]
    assert networks == [f"continuous flow at prior_ntwk{word}", f"mask encoder at cnd_ntwk{word}"]
    assert "19 numbers of a mask (S²-Flow's)" in dict(reversed(rows))["sizes"]
    own = tmp_path / "own.safetensors"
    assert convert_checkpoint.main([str(path), str(own), "--network", "mask_encoder"]) == 0
    assert load_network(own).sizes == encoder.sizes
    assert convert_checkpoint.main([str(path), str(own), "--overwrite"]) == 0
    assert load_network(own).sizes == flow.sizes


def test_a_face_parser_as_published(tmp_path: Path) -> None:
    path, back = save(tmp_path / "deeplab_model.pth", deeplab_file()), tmp_path / "back.pth"
    assert dict(describe(path))["network"] == "DeepLabv3 at state_dict.module"
    assert convert_checkpoint.main([str(path), str(tmp_path / "own.safetensors")]) == 0
    assert convert_checkpoint.main([str(tmp_path / "own.safetensors"), str(back)]) == 0
    content = torch.load(back, weights_only=True)
    assert same(content["state_dict"], prefixed(state_of("deeplab_v3"), "module."))


def test_kernels_and_noise_maps_may_be_missing(tmp_path: Path) -> None:
    path = save(tmp_path / "x", {"g_ema": without(state_of(GENERATOR), ".kernel", "noises.")})
    loaded = load_network(path)
    assert torch.equal(loaded.module.style[1].weight, state_of(GENERATOR)["style.1.weight"])
    assert dict(describe(path))["derived"].endswith("(not in the file, not needed)")
    with pytest.raises(WeightsError, match=r"missing keys: style\.2\.bias"):
        load_network(save(tmp_path / "y", {"g_ema": without(state_of(GENERATOR), "style.2.bias")}))


def test_counters_of_batch_norms_may_be_missing(tmp_path: Path) -> None:
    path = save(tmp_path / "x", without(state_of("ir_se_identity"), "num_batches_tracked"))
    assert load_network(path).kind == "ir_se_identity"


def test_one_network_of_several(tmp_path: Path) -> None:
    path = save(tmp_path / "e4e.pt", encoder_file())
    encoder, decoder = load_network(path), load_network(path, GENERATOR)
    assert encoder.kind == "e4e_encoder" and decoder.kind == GENERATOR
    assert torch.equal(encoder.extra["latent_avg"], torch.arange(48.0).reshape(6, 8) / 48)
    with pytest.raises(WeightsError, match="holds an e4e encoder and a StyleGAN2 generator, not a semantic encoder"):
        load_network(path, "semantic_encoder")
    with pytest.raises(WeightsError, match="not a pSp encoder"):
        load_network(path, "psp_encoder")
    bare = save(tmp_path / "bare.pt", state_of("e4e_encoder"))  # says nothing: it is what is asked for
    assert load_network(bare, "psp_encoder").kind == "psp_encoder" and load_network(bare).kind == "e4e_encoder"


def lightning(prefix: str, **other: Any) -> dict[str, Any]:
    """A Lightning checkpoint of a module that keeps pSp behind some words."""
    own = encoder_file("psp_encoder")
    state = prefixed(own["state_dict"], prefix)
    return {"epoch": 3, "state_dict": state, "hyper_parameters": own["opts"], "latent_avg": own["latent_avg"], **other}


@pytest.mark.parametrize("prefix", ["", "net.", "model.net.", "module._orig_mod.a.b.c.d.e.f.g.h.", "x." * 100])
def test_any_number_of_words_before_the_keys(prefix: str, tmp_path: Path) -> None:
    path = save(tmp_path / "x.ckpt", lightning(prefix))
    encoder, decoder = read_network(path), read_network(path, GENERATOR)
    assert encoder.kind == "psp_encoder" and same(encoder.tensors, state_of("psp_encoder"))
    assert torch.equal(encoder.extra["latent_avg"], torch.arange(48.0).reshape(6, 8) / 48)
    assert same(decoder.tensors, state_of(GENERATOR))
    places = [text for label, text in describe(path) if label == "network"]
    assert places[0].startswith(f"pSp encoder at state_dict.{prefix[:20]}") and len(places) == 2


@pytest.mark.parametrize("kind", SIZES)
def test_every_kind_of_network_behind_words(kind: str, tmp_path: Path) -> None:
    other = {"loss.lpips.weight": torch.ones(2), "step": torch.ones(1)}
    state = {**prefixed(state_of(kind), "module.model.net."), **other}
    loaded = read_network(save(tmp_path / "x", {"model": {"state_dict": state}}), kind)
    assert loaded.kind == kind and same(loaded.tensors, state_of(kind))


def test_options_and_mean_code_are_found_where_other_programs_put_them(tmp_path: Path) -> None:
    own = lightning("net.")
    options, mean = own.pop("hyper_parameters"), own.pop("latent_avg")
    for content in (
        {**own, "hyper_parameters": {"opts": argparse.Namespace(**options)}, "latent_avg": mean},
        {**own, "args": argparse.Namespace(**options), "state_dict": {**own["state_dict"], "net.latent_avg": mean}},
        {"model": {**own, "opts": options, "latent_avg": mean}},
    ):
        loaded = read_network(save(tmp_path / "x", content))
        assert loaded.kind == "psp_encoder" and torch.equal(loaded.extra["latent_avg"], mean)
        assert loaded.metadata["stylegan_size"] == 16


def test_averages_come_first(tmp_path: Path) -> None:
    plain, average = state_of(GENERATOR, 1), state_of(GENERATOR)
    for content in (
        {**prefixed(plain, "online_model."), **prefixed(average, "ema_model.module."), "step": torch.ones(1)},
        {"generator": prefixed(plain, "module."), "generator_ema": prefixed(average, "module.")},
        {**prefixed(average, "module."), "n_averaged": torch.ones(1)},
        [plain, {"params_ema": average}],
    ):
        assert same(read_network(save(tmp_path / "x", content)).tensors, average)


def test_safetensors_of_other_projects_in_a_domain(tiny_domain_folder: Path, tmp_path: Path) -> None:
    config = load_config(tiny_domain_folder / "domain.yaml").plain()
    state = read_network(config["generator"]["weights"]).tensors
    save_file(prefixed(state, "g_ema.module."), tmp_path / "x.safetensors", metadata={"format": "pt"})
    config["generator"]["weights"] = str(tmp_path / "x.safetensors")
    (tmp_path / "domain.yaml").write_text(json.dumps(config), encoding="utf-8")
    assert same(Domain.from_file(tmp_path / "domain.yaml").generator.state_dict(), state)


def test_codes_that_are_no_offsets(tmp_path: Path) -> None:
    loaded = load_network(save(tmp_path / "x", encoder_file(start_from_latent_avg=False)))
    assert not loaded.extra["latent_avg"].any()


def test_sizes_are_read_off_the_tensors(tmp_path: Path) -> None:
    flow = load_network(save(tmp_path / "flow", flow_file(state_of("continuous_flow", semantics=3, style_dim=4))))
    end = state_of("continuous_flow", semantics=3, style_dim=4)["chain.1.sqrt_end_time"] ** 2
    assert flow.sizes["semantics"] == 3 and flow.sizes["style_dim"] == 4
    assert isinstance(flow.module, ContinuousFlow) and torch.equal(flow.module.end_time, end)
    assert float(end) == pytest.approx(flow.sizes["end_time"])


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (GENERATOR, "stylegan2_rosinality_32"),
        ("stylegan2_discriminator", "stylegan2_discriminator_32"),
        ("e4e_encoder", "e4e_encoder"),
        ("ir_se_identity", "arcface_ir_se50"),
        ("iresnet_identity", "iresnet34"),
        ("iresnet_identity", "iresnet50"),
        ("attribute_classifier", "attribute_classifier_r34"),
        ("attribute_classifier", "attribute_classifier_r50"),
        ("semantic_encoder", "semantic_estimator_r34"),
        ("continuous_flow", "sdflow_cnf_3"),
        ("continuous_flow", "styleflow_cnf"),
        ("psp_encoder", "psp_gradual_encoder_256"),
        ("latent_transformer", "latent_transformer"),
        ("latent_classifier", "latent_classifier"),
        ("adatrans", "adatrans"),
        ("realnvp", "realnvp"),
        ("continuous_flow", "s2flow_cnf"),
        ("mask_encoder", "s2flow_mask_encoder"),
        ("deeplab_v3", "s2flow_segmentor"),
        (GENERATOR, "nvlabs_g32"),
    ],
)
def test_published_keys_and_shapes_fit(kind: str, name: str) -> None:
    """At full size, without the numbers."""
    shapes = json.loads((ROOT / f"tests/golden/{name}.json").read_text(encoding="utf-8"))["shapes"]
    state = {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}
    recognised = kind_of(state, kind)
    assert recognised is not None and recognised.name == kind
    small = {key: torch.ones(shapes[key]) for key in recognised.read_first if key in state}
    found = Found(recognised, "", {**state, **small})
    assert str(key_differences(found.blueprint(found.section()), found.outline())) == ""


@pytest.mark.parametrize("first", [0x00, 0x50, 0x80])  # of any file, of a zip archive, of a pickle
def test_own_files_are_told_by_more_than_their_first_byte(first: int, tmp_path: Path) -> None:
    for length in range(256):
        save_weights(tmp_path / "x", state_of("latent_classifier"), {"note": "." * length})
        if (tmp_path / "x").read_bytes()[0] == first:
            break
    else:
        raise AssertionError("no header of such a length")
    assert load_network(tmp_path / "x").format == "safetensors"


def test_inspection(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = save(tmp_path / "good", encoder_file()), tmp_path / "bad.pt"
    bad.write_bytes(b"<html>")
    assert inspect_checkpoint.main([str(good)]) == 0
    shown = capsys.readouterr().out
    place = "e4e encoder at state_dict.encoder"
    for words in ("PyTorch zip", place, "16 x 16 pixels, 6 styles of 8", "a mean code of 6 x 8"):
        assert words in shown
    assert inspect_checkpoint.main([str(bad), str(good), str(tmp_path / "gone")]) == 1
    output = capsys.readouterr()
    first, second = output.err.splitlines()
    assert first.endswith("fetch it again") and "bad.pt: is a web page" in first
    assert second.endswith("gone: no such weight file") and "e4e encoder" in output.out


@pytest.mark.parametrize("name", [name for name in FILES if name not in ("with module.", "training of rosinality")])
def test_conversion_and_back_is_bit_equal(name: str, tmp_path: Path) -> None:
    kind, content, expected = FILES[name]
    original = save(tmp_path / "original", content())
    own, back = tmp_path / "own.safetensors", tmp_path / "back.pt"
    assert convert_checkpoint.main([str(original), str(own)]) == 0
    loaded = load_network(own)
    assert loaded.kind == kind and same(loaded.module.state_dict(), expected())
    assert convert_checkpoint.main([str(own), str(back)]) == 0
    first, last = read_network(original), read_network(back)
    assert first.kind == last.kind and same(first.tensors, last.tensors) and same(first.extra, last.extra)


def test_an_encoder_goes_back_with_its_decoder(tmp_path: Path) -> None:
    content = encoder_file()
    save(tmp_path / "e4e.pt", content)
    for network, name in (("e4e_encoder", "e"), (GENERATOR, "g")):
        assert convert_checkpoint.main([str(tmp_path / "e4e.pt"), str(tmp_path / f"{name}.safetensors"),
                                        "--network", network]) == 0  # fmt: skip
    arguments = [str(tmp_path / "e.safetensors"), str(tmp_path / "back.pt")]
    assert convert_checkpoint.main([*arguments, "--decoder", str(tmp_path / "g.safetensors")]) == 0
    back = torch.load(tmp_path / "back.pt", weights_only=True)
    assert same(back["state_dict"], content["state_dict"]) and torch.equal(back["latent_avg"], content["latent_avg"])
    assert back["opts"] == content["opts"]


def test_nvlabs_to_own_and_back(tmp_path: Path) -> None:
    state = nvlabs_keys(state_of(GENERATOR, **CONDITIONAL))
    write_nvlabs(tmp_path / "x.pkl", {"G_ema": state}, "", z_dim=8, synthesis_kwargs={"conv_clamp": 256})
    own, back = str(tmp_path / "own.safetensors"), str(tmp_path / "back.pt")
    assert convert_checkpoint.main([str(tmp_path / "x.pkl"), own]) == 0
    assert convert_checkpoint.main([own, back, "--to", "nvlabs"]) == 0
    assert same(torch.load(back, weights_only=True)["G_ema"], state)
    for path in (own, back):  # what leaves no trace in the tensors came along
        assert load_network(path).sizes["conv_clamp"] == 256
        assert same(load_network(path).module.state_dict(), public_keys(state))


def test_conversion_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = str(save(tmp_path / "x", state_of("semantic_encoder")))
    for arguments, words in (
        ([source, str(save(tmp_path / "z", {}))], "exists; --overwrite replaces it"),
        ([source, str(tmp_path / "y"), "--to", "rosinality"], "rosinality takes a StyleGAN2 generator"),
        ([str(tmp_path / "gone"), str(tmp_path / "y")], "no such weight file"),
    ):
        assert convert_checkpoint.main(arguments) == 1 and words in capsys.readouterr().err
    assert not (tmp_path / "y").exists()
    with pytest.raises(SystemExit):
        convert_checkpoint.main([source, str(tmp_path / "y.safetensors"), "--to", "plain"])


# Public files in a domain and as an editor. The fixture's domain is made of this project's own files.


def own_domain(folder: Path, into: Path) -> Path:
    """The tiny domain with an encoder whose stages differ in width, as the published one's do."""
    config = load_config(folder / "domain.yaml").plain()
    sizes = {**SIZES["e4e_encoder"], "styles": 8}
    save_weights(into / "e.safetensors", {**state_of("e4e_encoder", **sizes), "latent_avg": torch.ones(8, 8)}, {})
    config["encoder"] = {"name": "e4e_encoder", **sizes, "weights": str(into / "e.safetensors")}
    (into / "own.yaml").write_text(json.dumps(config), encoding="utf-8")
    return into / "own.yaml"


def public_domain(own: Path, into: Path) -> Path:
    """A domain with five of its networks in public formats."""
    into.mkdir()
    config = load_config(own).plain()
    state = {part: read_network(config[part]["weights"]) for part in PARTS}
    encoder = {f"encoder.{key}": value for key, value in state["encoder"].tensors.items()}
    options = {"encoder_type": "Encoder4Editing", "start_from_latent_avg": True}
    save(into / "encoder.pt", {"state_dict": encoder, "opts": options, **state["encoder"].extra})
    write_nvlabs(into / "generator.pkl", {"G_ema": nvlabs_keys(state["generator"].tensors)}, "", z_dim=8)
    for part in ("teacher", "judge", "identity"):
        save(into / f"{part}.pth", prefixed(state[part].tensors, "module."), legacy=part == "judge")
    for path in into.iterdir():
        config[path.stem]["weights"] = str(path)
    for key in ("size", "style_dim", "mapping_layers", "channels"):
        del config["generator"][key]  # the file says so itself
    (into / "domain.yaml").write_text(json.dumps(config), encoding="utf-8")
    return into / "domain.yaml"


PARTS = ("generator", "encoder", "teacher", "judge", "identity")


def test_a_domain_of_public_files_is_the_same_domain(tiny_domain_folder: Path, tmp_path: Path) -> None:
    path = own_domain(tiny_domain_folder, tmp_path)
    own, public = Domain.from_file(path), Domain.from_file(public_domain(path, tmp_path / "public"))
    assert public.fingerprints(PARTS) == own.fingerprints(PARTS)
    assert torch.equal(public.latent_avg, own.latent_avg)
    image = torch.rand(1, 3, 32, 32) * 2 - 1
    assert torch.equal(public.synthesise(public.encode(image)), own.synthesise(own.encode(image)))


def test_a_domain_with_the_published_face_parser(tiny_domain_folder: Path, tmp_path: Path) -> None:
    config = load_config(tiny_domain_folder / "domain.yaml").plain()
    path = save(tmp_path / "deeplab_model.pth", deeplab_file())
    config["parser"] = {"name": "deeplab_v3", "weights": str(path)}
    (tmp_path / "domain.yaml").write_text(json.dumps(config), encoding="utf-8")
    domain, image = Domain.from_file(tmp_path / "domain.yaml"), torch.rand(2, 3, 48, 48) * 2 - 1
    mask = domain.parse(image)
    assert mask.shape == (2, 48, 48) and mask.dtype == torch.int64
    assert torch.equal(mask, load_network(path).module(image).argmax(1))


def test_a_domain_of_other_sizes_says_so(tiny_domain_folder: Path, tmp_path: Path) -> None:
    config = load_config(public_domain(own_domain(tiny_domain_folder, tmp_path), tmp_path / "public"))
    for part, key, value, words in (
        ("generator", "size", 64, "generator.size: is 64, but .*generator.pkl has size 32"),
        ("encoder", "styles", 18, "encoder.styles: is 18, but .*encoder.pt has styles 8"),
        ("judge", "widht", 3, "did you mean 'width'"),
        ("teacher", "name", "e4e_encoder", "holds an attribute classifier, not an e4e encoder"),
    ):
        changed = {**config, part: {**config[part], key: value}}
        if part == "teacher":
            changed[part] = {"name": value, "weights": config[part]["weights"]}
        (tmp_path / "other.yaml").write_text(json.dumps(changed), encoding="utf-8")
        with pytest.raises((ConfigError, WeightsError), match=words):
            getattr(Domain.from_file(tmp_path / "other.yaml"), part)


@pytest.fixture(scope="module")
def published_pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """SDFlow's two files for the tiny domain."""
    folder = tmp_path_factory.mktemp("pair")
    flow = flow_file(state_of("continuous_flow", style_dim=8, semantics=5))
    return (
        str(save(folder / "prior-0010000", flow)), str(save(folder / "labeldist-0010000", state_of("semantic_encoder")))
    )  # fmt: skip


def test_published_pair_is_an_editor(tiny_domain_folder: Path, published_pair: tuple[str, str]) -> None:
    flow, encoder = published_pair
    editor, domain, metadata = load_editor(flow, "cpu", encoder, tiny_domain_folder / "domain.yaml")
    image = torch.rand(2, 3, 32, 32) * 2 - 1
    latent = domain.encode(image)
    assert editor.attributes == domain.attributes and metadata["method"] == "sdflow" and len(metadata["hash"]) == 16
    semantics = load_network(encoder).module(image).detach()
    assert torch.equal(editor.read(latent, image), semantics)
    assert editor.edit(latent, image, {"Smiling": SetTo(1.0)}).shape == latent.shape
    kept = {name: SetTo(float(semantics[0, column])) for column, name in enumerate(editor.attributes)}
    assert torch.allclose(editor.edit(latent[:1], image[:1], kept), latent[:1], atol=1e-3)


def test_pair_that_does_not_fit(tiny_domain_folder: Path, published_pair: tuple[str, str], tmp_path: Path) -> None:
    flow, encoder = published_pair
    domain = tiny_domain_folder / "domain.yaml"
    three = save(tmp_path / "three", state_of("semantic_encoder", attributes=3))
    four = save(tmp_path / "four", state_of("semantic_encoder", attributes=4))
    flow_4 = save(tmp_path / "flow4", state_of("continuous_flow", semantics=4))
    wide = save(tmp_path / "wide", state_of("continuous_flow", style_dim=16))
    for arguments, words in (
        ((flow, "cpu", three, domain), "takes 5 attributes, .*three estimates 3"),
        ((flow_4, "cpu", four, None), "for which no domain is known"),
        ((flow_4, "cpu", four, domain), "names 5 attributes, .*four estimates 4"),
        ((wide, "cpu", encoder, domain), "moves styles of 16, the generator of domain 'tiny' has 8"),
        ((encoder, "cpu", flow, domain), "holds a semantic encoder, not a continuous flow"),
        ((flow, "cpu"), "--checkpoint FLOW --semantic-encoder FILE"),
        ((None, "cpu", encoder), "give the flow it belongs to"),
        ((flow, "cpu", None, domain), "--checkpoint FLOW --semantic-encoder FILE"),
    ):
        with pytest.raises((ConfigError, WeightsError), match=words):
            load_editor(*arguments)  # type: ignore[arg-type]


def test_own_editor_is_described(tiny_domain_folder: Path) -> None:
    rows = describe(tiny_domain_folder / "editor.safetensors")
    assert ("method", "sdflow: Eyeglasses, Male, Young, Smiling, Wavy_Hair") in rows
    networks = [text for label, text in rows if label == "network"]
    assert networks == ["continuous flow at flow", "semantic encoder at semantic_encoder"]


def test_copies_of_public_files(tmp_path: Path) -> None:
    for kind in SIZES:
        save_weights(tmp_path / "x", state_of(kind), {"network": kind})
        loaded = load_network(tmp_path / "x")
        assert loaded.kind == kind and same(loaded.module.state_dict(), state_of(kind))
