"""Generator: golden numbers, latents, noise modes, derivatives, sizes."""

from pathlib import Path

import pytest
import torch

from models import NETWORKS
from models.stylegan2.generator import Generator
from scripts.check_golden import find_builder
from scripts.checks.golden import stylegan2
from scripts.checks.golden.case import run_case
from utils.config import ConfigError, Section

GOLDEN = Path(__file__).parents[2] / "golden"
CHANNELS = {4: 12, 8: 10, 16: 6}


@pytest.fixture
def generator():
    torch.manual_seed(0)
    network = Generator(16, style_dim=9, mapping_layers=2, channels=CHANNELS).eval()
    for name, value in network.named_parameters():
        if name.endswith("noise.weight"):
            torch.nn.init.constant_(value, 0.3)
    return network


@pytest.mark.parametrize("name", ["ops", "modulated_conv", "stylegan2_rosinality_32"])
def test_golden(name):
    result = run_case(GOLDEN / f"{name}.json", find_builder(name))
    assert result.passed, result.failures()


def test_float64_cases_agree_to_rounding():
    result = run_case(GOLDEN / "modulated_conv.json", stylegan2.modulated_conv)
    assert result.worst.error < 1e-12


def test_latents_are_truncated_and_mixed(generator):
    z, mean = torch.randn(3, 9), torch.randn(9)
    w = generator.mapping(z)
    assert generator.latent_count == 6
    torch.testing.assert_close(generator.truncate(w, mean, 1.0), w)
    torch.testing.assert_close(generator.truncate(w, mean, 0.0), mean.expand(3, -1))
    torch.testing.assert_close(generator.truncate(w, mean, 0.5), (w + mean) / 2)
    other = generator.mapping(torch.randn(3, 9))
    mixed = generator.mix(w, other, 2)
    assert mixed.shape == (3, 6, 9)
    assert torch.equal(mixed[:, :2], w[:, None].expand(-1, 2, -1))
    assert torch.equal(mixed[:, 2:], other[:, None].expand(-1, 4, -1))
    shortened = generator(z, truncation=0.3, truncation_mean=mean)
    expected = generator.synthesis(generator.broadcast(mean + 0.3 * (w - mean)))
    torch.testing.assert_close(shortened, expected)


def test_mean_latent_depends_on_its_seed_alone(generator):
    first, again, other = (generator.mean_latent(5000, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    torch.testing.assert_close(first, other, atol=0.1, rtol=0)


def test_noise_modes(generator):
    latent = generator.broadcast(generator.mapping(torch.randn(2, 9)))
    constant = generator.synthesis(latent)
    assert torch.equal(constant, generator.synthesis(latent, "constant"))
    torch.testing.assert_close(generator.synthesis(latent, generator.noises.maps()), constant)
    zeros = [torch.zeros_like(noise) for noise in generator.noises.maps()]
    torch.testing.assert_close(generator.synthesis(latent, "none"), generator.synthesis(latent, zeros))
    torch.manual_seed(5)
    random = generator.synthesis(latent, "random")
    assert not torch.allclose(random, generator.synthesis(latent, "random"))
    torch.manual_seed(5)
    assert torch.equal(random, generator.synthesis(latent, "random"))
    with pytest.raises(ValueError, match="noise is 'fixed'"):
        generator.synthesis(latent, "fixed")
    with pytest.raises(ValueError, match="2 noise maps given"):
        generator.synthesis(latent, zeros[:2])


def test_a_latent_alone_gives_the_same_image_as_in_a_batch(generator):
    latent = torch.randn(3, 6, 9)
    together = generator.synthesis(latent)
    torch.testing.assert_close(generator.synthesis(latent[1:2]), together[1:2], atol=1e-5, rtol=1e-5)
    assert together.shape == (3, 3, 16, 16)
    with pytest.raises(ValueError, match="expected \\(3, 6, 9\\)"):
        generator.synthesis(latent[:, :5])


def test_path_lengths_have_right_gradients(generator):
    """Central differences of the squared path length in a few weights of each kind."""
    generator = generator.double()
    latent, direction = torch.randn(2, 6, 9).double(), torch.randn(2, 3, 16, 16).double()

    def length():
        w = latent.clone().requires_grad_()
        image = generator.synthesis(w)
        gradient = torch.autograd.grad((image * direction).sum(), w, create_graph=True)[0]
        return gradient.square().sum()

    parameters = dict(generator.named_parameters())
    names = ["convs.0.conv.weight", "convs.1.conv.modulation.weight", "to_rgbs.1.conv.weight", "convs.2.activate.bias"]
    gradients = torch.autograd.grad(length(), [parameters[name] for name in names])
    for name, gradient in zip(names, gradients, strict=True):
        value = parameters[name].data.view(-1)
        index = int(gradient.abs().argmax())
        ends = []
        for step in (1e-6, -2e-6):
            value[index] += step
            ends.append(float(length().detach()))
        value[index] += 1e-6
        torch.testing.assert_close((ends[0] - ends[1]) / 2e-6, float(gradient.reshape(-1)[index]), rtol=1e-4, atol=1e-6)


def test_sizes_are_read_from_shapes(generator):
    shapes = {key: tuple(value.shape) for key, value in generator.state_dict().items()}
    sizes = Generator.sizes_from_shapes(shapes)
    own = {"size": 16, "style_dim": 9, "mapping_layers": 2, "channels": CHANNELS, "z_dim": 9}
    own |= {"mapping_network": "mlp", "condition_dim": 0}
    assert sizes == own | {"label_dim": 0, "stored_mean": False}
    conditional = Generator(**sizes | {"z_dim": 5, "label_dim": 4, "stored_mean": True})
    shapes = {key: tuple(value.shape) for key, value in conditional.state_dict().items()}
    assert Generator.sizes_from_shapes(shapes) == own | {"z_dim": 5, "label_dim": 4, "stored_mean": True}
    published = Generator(32, style_dim=16, mapping_layers=1, channel_multiplier=1)
    assert published.convs[-1].conv.weight.shape[1] == 512
    with pytest.raises(ConfigError, match="size: must be a power of two, not 48"):
        NETWORKS.build(Section({"name": "stylegan2_generator", "size": 48}, "network"))
    with pytest.raises(ValueError, match="lack the resolutions \\[16\\]"):
        Generator(16, channels={4: 8, 8: 8})


def test_low_precision_is_close(generator):
    latent = torch.randn(2, 6, 9, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        image = generator.synthesis(latent)
    image.float().square().sum().backward()
    exact = generator.synthesis(latent)
    assert torch.isfinite(latent.grad).all()
    assert (image.float() - exact).norm() < 0.05 * exact.norm()
