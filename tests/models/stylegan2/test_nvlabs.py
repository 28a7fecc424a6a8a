"""NVlabs' names: golden numbers, one picture under both names, sizes, networks that are refused."""

import json
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from models.stylegan2.generator import Generator
from models.stylegan2.layers import StyledConv, ToRGB
from models.stylegan2.nvlabs import nvlabs_keys, public_keys, sizes_from_nvlabs
from models.stylegan2.ops import setup_filter, upfirdn2d, upsample2d
from scripts.check_golden import find_builder
from scripts.checks.golden.case import run_case

GOLDEN = Path(__file__).parents[2] / "golden"
CHANNELS = {4: 12, 8: 10, 16: 6}
PLAIN = {"size": 16, "style_dim": 9, "mapping_layers": 2, "channels": CHANNELS}
NVLABS = PLAIN | {"z_dim": 7, "label_dim": 3, "stored_mean": True, "conv_clamp": 2, "resample_filter": [1, 2, 4, 2, 1]}
EVERY_KIND = [PLAIN, NVLABS, PLAIN | {"resample_filter": range(1, 10)}, PLAIN | {"size": 8, "label_dim": 1}]


def generator(**sizes):
    """Every tensor but the filters is random."""
    torch.manual_seed(0)
    network = Generator(**sizes).eval().requires_grad_(False)
    for name, value in network.state_dict().items():
        if not name.endswith("kernel"):
            value.normal_()
    return network


def nvlabs(network):
    return {name: value.clone() for name, value in nvlabs_keys(network.state_dict()).items()}


def test_golden():
    result = run_case(GOLDEN / "nvlabs_g32.json", find_builder("nvlabs_g32"))
    assert len(result.comparisons) == 7
    assert result.passed, result.failures()


@pytest.mark.parametrize("sizes", EVERY_KIND)
def test_weights_go_forth_and_back_bit_for_bit_and_draw_one_picture(sizes):
    network = generator(**sizes)
    theirs = nvlabs(network)
    ours = public_keys(theirs)
    assert ours.keys() == network.state_dict().keys()
    assert all(torch.equal(ours[name], value) for name, value in network.state_dict().items())
    again = nvlabs_keys(ours)
    assert again.keys() == theirs.keys() and all(torch.equal(again[name], value) for name, value in theirs.items())

    other = Generator(**sizes_from_nvlabs(theirs, {"synthesis_kwargs": {"conv_clamp": sizes.get("conv_clamp")}})).eval()
    other.load_state_dict(ours)
    z, labels = torch.randn(2, network.z_dim), torch.randn(2, network.label_dim)
    mean = torch.randn(9)
    pictures = [one(z, truncation=0.6, truncation_mean=mean, labels=labels) for one in (network, other)]
    assert torch.equal(*pictures) and pictures[0].std() > 0


def test_shapes_are_nvlabs_own():
    case = json.loads((GOLDEN / "nvlabs_g32.json").read_text())
    shapes = {name: tuple(shape) for name, shape in case["shapes"].items()}
    blank = {name: torch.zeros(shape) for name, shape in shapes.items()}
    arguments = {"z_dim": 64, "synthesis_kwargs": {"conv_clamp": 256, "num_fp16_res": 4}, "mapping_kwargs": {}}
    sizes = sizes_from_nvlabs(blank | {"synthesis.b8.conv0.resample_filter": setup_filter([1, 3, 3, 1])}, arguments)
    assert sizes == {
        "size": 32, "style_dim": 64, "mapping_layers": 8, "channels": {4: 64, 8: 64, 16: 32, 32: 16}, "z_dim": 64,
        "label_dim": 0, "stored_mean": True, "mapping_lr_multiplier": 0.01, "conv_clamp": 256.0,
        "resample_filter": (0.125, 0.375, 0.375, 0.125), "mapping_network": "mlp", "condition_dim": 0,
    }  # fmt: skip
    state = nvlabs_keys(Generator(**sizes).state_dict())
    assert {name: tuple(value.shape) for name, value in state.items()} == shapes


def test_filters_may_be_missing():
    network = generator(**PLAIN)
    complete = nvlabs(network)
    bare = {name: value for name, value in complete.items() if not name.endswith("resample_filter")}
    assert not any(name.endswith("kernel") for name in public_keys(bare))
    assert sizes_from_nvlabs(bare) == sizes_from_nvlabs(complete)
    restored = nvlabs_keys(public_keys(bare))
    assert restored.keys() == complete.keys()
    assert all(torch.equal(restored[name], value) for name, value in complete.items())


def test_sizes_of_stylegan3s_copy_and_of_another_mapping():
    state = nvlabs(generator(**NVLABS))
    sizes = sizes_from_nvlabs(state, {"conv_clamp": 256, "mapping_kwargs": {"lr_multiplier": 0.1}})
    assert sizes["conv_clamp"] == 256 and sizes["mapping_lr_multiplier"] == 0.1
    assert (sizes["z_dim"], sizes["label_dim"], sizes["stored_mean"]) == (7, 3, True)
    torch.testing.assert_close(torch.tensor(sizes["resample_filter"]), torch.tensor([1.0, 2, 4, 2, 1]) / 10)


def test_other_networks_are_refused():
    state = nvlabs(generator(**PLAIN))
    assert "mapping.fc1.bias" in state
    for changed, message in (
        (state | {"synthesis.b8.skip.weight": torch.zeros(1)}, "unknown synthesis.b8.skip.weight"),
        ({name: value for name, value in state.items() if "noise_" not in name}, "lacks .*noise_const.* and 7 more"),
        (state | {"synthesis.b4.const": torch.zeros(4)}, r"shape synthesis.b4.const \(4,\)"),
        (state | {"synthesis.b8.resample_filter": torch.zeros(())}, r"shape synthesis.b8.resample_filter \(\)"),
        (state | {"synthesis.b4.torgb.weight": torch.zeros(1, 12, 1, 1)}, "1 channels; only RGB"),
        (state | {f"mapping.fc{10**12}.weight": torch.zeros(1, 1)}, "lacks mapping.fc2"),
        (state | {f"synthesis.b{2**40}.torgb.weight": torch.zeros(1)}, "lacks synthesis.b32"),
        ({}, "lacks synthesis.b4.const"),
        (generator(**PLAIN).state_dict(), "not the tensors of an NVlabs StyleGAN2 generator"),
    ):
        for function in (public_keys, sizes_from_nvlabs):
            with pytest.raises(ValueError, match=message):
                function(changed)
    for arguments, message in (
        ({"synthesis_kwargs": {"architecture": "resnet"}}, "architecture='resnet'; only 'skip'"),
        ({"mapping_kwargs": {"activation": "relu"}}, "activation='relu'"),
        ({"synthesis_kwargs": [1]}, "synthesis_kwargs .* list, expected a dict"),
        ({"conv_clamp": "wide"}, "conv_clamp .* 'wide', expected a positive number"),
        ({"conv_clamp": math.nan}, "conv_clamp .* nan"),
    ):
        with pytest.raises(ValueError, match=message):
            sizes_from_nvlabs(state, arguments)
    with pytest.raises(ValueError, match="public names: lacks .*; has the unknown mapping.fc0.bias"):
        nvlabs_keys(state)
    public = generator(**PLAIN).state_dict()
    with pytest.raises(ValueError, match="lacks noises.noise_3"):
        nvlabs_keys({name: value for name, value in public.items() if name != "noises.noise_3"})


def test_labels_join_z_behind_their_own_norms():
    network = generator(**NVLABS)
    z, labels = torch.randn(4, 7), torch.randn(4, 3)

    def normalised(x):
        return x / (x.square().mean(1, keepdim=True) + 1e-8).sqrt()

    x = normalised(F.linear(labels, network.embed.weight / math.sqrt(3), network.embed.bias))
    x = torch.cat([normalised(z), x], dim=1)
    for layer in list(network.style)[1:]:
        scale = 0.01 / math.sqrt(layer.weight.shape[1])
        x = F.leaky_relu(F.linear(x, layer.weight * scale, layer.bias * 0.01), 0.2) * math.sqrt(2)
    torch.testing.assert_close(network.mapping(z, labels), x)
    with pytest.raises(ValueError, match="conditional: it needs labels of 3 numbers"):
        network.mapping(z)


def test_truncation_goes_to_the_stored_mean_in_the_first_rows_alone():
    network = generator(**NVLABS)
    z, labels = torch.randn(2, 7), torch.randn(2, 3)
    w = network.broadcast(network.mapping(z, labels))
    expected = w.clone()
    expected[:, :2] = network.w_avg + 0.4 * (w[:, :2] - network.w_avg)
    torch.testing.assert_close(network.truncate(w, network.w_avg, 0.4, cutoff=2), expected)
    picture = network(z, truncation=0.4, truncation_cutoff=2, labels=labels)
    torch.testing.assert_close(picture, network.synthesis(expected))
    assert torch.equal(network.truncation_centre(), network.w_avg)


def test_the_clamp_bounds_layers_and_each_level_of_the_picture():
    torch.manual_seed(0)
    layer, bounded = (StyledConv(4, 5, 3, 6, clamp=clamp).double() for clamp in (None, 0.3))
    bounded.load_state_dict(layer.state_dict())
    x, style = torch.randn(2, 4, 8, 8).double(), torch.randn(2, 6).double()
    assert torch.equal(bounded(x, style, None), layer(x, style, None).clamp(-0.3, 0.3))
    rgb, bounded_rgb = (ToRGB(4, 6, clamp=clamp).double() for clamp in (None, 0.3))
    bounded_rgb.load_state_dict(rgb.state_dict())
    below = 10 * torch.randn(2, 3, 4, 4).double()
    nothing = torch.zeros_like(below)
    enlarged = rgb(x, style, below) - rgb(x, style, nothing)
    expected = rgb(x, style, nothing).clamp(-0.3, 0.3) + enlarged
    torch.testing.assert_close(bounded_rgb(x, style, below), expected)


def test_a_clamped_generator_is_differentiable_twice():
    network = generator(**NVLABS).double().requires_grad_(True)
    latent = torch.randn(1, 6, 9).double().requires_grad_()
    gradient = torch.autograd.grad(network.synthesis(latent).square().sum(), latent, create_graph=True)[0]
    gradient.square().sum().backward()
    assert torch.isfinite(latent.grad).all() and latent.grad.abs().sum() > 0


@pytest.mark.parametrize("taps", [[1.0], [1.0, 1], [1.0, 3, 3, 1], [1.0, 4, 6, 4, 2], [1.0, 2, 3, 4, 5, 6, 7, 8]])
def test_any_filter_enlarges_as_nvlabs_does(taps):
    """Their rule: zeros between the pixels, the filter, then a true convolution (mirrored) of the enlarged picture."""
    torch.manual_seed(0)
    layer = StyledConv(4, 5, 3, 6, "up", taps).double()
    x, style = torch.randn(2, 4, 8, 8).double(), torch.ones(2, 6).double()
    scales = layer.conv.modulation(style)
    kernel, count = setup_filter(taps).double(), len(taps)
    edges = (1 + (count + 1) // 2, 1 + (count - 2) // 2) * 2
    enlarged = upfirdn2d(x * scales[:, :, None, None], kernel, up=2, padding=edges, gain=4)
    weight = layer.conv.weight[0] * layer.conv.scale
    expected = F.conv2d(enlarged, weight.flip((2, 3))) * layer.conv.demodulation(scales)[:, :, None, None]
    torch.testing.assert_close(layer.conv(x, style), expected)

    rgb = ToRGB(4, 6, taps=taps).double()
    below, level = torch.randn(2, 3, 4, 4).double(), rgb(x, style)
    torch.testing.assert_close(rgb(x, style, below) - level, upsample2d(below, kernel))
