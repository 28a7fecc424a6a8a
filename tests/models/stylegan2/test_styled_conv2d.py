"""The compiled form of a styled convolution against the plain one in float64."""

import gc
import itertools

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from models.stylegan2.ops import compiled, conv3x3, derived, mix_channels, setup_filter, styled_conv2d
from models.stylegan2.ops.derived import _values
from models.stylegan2.ops.winograd import Convolution, packed_size

DTYPES = [torch.float32, torch.bfloat16]
# batch, inputs, outputs, height, width: one tile, incomplete tiles, incomplete registers, several blocks of tiles
SHAPES = [(1, 16, 16, 16, 16), (2, 20, 37, 17, 19), (3, 33, 16, 13, 30), (1, 32, 24, 5, 300), (2, 256, 48, 16, 17)]
# of the root mean square of the result, and of gradients where nothing bends
TOLERANCE = {torch.float32: 5e-6, torch.bfloat16: 8e-3}


@pytest.fixture(scope="module", autouse=True)
def _compiled():
    form, reason = compiled.status()["cpu"]
    if form != "compiled":
        pytest.skip(reason)


def arguments(batch, inputs, outputs, height, width, enlarge=False, noise_batch=None):
    torch.manual_seed(0)
    factor = 2 if enlarge else 1
    return {
        "x": torch.randn(batch, inputs, height, width),
        "weight": torch.randn(1, outputs, inputs, 3, 3),
        "modulation": torch.randn(batch, inputs),
        "demodulation": torch.rand(batch, outputs) + 0.5,
        "noise": torch.randn(noise_batch or batch, 1, factor * height, factor * width),
        "bias": torch.randn(outputs),
        # lopsided, so that a mirrored filter shows
        "blur": setup_filter([1.0, 3, 4, 2], gain=4) if enlarge else None,
    }


def run(values, dtype, form, wanted=(), **settings):
    """Result and gradients of the images and styles named."""
    other = torch.float64 if dtype == torch.float64 else torch.float32
    values = {
        name: None if value is None else value.to(dtype if name == "x" else other).detach()
        for name, value in values.items()
    }
    leaves = [values[name].requires_grad_() for name in wanted]
    scale = 1 / (9 * values["weight"].shape[2]) ** 0.5
    y = styled_conv2d(**values, weight_scale=scale, form=form, **settings)
    assert y.dtype == dtype
    if not wanted:
        return [y]
    assert ("_StyledConv2d" in type(y.grad_fn).__name__) == (form == "compiled")
    torch.manual_seed(1)
    return [y.detach(), *torch.autograd.grad(y, leaves, torch.randn(y.shape).to(dtype))]


def error(result, reference):
    return float((result - reference).square().mean().sqrt() / reference.square().mean().sqrt())


def compare(values, dtype, wanted=(), **settings):
    if not packed_size(dtype, Convolution.SAME, 16, 16):
        pytest.skip(f"this processor has no kernel for {dtype}")
    values = values | {"x": values["x"].to(dtype)}
    results, references = (run(values, kind, form, wanted, **settings) for kind, form in (
        (dtype, "compiled"), (torch.float64, "reference")))  # fmt: skip
    for name, result, reference in zip(("y", *wanted), results, references, strict=True):
        assert error(result, reference) < TOLERANCE[dtype], name


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "enlarge"), list(itertools.product(SHAPES, [False, True])))
def test_values(shape, enlarge, dtype):
    compare(arguments(*shape, enlarge), dtype, clamp=1.5)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "enlarge"), list(itertools.product(SHAPES, [False, True])))
def test_gradients(shape, enlarge, dtype):
    # alpha 1: a result that rounding takes to the other side of the bend would have another gradient
    compare(arguments(*shape, enlarge), dtype, ("x", "modulation", "demodulation"), alpha=1.0)


@pytest.mark.parametrize("enlarge", [False, True])
def test_gradients_through_activation_and_clamp(enlarge):
    compare(
        arguments(2, 20, 37, 17, 19, enlarge, noise_batch=1),
        torch.float32,
        ("x", "modulation", "demodulation"),
        clamp=1.0,
    )


@pytest.mark.parametrize("enlarge", [False, True])
def test_noise_and_bias_may_be_left_out(enlarge):
    values = arguments(1, 16, 16, 16, 16, enlarge) | {"noise": None, "bias": None}
    compare(values, torch.float32, ("x", "modulation", "demodulation"))


@pytest.mark.parametrize("enlarge", [False, True])
@pytest.mark.parametrize("batch", [1, 2, 3])
def test_threads_change_nothing(batch, enlarge):
    values = arguments(batch, 16, 24, 40, 50, enlarge)
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            results.append(run(values, torch.float32, "compiled", ("x", "modulation", "demodulation")))
    finally:
        torch.set_num_threads(threads)
    for result in results[1:]:
        for got, expected in zip(result, results[0], strict=True):
            assert torch.equal(got, expected)


def test_an_empty_batch():
    values = arguments(1, 16, 16, 16, 16, enlarge=True)
    empty = {name: values[name][:0] for name in ("x", "modulation", "demodulation", "noise")}
    assert styled_conv2d(**(values | empty)).shape == (0, 16, 32, 32)


def test_not_a_number_stays_one():
    values = arguments(1, 16, 16, 16, 16)
    values["x"][0, 3, 8, 8] = torch.nan
    y = styled_conv2d(**values, clamp=1.0, form="compiled")
    assert y[0, :, 7:10, 7:10].isnan().all() and y[0, :, :4, :4].isfinite().all()


def test_a_changed_weight_is_noticed():
    values = arguments(1, 16, 16, 16, 16)
    with torch.inference_mode():
        first = styled_conv2d(**values, form="compiled")
    with torch.no_grad():
        values["weight"].mul_(2)
    doubled = styled_conv2d(**values, form="compiled")
    assert not torch.allclose(first, doubled)
    torch.testing.assert_close(doubled, styled_conv2d(**values, form="reference"), rtol=1e-4, atol=1e-4)


def test_values_go_with_their_weight():
    gc.collect()  # what earlier tests left
    before, weight = len(_values), torch.ones(3)
    calls = []

    def compute(weight):
        calls.append(1)
        return 2 * weight

    for _ in range(2):
        assert torch.equal(derived(weight, "double", compute), torch.full((3,), 2.0))
    assert len(calls) == 1 and len(_values) == before + 1
    del weight
    gc.collect()
    assert len(_values) == before


def test_trained_weights_get_their_gradient():
    values = arguments(1, 16, 16, 16, 16)
    values["weight"].requires_grad_()
    gradients = [
        torch.autograd.grad(styled_conv2d(**values, form=form).square().sum(), values["weight"])[0]
        for form in ("compiled", "reference")
    ]
    assert error(*gradients) < 1e-5


@pytest.mark.parametrize("enlarge", [False, True])
def test_second_derivatives(enlarge):
    """Of a frozen network, as path length regularisation of an encoder's latents would take them."""
    results = []
    for form, dtype in (("compiled", torch.float32), ("reference", torch.float64)):
        values = {name: value if value is None else value.to(dtype) for name, value in
                  arguments(2, 16, 17, 16, 17, enlarge).items()}  # fmt: skip
        leaves = [values[name].requires_grad_() for name in ("x", "modulation", "demodulation")]
        y = styled_conv2d(**values, weight_scale=0.1, alpha=1.0, form=form)
        gradients = torch.autograd.grad(y.pow(3).sum(), leaves, create_graph=True)
        results.append(torch.autograd.grad(sum(gradient.square().sum() for gradient in gradients), leaves))
    for result, reference in zip(*results, strict=True):
        assert error(result, reference) < 1e-5


def test_what_does_not_fit_is_refused():
    values = arguments(2, 16, 24, 16, 16)
    for name in ("modulation", "demodulation", "noise", "bias"):
        with pytest.raises(ValueError, match=f"the {name} does not fit"):
            styled_conv2d(**(values | {name: values[name][..., 1:]}))


def test_mixed_channels():
    x, vectors = torch.randn(2, 5, 3, 4, dtype=torch.float64), torch.randn(2, 3, 5, dtype=torch.float64)
    torch.testing.assert_close(mix_channels(x, vectors), torch.einsum("bchw,bkc->bkhw", x, vectors))
    leaves = (x.requires_grad_(), vectors.requires_grad_())
    assert gradcheck(mix_channels, leaves) and gradgradcheck(mix_channels, leaves)


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 2e-5), (torch.bfloat16, 3e-2)])
def test_a_convolution_without_gradients(dtype: torch.dtype, tolerance: float) -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(2, 17, 19, 23).to(dtype), torch.randn(20, 17, 3, 3) / 12
    expected = torch.nn.functional.conv2d(x.double(), weight.to(dtype).double(), padding=1)
    with torch.no_grad():
        found = conv3x3(x, weight.to(dtype))
        weight *= 2  # in place: a kept transform must not outlive it
        doubled = conv3x3(x, weight.to(dtype))
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=tolerance)
    torch.testing.assert_close(doubled.double(), 2 * expected, rtol=0, atol=2 * tolerance)
    with torch.enable_grad():
        leaf = weight.to(dtype).requires_grad_()
        conv3x3(x, leaf).sum().backward()
        assert leaf.grad is not None
