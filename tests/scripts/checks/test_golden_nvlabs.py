"""Cases of NVlabs' generators: other sizes than the published ones, labels, and a pickle beside the case."""

import json

import numpy as np
import pytest
import torch

from models.stylegan2.generator import Generator
from models.stylegan2.nvlabs import nvlabs_keys, public_keys
from scripts import check_golden
from scripts.checks.golden.case import draw, fill_one
from scripts.checks.weight_file_samples import write_nvlabs

SIZES = {"size": 8, "style_dim": 6, "mapping_layers": 3, "channels": {4: 5, 8: 4}}
SIZES |= {"z_dim": 4, "label_dim": 2, "stored_mean": True, "conv_clamp": 3.0}
GAINS = [(r"mapping\.fc\d+\.weight$", 100.0), (r"\.weight$", 4.0)]
CALL = (
    "Generator(z_dim=4, c_dim=2, w_dim=6, img_resolution=8, conv_clamp=3), eval. ws: mapping(z, c). "
    "ws_truncated_cutoff: truncation_psi=0.4, truncation_cutoff=2 (rows 0 and 1 only). image_const: synthesis(ws, "
    "noise_mode='const'); image_none: noise_mode='none'. image_from_z: whole generator, truncation_psi=0.3. "
    "image_const_clamp: as image_const with conv_clamp=0.2 instead of 3."
)


def filled(salt, **changes):
    network = Generator(**SIZES | changes).eval().requires_grad_(False)
    shapes = {name: tuple(value.shape) for name, value in nvlabs_keys(network.state_dict()).items()}
    values = {
        name: torch.from_numpy(fill_one(name, shape, salt, GAINS))
        for name, shape in shapes.items()
        if not name.endswith("resample_filter")
    }
    network.load_state_dict(public_keys(values), strict=False)
    return network, shapes


@pytest.fixture
def folder(tmp_path):
    network, shapes = filled(salt=5)
    inputs = {"z": (3, 4), "c": (3, 2), "ws": (3, 4, 6)}
    z, c, ws = (torch.from_numpy(draw(name, shape, 5)) for name, shape in inputs.items())
    w = network.broadcast(network.mapping(z, c))
    outputs = {
        "ws": w,
        "ws_truncated_cutoff": torch.cat([network.w_avg + 0.4 * (w[:, :2] - network.w_avg), w[:, 2:]], dim=1),
        "image_const": network.synthesis(ws),
        "image_none": network.synthesis(ws, "none"),
        "image_from_z": network.synthesis(network.w_avg + 0.3 * (w - network.w_avg)),
        "image_const_clamp": filled(salt=5, conv_clamp=0.2)[0].synthesis(ws),
    }
    meta = {
        "name": "nvlabs_small", "call": CALL, "shapes": shapes, "salt": 5, "gains": GAINS, "keep": ["resample_filter$"],
        "tolerance": 1e-5, "inputs": {name: {"shape": shape} for name, shape in inputs.items()},
        "outputs": {name: {"array": name, "shape": list(value.shape)} for name, value in outputs.items()},
    }  # fmt: skip
    (tmp_path / "nvlabs_small.json").write_text(json.dumps(meta))
    np.savez(tmp_path / "nvlabs_small.npz", **{name: value.numpy() for name, value in outputs.items()})
    return tmp_path


def test_other_sizes_and_labels(folder, capsys):
    assert check_golden.main([str(folder)]) == 0
    assert "1 passed, 0 failed" in capsys.readouterr().out


def test_each_word_of_the_call_counts(folder, capsys):
    path = folder / "nvlabs_small.json"
    meta = json.loads(path.read_text())
    for said, other, output in (
        ("conv_clamp=3)", "conv_clamp=0.5)", "image_const:"),
        ("conv_clamp=0.2", "conv_clamp=0.3", "image_const_clamp:"),
        ("truncation_psi=0.3", "truncation_psi=0.9", "image_from_z:"),
        ("truncation_cutoff=2", "truncation_cutoff=3", "ws_truncated_cutoff:"),
        ("noise_mode='none'", "noise_mode='const'", "image_none:"),
    ):
        path.write_text(json.dumps(meta | {"call": CALL.replace(said, other)}))
        assert check_golden.main([str(folder)]) == 1
        assert f"    {output} error" in capsys.readouterr().out


def test_a_case_of_another_network_fails(folder, capsys):
    path = folder / "nvlabs_small.json"
    meta = json.loads(path.read_text())
    meta["shapes"]["synthesis.b8.conv0.resample_filter"] = [5, 5]
    path.write_text(json.dumps(meta))
    assert check_golden.main([str(folder)]) == 1
    assert "differ from the case's: synthesis.b8.conv0.resample_filter" in capsys.readouterr().out


def test_the_pickle_beside_the_case_is_compared_too(folder, capsys):
    def write(salt):
        state = nvlabs_keys(filled(salt)[0].state_dict())
        arguments = {"z_dim": 4, "c_dim": 2, "synthesis_kwargs": {"conv_clamp": 3.0}}
        write_nvlabs(folder / "nvlabs_small.pkl", {"G_ema": state}, "raise SystemExit", **arguments)

    write(5)
    assert check_golden.main([str(folder)]) == 0
    capsys.readouterr()
    write(6)
    assert check_golden.main([str(folder)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0].strip() for line in lines[1:-1]] == [
        f"{name} from nvlabs_small.pkl"
        for name in ("ws", "ws_truncated_cutoff", "image_const", "image_none", "image_from_z", "image_const_clamp")
    ]
