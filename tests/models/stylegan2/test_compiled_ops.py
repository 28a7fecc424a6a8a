"""The compiled forms of the operators against the plain one in float64: values, gradients and their gradients."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from models.stylegan2.ops import bias_act, setup_filter, status, upfirdn2d, upfirdn2d_bias_act

TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-5, torch.float16: 1e-2, torch.bfloat16: 6e-2}
DTYPES = {"cpu": (torch.float32, torch.bfloat16, torch.float64), "cuda": tuple(TOLERANCE)}
KINDS = [(device, dtype) for device, dtypes in DTYPES.items() for dtype in dtypes]
LAYOUTS = ("contiguous", "channels last", "gaps")
DRAW = torch.Generator()


@pytest.fixture(params=KINDS, ids=lambda kind: f"{kind[0]}-{str(kind[1])[6:]}")
def kind(request):
    """Device and dtype of the images."""
    device, _ = request.param
    form, reason = status()[device]
    if form == "reference":
        pytest.skip(f"no compiled form: {reason}")
    return request.param


@pytest.fixture(autouse=True)
def seed():
    DRAW.manual_seed(0)


def draw(*shape, dtype=torch.float32, device="cpu"):
    return torch.randn(*shape, generator=DRAW).to(device, dtype)


def images(shape, kind, layout):
    """Random images; "gaps" are every other column of wider ones."""
    device, dtype = kind
    batch, channels, height, width = shape
    if layout == "gaps":
        return draw(batch, channels, height, 2 * width, dtype=dtype, device=device)[..., ::2]
    x = draw(*shape, dtype=dtype, device=device)
    return x.contiguous(memory_format=torch.channels_last) if layout == "channels last" else x


def derivatives(operator, inputs, weights):
    """The output, gradients of a weighted sum of its squares, and gradients of those gradients' squares, in float64."""

    def gradients(**options):
        y = operator(*inputs)
        loss = (weights * y.to(torch.float64).square()).sum()
        return y, torch.autograd.grad(loss, inputs, **options)

    y, fused = gradients()
    _, differentiable = gradients(create_graph=True)
    energy = sum(gradient.to(torch.float64).square().sum() for gradient in differentiable)
    second = torch.autograd.grad(energy, inputs)
    return [part.detach().to("cpu", torch.float64) for part in (y, *fused, *differentiable, *second)]


def assert_agree(operator, inputs, dtype):
    """`operator(form, *inputs)` does the same in the compiled form and in float64 in plain PyTorch."""
    leaves = [x.detach().requires_grad_() for x in inputs]
    exact = [x.detach().to(torch.float64).requires_grad_() for x in inputs]
    # of one sign, lest sums cancel to less than their terms are exact to
    weights = draw(*operator("reference", *exact).shape, dtype=torch.float64, device=inputs[0].device).abs()
    ours = derivatives(lambda *xs: operator("compiled", *xs), leaves, weights)
    expected = derivatives(lambda *xs: operator("reference", *xs), exact, weights)
    for got, wanted in zip(ours, expected, strict=True):
        atol = TOLERANCE[dtype] * float(wanted.abs().max())  # an element is as exact as the largest
        torch.testing.assert_close(got, wanted, rtol=0, atol=atol)


SHAPES = [(2, 3, 5, 7), (1, 48, 6, 5), (3, 16, 1, 1), (1, 1, 33, 35)]
OPERANDS = [(), ("bias",), ("noise",), ("scale",), ("bias", "noise", "scale"), ("bias", "shared noise", "scale")]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_bias_act(kind, shape, layout):
    device, dtype = kind
    batch, channels, height, width = shape
    sizes = {
        "bias": (channels,),
        "noise": (batch, 1, height, width),
        "shared noise": (1, 1, height, width),
        "scale": (batch, channels),
    }
    x = images(shape, kind, layout)
    for names in OPERANDS:
        operands = [
            draw(*sizes[name], dtype=torch.promote_types(dtype, torch.float32), device=device) for name in names
        ]

        def operator(form, x, *operands, names=names):
            keywords = {name.removeprefix("shared "): operand for name, operand in zip(names, operands, strict=True)}
            clamp = None if dtype in (torch.bfloat16, torch.float16) else 0.8
            return bias_act(x, activation="lrelu", clamp=clamp, form=form, **keywords)

        assert_agree(operator, [x, *operands], dtype)


@pytest.mark.parametrize(("activation", "alpha"), [("linear", None), ("relu", None), ("lrelu", 0.5), ("lrelu", 0.0)])
def test_activations_of_vectors_and_volumes(kind, activation, alpha):
    device, dtype = kind
    for shape, dim in (((5, 24), 1), ((24, 5), 0), ((7,), 0), ((2, 3, 4, 5, 3), 2), ((2, 3, 4, 5), -1)):
        inputs = [draw(*shape, dtype=dtype, device=device), draw(shape[dim], dtype=dtype, device=device)]
        assert_agree(
            lambda form, x, bias, dim=dim: bias_act(x, bias, dim, activation, alpha, gain=1.5, form=form), inputs, dtype
        )


def test_the_gradient_ends_at_the_limit(kind):
    device, dtype = kind
    x = torch.tensor([[3.0, -30.0, 0.5, -0.5]], dtype=dtype, device=device, requires_grad=True)
    # 1.003 is no bfloat16: the output there is the rounded limit
    y = bias_act(x, activation="lrelu", gain=1, clamp=1.003, form="compiled")
    y.sum().backward()
    torch.testing.assert_close(x.grad, torch.tensor([[0, 0, 1, 0.2]], dtype=dtype, device=device))


def test_inplace_takes_the_memory_where_no_gradient_needs_it(kind):
    x, scale = images((2, 16, 5, 6), kind, "channels last"), torch.rand(2, 16).to(kind[0])
    expected = bias_act(x, activation="lrelu", scale=scale, form="compiled")
    for wants in (False, True):
        leaf, factors = x.clone().requires_grad_(wants), scale.clone().requires_grad_(wants)
        fresh = leaf * 1
        ours = bias_act(fresh, activation="lrelu", scale=factors, inplace=True, form="compiled")
        torch.testing.assert_close(ours, expected, rtol=0, atol=0)
        assert (ours.data_ptr() == fresh.data_ptr()) is not wants
    leaf = x.clone().requires_grad_()
    fresh = leaf * 1
    ours = bias_act(fresh, activation="lrelu", inplace=True, form="compiled")
    assert ours.data_ptr() == fresh.data_ptr()
    ours.sum().backward()
    torch.testing.assert_close(leaf.grad, torch.where(x > 0, 2**0.5, 0.2 * 2**0.5).to(leaf))


FILTERS = {
    "blur": setup_filter([1, 3, 3, 1]),
    "one tap": setup_filter([2]),
    "long": setup_filter([1, 2, 4, 7, 4, 3, 2, 1, 5], separable=False),
    "no product": torch.tensor([[1.0, 2.0, 0.5], [0.0, -1.0, 3.0], [4.0, 1.0, 1.0], [0.5, 0.0, 2.0]]),
    "vector": setup_filter([1, 2, 4, 7, 4, 3, 2, 1]),
}
RESAMPLINGS = [  # filter, up, down, padding
    ("blur", 1, 1, 1),
    ("blur", 1, 1, (2, 1, 0, 3)),
    ("blur", 2, 1, (2, 1, 2, 1)),
    ("blur", 1, 2, 1),
    ("blur", 1, 1, (-1, 2, 3, -2)),
    ("one tap", 3, 2, 0),
    ("one tap", 1, 1, (1, -1, -2, 2)),
    ("long", (2, 1), (1, 3), (9, 2, 4, 6)),
    ("no product", (3, 2), 2, (-2, 5, 4, -1)),
    ("no product", 1, 1, 2),
    ("vector", 2, 3, 5),
]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(2, 3, 5, 7), (1, 48, 6, 5), (1, 1, 33, 35)], ids=str)
def test_upfirdn2d(kind, shape, layout):
    x = images(shape, kind, layout)
    for name, up, down, padding in RESAMPLINGS:
        for flip_filter in (False, True):

            def operator(form, x, name=name, up=up, down=down, padding=padding, flip_filter=flip_filter):
                kernel = FILTERS[name].to(x.device)
                return upfirdn2d(x, kernel, up, down, padding, flip_filter, gain=1.5, form=form)

            assert_agree(operator, [x], kind[1])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["blur", "no product", "vector"])
def test_upfirdn2d_bias_act_is_both(kind, name, layout):
    device, dtype = kind
    batch, channels, height, width = shape = (2, 48, 7, 6)
    x = images(shape, kind, layout)
    operand_dtype = torch.promote_types(dtype, torch.float32)
    rows, columns = FILTERS[name].shape[0], FILTERS[name].shape[-1]
    out = (height + 4 - rows + 1, width + 4 - columns + 1)
    bias, scale = (draw(*size, dtype=operand_dtype, device=device) for size in ((channels,), (batch, channels)))
    for noise in (None, *(draw(n, 1, *out, dtype=operand_dtype, device=device) for n in (1, batch))):
        kernel = FILTERS[name].to(device)
        arguments = (kernel, 2, bias, "lrelu", None, None, 0.7, noise, scale)
        wider = [x if x is None or isinstance(x, str | float | int) else x.to(torch.float64) for x in arguments]
        exact = upfirdn2d_bias_act(x.to(torch.float64), *wider, form="reference")
        for wants in (False, True):
            ours = upfirdn2d_bias_act(x.clone().requires_grad_(wants), *arguments, form="compiled")
            assert ours.dtype == dtype and ours.requires_grad is wants
            torch.testing.assert_close(ours.to(exact), exact, rtol=0, atol=TOLERANCE[dtype] * 0.7)


def test_upfirdn2d_bias_act_refuses_what_does_not_fit():
    x, kernel = torch.zeros(1, 3, 5, 5), FILTERS["blur"]
    with pytest.raises(ValueError, match=r"noise of shape .*\(1, 3, 4, 4\)"):
        upfirdn2d_bias_act(x, kernel, 1, noise=torch.zeros(1, 1, 5, 5))
    with pytest.raises(ValueError, match="unknown activation"):
        upfirdn2d_bias_act(x, kernel, 1, activation="lreul")


@pytest.mark.parametrize("device", DTYPES)
def test_double_backward_by_finite_differences(device):
    form, reason = status()[device]
    if form == "reference":
        pytest.skip(f"no compiled form: {reason}")
    double = (device, torch.float64)
    x = images((2, 3, 4, 3), double, "channels last").requires_grad_()
    bias, noise, scale = (
        draw(*size, dtype=torch.float64, device=device).requires_grad_() for size in ((3,), (1, 1, 4, 3), (2, 3))
    )

    def activated(x, bias, noise, scale):
        return bias_act(x, bias, activation="lrelu", clamp=1.0, noise=noise, scale=scale, form="compiled")

    assert gradcheck(activated, (x, bias, noise, scale))
    assert gradgradcheck(activated, (x, bias, noise, scale))
    for name, up, down, padding in (
        ("blur", 1, 1, 1),
        ("blur", 2, 1, (2, 1, 2, 1)),
        ("no product", 2, 3, (-1, 4, 2, 3)),
    ):
        kernel = FILTERS[name].to(device)

        def resampled(x, kernel=kernel, up=up, down=down, padding=padding):
            return upfirdn2d(x, kernel, up, down, padding, form="compiled")

        assert gradcheck(resampled, (x,)) and gradgradcheck(resampled, (x,))


def test_empty_batches(kind):
    device, dtype = kind
    x = torch.zeros(0, 3, 5, 5, dtype=dtype, device=device, requires_grad=True)
    bias = torch.zeros(3, dtype=dtype, device=device, requires_grad=True)
    y = upfirdn2d(
        bias_act(x, bias, activation="lrelu", form="compiled"), FILTERS["blur"].to(device), 2, form="compiled"
    )
    assert y.shape == (0, 3, 7, 7)
    gradients = torch.autograd.grad(y.sum(), (x, bias))
    assert gradients[0].shape == x.shape and torch.equal(gradients[1], torch.zeros_like(bias))


def test_results_do_not_depend_on_the_number_of_threads():
    x, grad = (images((2, 48, 65, 64), ("cpu", torch.float32), "channels last") for _ in range(2))
    bias = draw(48).requires_grad_()
    results = []
    threads = torch.get_num_threads()
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            y = upfirdn2d(bias_act(x, bias, activation="lrelu"), FILTERS["blur"], padding=(1, 2, 1, 2))
            results.append((y, *torch.autograd.grad(y, bias, grad)))
    finally:
        torch.set_num_threads(threads)
    for one, three in zip(*results, strict=True):
        assert torch.equal(one, three)


def test_torch_compile_takes_the_plain_form():
    """`torch.compile` fuses what it can see, and it cannot see into a compiled kernel."""
    x, bias = draw(2, 3, 4, 5), draw(3)
    seen = []

    def backend(graph, _):
        seen.extend(str(node.target) for node in graph.graph.nodes)
        return graph.forward

    compiled = torch.compile(lambda x: bias_act(x, bias, activation="lrelu"), backend=backend, fullgraph=True)
    torch.testing.assert_close(compiled(x), bias_act(x, bias, activation="lrelu", form="reference"))
    assert any("leaky_relu" in target for target in seen)
