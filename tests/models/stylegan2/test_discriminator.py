"""Discriminator: golden numbers, the gradient penalty, the deviation channel."""

from pathlib import Path

import pytest
import torch

from models.stylegan2.discriminator import Discriminator
from scripts.checks.golden import stylegan2
from scripts.checks.golden.case import run_case

GOLDEN = Path(__file__).parents[2] / "golden"
CHANNELS = {4: 10, 8: 8, 16: 6}


@pytest.fixture
def discriminator():
    torch.manual_seed(0)
    return Discriminator(16, channels=CHANNELS)


def test_golden():
    result = run_case(GOLDEN / "stylegan2_discriminator_32.json", stylegan2.discriminator)
    assert result.passed, result.failures()


def test_the_gradient_penalty_has_right_gradients(discriminator):
    network = discriminator.double()
    images = torch.randn(4, 3, 16, 16, dtype=torch.float64)

    def penalty():
        x = images.clone().requires_grad_()
        return torch.autograd.grad(network(x).sum(), x, create_graph=True)[0].square().sum()

    parameters = dict(network.named_parameters())
    names = ["convs.0.0.weight", "convs.1.conv1.0.weight", "convs.1.conv2.1.weight", "convs.2.skip.1.weight"]
    names += ["final_conv.0.weight", "final_linear.0.weight"]
    gradients = torch.autograd.grad(penalty(), [parameters[name] for name in names])
    for name, gradient in zip(names, gradients, strict=True):
        value = parameters[name].data.view(-1)
        index = int(gradient.abs().argmax())
        ends = []
        for step in (1e-6, -2e-6):
            value[index] += step
            ends.append(float(penalty().detach()))
        value[index] += 1e-6
        torch.testing.assert_close((ends[0] - ends[1]) / 2e-6, float(gradient.reshape(-1)[index]), rtol=1e-4, atol=1e-6)


def test_the_penalty_reaches_every_convolution(discriminator):
    x = torch.randn(4, 3, 16, 16, requires_grad=True)
    torch.autograd.grad(discriminator(x).sum(), x, create_graph=True)[0].square().sum().backward()
    for name, parameter in discriminator.named_parameters():
        if name.endswith("weight"):
            assert torch.isfinite(parameter.grad).all() and parameter.grad.abs().sum() > 0, name


def test_the_deviation_channel_knows_its_group(discriminator):
    x = torch.randn(8, 10, 4, 4)
    channel = discriminator.append_deviation(x)[:, -1]
    for group in (0, 1):
        rows = x[group::2]
        expected = (rows.var(dim=0, unbiased=False) + 1e-8).sqrt().mean()
        torch.testing.assert_close(channel[group::2], expected.expand(4, 4, 4))
    same = x[:1].expand(4, -1, -1, -1)
    torch.testing.assert_close(discriminator.append_deviation(same)[:, -1], torch.full((4, 4, 4), 1e-4))
    with pytest.raises(ValueError, match="batch of 6"):
        discriminator.append_deviation(x[:6])


def test_sizes_are_read_from_shapes(discriminator):
    shapes = {key: tuple(value.shape) for key, value in discriminator.state_dict().items()}
    assert Discriminator.sizes_from_shapes(shapes) == {"size": 16, "channels": {16: 6, 8: 8, 4: 10}}
