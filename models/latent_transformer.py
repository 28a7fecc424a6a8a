"""Networks of the Latent Transformer ("A Latent Transformer for Disentangled Face Editing in Images and Videos", 2021).

Keys and numbers are the published ones: `tnet_<attribute>.pth.tar` and `latent_classifier_epoch_20.pth` load strictly.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from utils.ranges import Count, Depth, Size, Sizes


class LatentTransformer(nn.Module):
    """w + α f(w) for one attribute; f is one linear layer for each style vector, without any activation.

    The learning rate is equalised: weights are stored √D times larger than they are used.

    Args:
        styles: L, style vectors in a code.
        style_dim: D.
    """

    def __init__(self, styles: Depth = 18, style_dim: Size = 512) -> None:
        super().__init__()
        layers = [nn.Linear(style_dim, style_dim) for _ in range(styles)]
        for layer in layers:
            nn.init.normal_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.dense: Any = nn.ModuleList(layers)
        self.factor = 1 / math.sqrt(style_dim)

    def forward(self, w: Tensor, amount: Tensor) -> Tensor:
        """Edited codes (B, L, D) of codes (B, L, D); each has an amount α of its own, (B,)."""
        weight = torch.stack([layer.weight for layer in self.dense]) * self.factor
        bias = torch.stack([layer.bias for layer in self.dense])
        return w + amount[:, None, None] * (torch.einsum("bld,led->ble", w, weight) + bias)


class LatentClassifier(nn.Module):
    """Attribute logits of latent codes: linear layers with leaky ReLU 0.2 between them.

    Args:
        inputs: numbers in a code, L·D.
        hidden: widths between.
        outputs: attributes.
    """

    def __init__(self, inputs: Count = 9216, hidden: Sizes = (2048, 512), outputs: Size = 40) -> None:
        super().__init__()
        sizes = [inputs, *hidden, outputs]
        self.outputs = outputs
        self.fcs = nn.ModuleList(nn.Linear(*pair) for pair in zip(sizes, sizes[1:], strict=False))

    def forward(self, w: Tensor) -> Tensor:
        """Logits (B, outputs) of codes (B, L, D)."""
        x = w.flatten(1)
        for index, layer in enumerate(self.fcs):
            x = layer(F.leaky_relu(x, 0.2) if index else x)
        return x


def amount_to_other_side(probability: Tensor) -> Tensor:
    """α that flips an attribute of probability p: −p where it is present (p > 0.5), 1 − p where it is absent."""
    return torch.where(probability > 0.5, -probability, 1 - probability) * (probability != 0.5)


def latent_transformer_sizes(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Constructor arguments of the transformer whose checkpoint has these keys and shapes."""
    layers = sum(bool(re.fullmatch(r"dense\.\d+\.weight", key)) for key in shapes)
    return {"styles": layers, "style_dim": int(shapes["dense.0.weight"][0])}


def latent_classifier_sizes(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Constructor arguments of the classifier whose checkpoint has these keys and shapes."""
    layers = sum(bool(re.fullmatch(r"fcs\.\d+\.weight", key)) for key in shapes)
    *hidden, outputs = (int(shapes[f"fcs.{index}.weight"][0]) for index in range(layers))
    return {"inputs": int(shapes["fcs.0.weight"][1]), "hidden": hidden, "outputs": outputs}
