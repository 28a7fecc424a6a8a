"""RealNVP: how probable a single style vector is, as AdaTrans uses it to keep its edits among real codes.

"Density estimation using Real NVP", 2016; sizes, keys and numbers are those of AdaTrans' `realnvp.pth`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from utils.ranges import Between, Depth, MultipleOf, Size

Blocks = Annotated[int, Between(0, 100)]
_LAYERS = "flow.net.layers"


class _Normalisation(nn.Module):
    """Batch norm that counts in the density; its scale and shift stay at one and zero in training."""

    running_mean: Tensor
    running_var: Tensor
    log_gamma: Tensor
    beta: Tensor

    def __init__(self, width: int, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.eps = momentum, eps
        for name, value in (("log_gamma", 0.0), ("beta", 0.0), ("running_mean", 0.0), ("running_var", 1.0)):
            self.register_buffer(name, torch.full((1, width), value))

    def forward_and_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, variance = self.running_mean, self.running_var
        if self.training:
            mean, variance = x.mean(0, keepdim=True), x.var(0, unbiased=False, keepdim=True) + self.eps
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(variance, self.momentum)
        y = (x - mean) / variance.sqrt() * self.log_gamma.exp() + self.beta
        return y, (self.log_gamma - 0.5 * variance.log()).sum(1)

    def inverse(self, y: Tensor) -> Tensor:
        """Under the running statistics."""
        return (y - self.beta) * (-self.log_gamma).exp() * self.running_var.sqrt() + self.running_mean


class _NormedLinear(nn.Module):
    """Linear layer whose weight is v·g / (‖v‖ + 1e-5), the norm being taken over the outputs of each input."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        start = nn.Linear(inputs, outputs)
        self.module = nn.ParameterDict(
            {"bias": start.bias, "weight_v": start.weight, "weight_g": nn.Parameter(start.weight.detach().norm(dim=0))}
        )

    def forward(self, x: Tensor) -> Tensor:
        v = self.module["weight_v"]
        return F.linear(x, v * (self.module["weight_g"] / (v.norm(dim=0) + 1e-5)), self.module["bias"])


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        layers = [[nn.BatchNorm1d(width), nn.ReLU(), _NormedLinear(width, width)] for _ in range(2)]
        self.net = nn.Sequential(*layers[0], *layers[1])

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.net(x)
        return x + change


class _CouplingNetwork(nn.Module):
    def __init__(self, inputs: int, width: int, outputs: int, blocks: int) -> None:
        super().__init__()
        self.in_block = nn.Sequential(_NormedLinear(inputs, width))
        self.mid_block = nn.Sequential(*(_Residual(width) for _ in range(blocks)))
        self.out_block = nn.Sequential(nn.BatchNorm1d(width), nn.ReLU(), _NormedLinear(width, outputs))

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.out_block(self.mid_block(self.in_block(x)))
        return outputs


class _Coupling(nn.Module):
    """One half of a vector (its even elements, or odd ones) is scaled and shifted by what the other half says."""

    def __init__(self, style_dim: int, width: int, blocks: int, odd: bool) -> None:
        super().__init__()
        self.odd = odd
        self.s_log_scale = nn.Parameter(torch.full((1,), 0.01))
        self.s_bias = nn.Parameter(torch.zeros(1))
        self.net = _CouplingNetwork(style_dim // 2, width, style_dim, blocks)

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        even, odd = x[:, 0::2], x[:, 1::2]
        return (odd, even) if self.odd else (even, odd)

    def _joined(self, moved: Tensor, kept: Tensor) -> Tensor:
        return torch.stack((kept, moved) if self.odd else (moved, kept), dim=2).flatten(1)

    def _scale_and_shift(self, kept: Tensor) -> tuple[Tensor, Tensor]:
        shift, scale = self.net(kept).chunk(2, dim=1)
        return scale.tanh() * self.s_log_scale + self.s_bias, shift

    def forward_and_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        moved, kept = self._split(x)
        scale, shift = self._scale_and_shift(kept)
        return self._joined(moved * scale.exp() + shift, kept), scale.sum(1)

    def inverse(self, y: Tensor) -> Tensor:
        moved, kept = self._split(y)
        scale, shift = self._scale_and_shift(kept)
        return self._joined((moved - shift) * (-scale).exp(), kept)


class RealNVP(nn.Module):
    """Invertible map between style vectors and a standard Gaussian: normalisation and affine coupling in turn.

    Args:
        style_dim: D, even.
        couplings: number of pairs of normalisation and coupling.
        width, blocks: of the residual network in each coupling.
    """

    derivable = (r"\.batch_(mean|var)$",)  # the published file keeps the last training batch's

    def __init__(
        self,
        style_dim: Annotated[Size, MultipleOf(2)] = 512,
        couplings: Depth = 10,
        width: Size = 32,
        blocks: Blocks = 2,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for index in range(couplings):
            layers += [_Normalisation(style_dim), _Coupling(style_dim, width, blocks, odd=index % 2 == 1)]
        self.flow: Any = nn.ModuleDict({"net": nn.ModuleDict({"layers": nn.ModuleList(layers)})})  # the public names

    @property
    def layers(self) -> Any:
        """Normalisations and couplings in turn."""
        return self.flow["net"]["layers"]

    def forward(self, styles: Tensor) -> Tensor:
        """Gaussian vectors z (..., D) of style vectors (..., D)."""
        return self.forward_and_log_det(styles)[0]

    def forward_and_log_det(self, styles: Tensor) -> tuple[Tensor, Tensor]:
        """z (..., D) of style vectors (..., D), and log|det ∂z/∂w| of each (...)."""
        z = styles.reshape(-1, styles.shape[-1])
        log_det = torch.zeros_like(z[:, 0])
        for layer in self.layers:
            z, change = layer.forward_and_log_det(z)
            log_det = log_det + change
        return z.view(styles.shape), log_det.view(styles.shape[:-1])

    def inverse(self, z: Tensor) -> Tensor:
        """Style vectors (..., D) of Gaussian vectors (..., D), in evaluation mode."""
        x = z.reshape(-1, z.shape[-1])
        for layer in reversed(self.layers):
            x = layer.inverse(x)
        return x.view(z.shape)

    def log_prob(self, styles: Tensor) -> Tensor:
        """log p of each style vector (...) in nats."""
        z, log_det = self.forward_and_log_det(styles)
        return -0.5 * (z.square() + math.log(2 * math.pi)).sum(-1) + log_det


def realnvp_sizes(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Constructor arguments of the flow whose checkpoint has these keys and shapes."""
    first = f"{_LAYERS}.1.net"
    blocks = {key.split(".")[6] for key in shapes if key.startswith(f"{first}.mid_block.")}
    return {
        "style_dim": int(shapes[f"{_LAYERS}.0.running_mean"][-1]),
        "couplings": sum(bool(re.fullmatch(rf"{_LAYERS}\.\d+\.s_log_scale", key)) for key in shapes),
        "width": int(shapes[f"{first}.in_block.0.module.bias"][0]),
        "blocks": len(blocks),
    }
