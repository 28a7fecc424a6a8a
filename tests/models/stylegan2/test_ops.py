"""bias_act, conv2d and upfirdn2d in plain PyTorch against definitions written out in NumPy, and their derivatives.

`test_compiled_ops.py` holds the compiled forms against the plain one.
"""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck, gradgradcheck

from models.stylegan2.ops import bias_act, conv2d, downsample2d, setup_filter, upfirdn2d, upsample2d


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    monkeypatch.setenv("SDFLOW_OPS", "reference")


def loop_upfirdn2d(x, kernel, up, down, padding):
    """The definition: insert zeros, pad or crop, convolve with the mirrored kernel, keep every down-th pixel."""
    batch, channels, height, width = x.shape
    large = np.zeros((batch, channels, height * up[1], width * up[0]))
    large[:, :, :: up[1], :: up[0]] = x
    x0, x1, y0, y1 = padding
    large = np.pad(large, ((0, 0), (0, 0), (max(y0, 0), max(y1, 0)), (max(x0, 0), max(x1, 0))))
    large = large[:, :, max(-y0, 0) : large.shape[2] - max(-y1, 0), max(-x0, 0) : large.shape[3] - max(-x1, 0)]
    mirrored = kernel[::-1, ::-1]
    rows = range(0, large.shape[2] - kernel.shape[0] + 1, down[1])
    columns = range(0, large.shape[3] - kernel.shape[1] + 1, down[0])
    out = np.zeros((batch, channels, len(rows), len(columns)))
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            window = large[:, :, row : row + kernel.shape[0], column : column + kernel.shape[1]]
            out[:, :, i, j] = (window * mirrored).sum(axis=(2, 3))
    return out


SETTINGS = [
    ((1, 1), (1, 1), (1, 1, 1, 1), (4, 4)),
    ((2, 2), (1, 1), (2, 1, 2, 1), (4, 4)),
    ((1, 1), (2, 2), (2, 2, 2, 2), (4, 4)),
    ((2, 1), (1, 3), (3, 1, 0, 2), (3, 5)),
    ((3, 2), (2, 2), (-2, 3, 4, -1), (4, 3)),
    ((1, 1), (1, 1), (-1, 2, 1, -2), (3, 2)),
    ((2, 2), (1, 1), (0, 0, 0, 0), (1, 1)),
]


@pytest.mark.parametrize(("up", "down", "padding", "kernel_size"), SETTINGS)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_upfirdn2d_is_its_definition(up, down, padding, kernel_size, memory_format):
    x = torch.randn(2, 3, 7, 8, dtype=torch.float64).contiguous(memory_format=memory_format)
    kernel = torch.randn(kernel_size, dtype=torch.float64)
    ours = upfirdn2d(x, kernel, up, down, padding).numpy()
    np.testing.assert_allclose(ours, loop_upfirdn2d(x.numpy(), kernel.numpy(), up, down, padding), atol=1e-12)
    correlated = upfirdn2d(x, kernel, up, down, padding, flip_filter=True, gain=3).numpy()
    mirrored = kernel.flip((0, 1)).numpy()
    np.testing.assert_allclose(correlated, 3 * loop_upfirdn2d(x.numpy(), mirrored, up, down, padding), atol=1e-12)


@pytest.mark.parametrize(("up", "down", "padding", "kernel_size"), SETTINGS)
def test_upfirdn2d_derivatives(up, down, padding, kernel_size):
    x = torch.randn(1, 2, 5, 6, dtype=torch.float64, requires_grad=True)
    kernel = torch.randn(kernel_size, dtype=torch.float64)
    assert gradcheck(lambda x: upfirdn2d(x, kernel, up, down, padding), (x,))
    assert gradgradcheck(lambda x: upfirdn2d(x, kernel, up, down, padding), (x,))


def test_a_separable_filter_equals_its_outer_product():
    x = torch.randn(2, 3, 9, 8, dtype=torch.float64)
    taps = torch.rand(9, dtype=torch.float64)
    assert setup_filter(taps).ndim == 1 and setup_filter([1, 3, 3, 1]).shape == (4, 4)
    for up, down in ((1, 1), (2, 1), (1, 2)):
        matrix = upfirdn2d(x, torch.outer(taps, taps), up, down, (5, 4, 3, 6), gain=4)
        torch.testing.assert_close(upfirdn2d(x, taps, up, down, (5, 4, 3, 6), gain=4), matrix)


def test_resampling_keeps_a_constant_inside():
    x = torch.ones(1, 1, 12, 12)
    for resampled in (upsample2d(x, setup_filter([1, 3, 3, 1])), downsample2d(x, setup_filter([1, 3, 3, 1]))):
        torch.testing.assert_close(resampled[:, :, 2:-2, 2:-2], torch.ones_like(resampled[:, :, 2:-2, 2:-2]))


CONVOLUTIONS = [
    {"padding": 1},
    {"stride": 2},
    {"stride": 2, "padding": 1},
    {"stride": 2, "transposed": True},
    {"stride": (2, 1), "padding": (1, 2), "transposed": True},
    {"groups": 2, "stride": 2, "padding": 1},
    {"groups": 2, "transposed": True},
]


@pytest.mark.parametrize("settings", CONVOLUTIONS)
def test_conv2d_and_its_derivatives(settings):
    groups, transposed = settings.get("groups", 1), settings.get("transposed", False)
    x = torch.randn(2, 4, 6, 5, dtype=torch.float64, requires_grad=True)
    shape = (4, 6 // groups, 3, 3) if transposed else (6, 4 // groups, 3, 3)
    weight = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(6, dtype=torch.float64, requires_grad=True)
    plain = {key: value for key, value in settings.items() if key != "transposed"}
    reference = (F.conv_transpose2d if transposed else F.conv2d)(x, weight, bias, **plain)
    ours = conv2d(x, weight, bias, **settings)
    torch.testing.assert_close(ours, reference)
    cotangent = torch.randn_like(ours)
    got, expected = (torch.autograd.grad(y, (x, weight, bias), cotangent) for y in (ours, reference))
    for first, second in zip(got, expected, strict=True):
        torch.testing.assert_close(first, second)
    assert gradgradcheck(lambda *leaves: conv2d(*leaves, **settings), (x, weight, bias), fast_mode=True)


ACTIVATIONS = {
    "linear": (lambda x: x, 1.0),
    "relu": (lambda x: np.maximum(x, 0), np.sqrt(2)),
    "lrelu": (lambda x: np.where(x > 0, x, 0.2 * x), np.sqrt(2)),
    "tanh": (np.tanh, 1.0),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), 1.0),
    "elu": (lambda x: np.where(x > 0, x, np.expm1(x)), 1.0),
    "selu": (lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x)), 1.0),
    "softplus": (lambda x: np.log1p(np.exp(x)), 1.0),
    "swish": (lambda x: x / (1 + np.exp(-x)), np.sqrt(2)),
}


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_bias_act_is_its_definition(activation):
    x = torch.randn(3, 4, 5, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(5, dtype=torch.float64, requires_grad=True)
    function, gain = ACTIVATIONS[activation]
    expected = gain * function(x.detach().numpy() + bias.detach().numpy())
    ours = bias_act(x, bias, dim=2, activation=activation)
    np.testing.assert_allclose(ours.detach().numpy(), expected, atol=1e-12)
    clamped = bias_act(x, bias, dim=2, activation=activation, gain=0.5, clamp=0.3).detach().numpy()
    np.testing.assert_allclose(clamped, np.clip(expected / gain * 0.5, -0.3, 0.3), atol=1e-12)
    assert gradcheck(lambda x, b: bias_act(x, b, 2, activation), (x, bias))
    assert gradgradcheck(lambda x, b: bias_act(x, b, 2, activation), (x, bias))


def test_bias_act_scales_and_adds_noise_before_the_bias():
    x, noise = torch.randn(2, 3, 4, 5, dtype=torch.float64), torch.randn(1, 1, 4, 5, dtype=torch.float64)
    scale, bias = torch.rand(2, 3, dtype=torch.float64), torch.randn(3, dtype=torch.float64)
    expected = x.numpy() * scale.numpy()[:, :, None, None] + noise.numpy() + bias.numpy()[None, :, None, None]
    ours = bias_act(x, bias, activation="lrelu", gain=1, noise=noise, scale=scale)
    np.testing.assert_allclose(ours.numpy(), np.where(expected > 0, expected, 0.2 * expected), atol=1e-12)


def test_bias_act_says_what_is_wrong():
    with pytest.raises(ValueError, match="unknown activation 'lreul'"):
        bias_act(torch.zeros(1, 2), activation="lreul")
    with pytest.raises(ValueError, match="does not fit axis 1"):
        bias_act(torch.zeros(1, 2), torch.zeros(3))
    with pytest.raises(ValueError, match=r"noise of shape \(3, 1, 4, 4\) does not fit images of shape \(2, 3, 4, 4\)"):
        bias_act(torch.zeros(2, 3, 4, 4), noise=torch.zeros(3, 1, 4, 4))
    with pytest.raises(ValueError, match="scale of shape"):
        bias_act(torch.zeros(2, 3), scale=torch.zeros(2, 3))
