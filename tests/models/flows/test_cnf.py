"""The flow: a bijection with the right determinant, whatever face stands beside, and gradients through the solver."""

from __future__ import annotations

import math

import pytest
import torch
import zuko
from torch import Tensor

from models.flows.cnf import ContinuousFlow, flow_sizes
from tests.flows import codes, continuous_flow


@torch.no_grad()
def test_the_error_stays_below_the_tolerance() -> None:
    """A value interpolated in a last step that passes the end would miss it ten times over."""
    net, (w, s) = continuous_flow(tolerance=1e-10), codes()
    exact = net(w, s)
    net.tolerance = 1e-5
    assert (net(w, s) - exact).abs().max() < 1e-5


@torch.no_grad()
def test_the_same_numbers_as_zuko_on_the_same_right_hand_side() -> None:
    net, (w, s) = continuous_flow(end_time=1.7), codes()
    net.chain[0], net.chain[2] = _identity(), _identity()
    condition = net.velocity.condition(s)
    other = zuko.transforms.FreeFormJacobianTransform(
        lambda t, x: net.velocity(t, x, condition), t0=0.0, t1=1.7, atol=1e-9, rtol=1e-9, exact=True
    )
    z, log_det = net.forward_and_log_det(w, s, exact=True)
    expected, expected_log_det = other.call_and_ladj(w)
    torch.testing.assert_close(z, expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(log_det, expected_log_det, rtol=0, atol=1e-6)
    torch.testing.assert_close(net.inverse(w, s), other.inv(w), rtol=0, atol=1e-6)


def _identity() -> torch.nn.Module:
    class Identity(torch.nn.Identity):
        def inverse(self, y: Tensor) -> Tensor:
            return y

        def forward_and_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x, torch.zeros_like(x[..., 0])

    return Identity()


@torch.no_grad()
def test_a_linear_flow_is_the_matrix_exponential() -> None:
    """With one layer and a gate that sees neither time nor semantics, dz/dt = A z + b."""
    net, (w, s) = continuous_flow(hidden=(), end_time=1.3), codes()
    net.chain[0], net.chain[2] = _identity(), _identity()
    layer = net.velocity.layers[0]
    layer._hyper_gate.weight.zero_()
    layer._hyper_bias.weight.zero_()
    gate = torch.sigmoid(layer._hyper_gate.bias)
    affine = torch.zeros(4, 4, dtype=torch.float64)
    affine[:3, :3], affine[:3, 3] = gate[:, None] * layer._layer.weight, gate * layer._layer.bias
    moved = torch.linalg.matrix_exp(1.3 * affine)
    z, log_det = net.forward_and_log_det(w, s, exact=True)
    torch.testing.assert_close(z, w @ moved[:3, :3].t() + moved[:3, 3], rtol=0, atol=1e-6)
    torch.testing.assert_close(log_det, torch.full_like(log_det, 1.3 * affine.trace().item()), rtol=0, atol=1e-6)


@torch.no_grad()
def test_the_density_integrates_to_one_in_two_dimensions() -> None:
    net = continuous_flow(style_dim=2, tolerance=1e-5)
    axis = torch.linspace(-9, 9, 91, dtype=torch.float64)
    points = torch.cartesian_prod(axis, axis)[:, None]
    s = torch.tensor([[0.2, 0.9]], dtype=torch.float64).expand(len(points), 2)
    density = net.log_prob(points, s, exact=True).exp()
    border = density.reshape(91, 91)[[0, -1]].sum() + density.reshape(91, 91)[:, [0, -1]].sum()
    assert border < 1e-6  # nothing is cut off
    assert (density.sum() * (axis[1] - axis[0]) ** 2).item() == pytest.approx(1, abs=1e-3)


@torch.no_grad()
def test_hutchinsons_estimate_is_unbiased() -> None:
    net, (w, s) = continuous_flow(tolerance=1e-5), codes(count=1)
    _, exact = net.forward_and_log_det(w, s, exact=True)
    count = 3000
    torch.manual_seed(2)
    _, estimates = net.forward_and_log_det(w.expand(count, -1, -1), s.expand(count, -1))
    error = estimates.std(0) / math.sqrt(count)
    assert (error > 1e-3).all()  # the estimate does scatter
    assert ((estimates.mean(0) - exact[0]).abs() < 4 * error).all()


@torch.no_grad()
def test_the_probe_is_drawn_from_the_global_generator_unless_given() -> None:
    net, (w, s) = continuous_flow(), codes()
    torch.manual_seed(3)
    first = net.forward_and_log_det(w, s)[1]
    torch.manual_seed(3)
    probe = torch.randn_like(w)
    torch.testing.assert_close(net.forward_and_log_det(w, s, probe)[1], first)
    assert not torch.allclose(net.forward_and_log_det(w, s)[1], first)


@pytest.mark.parametrize("tolerance", [1e-5, 1e-8])
@torch.no_grad()
def test_one_face_alone_is_the_same_face_in_a_batch_within_the_tolerance(tolerance: float) -> None:
    net, (w, s) = continuous_flow(style_dim=8, tolerance=tolerance), codes(count=6, style_dim=8)
    w[2:] *= 6  # harder neighbours change the shared steps
    together = net.inverse(net(w, s), 1 - s)
    for index in range(2):
        one = slice(index, index + 1)
        alone = net.inverse(net(w[one], s[one]), 1 - s[one])
        assert 0 < (alone - together[one]).norm() / alone.norm() < 50 * tolerance


def test_editing_computes_no_divergence(monkeypatch: pytest.MonkeyPatch) -> None:
    net, (w, s) = continuous_flow(), codes()
    calls = []
    monkeypatch.setattr(net.velocity, "push_forward", lambda *_: pytest.fail("a divergence was computed"))
    own = net.velocity.evaluate
    monkeypatch.setattr(net.velocity, "evaluate", lambda *args, **options: calls.append(1) or own(*args, **options))
    state = torch.get_rng_state()
    z = net(w, s)
    trial = 6
    assert net.evaluations == len(calls) - trial > 0
    net.inverse(z, s)
    assert torch.equal(torch.get_rng_state(), state)


def _objective(net: ContinuousFlow, w: Tensor, s: Tensor, probe: Tensor) -> Tensor:
    """A training step's use of the flow: w → z with density, then back under other semantics."""
    z, log_det = net.forward_and_log_det(w, s, probe)
    return z.square().mean() - log_det.mean() + (net.inverse(z, s.flip(0)) - w).square().mean()


def test_gradients_are_the_central_differences_also_of_the_end_time() -> None:
    net, (w, s) = continuous_flow(trainable_end_time=True, tolerance=1e-9, hidden=(6,)), codes()
    probe = torch.randn_like(w)
    parameters = [net.chain[1].sqrt_end_time, net.velocity.layers[0]._hyper_gate.bias, net.chain[0].weight]
    gradients = torch.autograd.grad(_objective(net, w, s, probe), parameters)
    step = 1e-4
    for parameter, gradient in zip(parameters, gradients, strict=True):
        direction = torch.randn_like(parameter)
        values = []
        with torch.no_grad():
            for sign in (1, -1):
                parameter.add_(sign * step * direction)
                values.append(_objective(net, w, s, probe).item())
                parameter.sub_(sign * step * direction)
        difference = (values[0] - values[1]) / (2 * step)
        assert difference == pytest.approx((gradient * direction).sum().item(), rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("statistics", ["step", "published"])
def test_statistics_during_a_training_step(statistics: str) -> None:
    net, (w, s) = continuous_flow(statistics=statistics).train(), codes(count=8)
    w = 2 * w + 1
    before = net.chain[2].running_mean.clone()
    with torch.no_grad():
        expected = net.eval().forward_and_log_det(w, s, exact=True)
        z, log_det = net.train().forward_and_log_det(w, s, exact=True)
        torch.testing.assert_close((z, log_det), expected)  # the statistics from before the step
        closed = torch.allclose(net.inverse(z, s), w, atol=1e-5)
        untouched = torch.equal(net.chain[2].running_mean, before)
    assert closed == untouched == (statistics == "step")
    net.update_statistics()
    assert not torch.equal(net.chain[2].running_mean, before)


@pytest.mark.parametrize("trainable", [False, True])
def test_public_keys_and_sizes(trainable: bool) -> None:
    made = ContinuousFlow(6, 3, [5, 4], trainable_end_time=trainable)
    shapes = {key: tuple(value.shape) for key, value in made.state_dict().items()}
    layer = ("_layer.weight", "_layer.bias", "_hyper_bias.weight", "_hyper_gate.weight", "_hyper_gate.bias")
    norm = ("weight", "bias", "running_mean", "running_var")
    expected = {f"chain.{index}.{name}" for index in (0, 2) for name in norm}
    expected |= {f"chain.1.odefunc.diffeq.layers.{index}.{name}" for index in range(3) for name in layer}
    assert set(shapes) == expected | {"chain.1.sqrt_end_time"}
    assert shapes["chain.1.odefunc.diffeq.layers.1._hyper_gate.weight"] == (4, 4)
    sizes = flow_sizes(shapes)
    assert sizes == {"style_dim": 6, "semantics": 3, "hidden": [5, 4], "trainable_end_time": True}
    ContinuousFlow(**sizes).load_state_dict(made.state_dict())


def test_the_default_is_the_papers_network() -> None:
    with torch.device("meta"):
        made = ContinuousFlow()
    widths = [tuple(layer._layer.weight.shape) for layer in made.velocity.layers]
    assert widths == [(512, 512)] * 6
    assert "chain.1.sqrt_end_time" not in dict(made.named_parameters())
