"""Scaled activations compute what per-sample weights compute."""

import math

import pytest
import torch
import torch.nn.functional as F

from models.stylegan2.layers import FIR_TAPS, ModulatedConv2d, StyledConv, ToRGB
from models.stylegan2.ops import setup_filter, upfirdn2d


def with_sample_weights(conv, x, style):
    """Equations 1 and 3 of the paper as printed: one weight a sample, computed by a grouped convolution."""
    batch, channels, height, width = x.shape
    scales = F.linear(style, conv.modulation.weight / math.sqrt(style.shape[1]), conv.modulation.bias)
    weight = conv.weight * conv.scale * scales[:, None, :, None, None]
    if conv.demodulate:
        weight = weight / (weight.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8).sqrt()
    outputs, size = weight.shape[1], weight.shape[-1]
    grouped = x.reshape(1, batch * channels, height, width)
    fir = setup_filter(FIR_TAPS).double()
    if conv.resample == "up":
        flat = weight.transpose(1, 2).reshape(batch * channels, outputs, size, size)
        y = F.conv_transpose2d(grouped, flat, stride=2, groups=batch)
        return upfirdn2d(y.reshape(batch, outputs, *y.shape[2:]), fir, padding=1, gain=4)
    flat = weight.reshape(batch * outputs, channels, size, size)
    if conv.resample == "down":
        grouped = upfirdn2d(grouped, fir, padding=2)
        y = F.conv2d(grouped, flat, stride=2, groups=batch)
    else:
        y = F.conv2d(grouped, flat, padding=size // 2, groups=batch)
    return y.reshape(batch, outputs, *y.shape[2:])


@pytest.mark.parametrize("resample", ["", "up", "down"])
@pytest.mark.parametrize("demodulate", [True, False])
def test_scaled_activations_equal_sample_weights(resample, demodulate):
    conv = ModulatedConv2d(6, 5, 3, 7, demodulate=demodulate, resample=resample).double()
    x, style = torch.randn(3, 6, 8, 10, dtype=torch.float64), torch.randn(3, 7, dtype=torch.float64)
    leaves = [x.requires_grad_(), style.requires_grad_(), *conv.parameters()]
    ours, reference = conv(x, style), with_sample_weights(conv, x, style)
    torch.testing.assert_close(ours, reference)
    cotangent = torch.randn_like(ours)
    first = torch.autograd.grad(ours, leaves, cotangent)
    for got, expected in zip(first, torch.autograd.grad(reference, leaves, cotangent), strict=True):
        torch.testing.assert_close(got, expected)
    torch.testing.assert_close(conv(x, style, gain=1.7), 1.7 * ours)


def test_a_styled_layer_adds_noise_and_bias_before_the_activation():
    layer = StyledConv(4, 3, 3, 7).double()
    torch.nn.init.normal_(layer.activate.bias)
    torch.nn.init.constant_(layer.noise.weight, 0.7)
    x, style = torch.randn(2, 4, 6, 6, dtype=torch.float64), torch.randn(2, 7, dtype=torch.float64)
    noise = torch.randn(2, 1, 6, 6, dtype=torch.float64)
    linear = with_sample_weights(layer.conv, x, style) + 0.7 * noise + layer.activate.bias[None, :, None, None]
    torch.testing.assert_close(layer(x, style, noise), math.sqrt(2) * F.leaky_relu(linear, 0.2))


def test_to_rgb_adds_the_enlarged_skip():
    layer = ToRGB(4, 7).double()
    torch.nn.init.normal_(layer.bias)
    x, style = torch.randn(2, 4, 8, 8, dtype=torch.float64), torch.randn(2, 7, dtype=torch.float64)
    skip = torch.randn(2, 3, 4, 4, dtype=torch.float64)
    enlarged = upfirdn2d(skip, setup_filter(FIR_TAPS).double(), up=2, padding=(2, 1, 2, 1), gain=4)
    torch.testing.assert_close(layer(x, style, skip), with_sample_weights(layer.conv, x, style) + layer.bias + enlarged)


def test_unknown_resampling_is_refused():
    with pytest.raises(ValueError, match="'sideways'"):
        ModulatedConv2d(2, 2, 3, 4, resample="sideways")
