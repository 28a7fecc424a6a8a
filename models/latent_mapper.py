"""The identity swap's mapper M: from an identity vector and an attribute vector to a latent code ("Controllable face
image editing in a disentanglement way", 2023).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from utils.ranges import Long, Size

_SLOPE = 0.2
_LINEAR = re.compile(r"model\.(\d+)\.weight")


class LatentMapper(nn.Module):
    """Linear layers with leaky ReLUs between. The result is the code itself: no mean is added, nothing is truncated.

    Args:
        identity_dim, attribute_dim: sizes of the two vectors; the identity stands first.
        hidden: widths of the layers between.
        style_dim: D.
        rows: style vectors that it makes: one, which is repeated, or all of a generator's.
    """

    def __init__(
        self,
        identity_dim: Size = 512,
        attribute_dim: Size = 2048,
        hidden: Annotated[Sequence[Size], Long(1, 16)] = (2048, 1024, 512),
        style_dim: Size = 512,
        rows: Size = 1,
    ) -> None:
        super().__init__()
        self.identity_dim, self.attribute_dim = identity_dim, attribute_dim
        self.style_dim, self.rows = style_dim, rows
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise((identity_dim + attribute_dim, *hidden, rows * style_dim)):
            linear = nn.Linear(inputs, outputs)
            nn.init.kaiming_normal_(linear.weight, a=_SLOPE)
            nn.init.zeros_(linear.bias)
            layers += [linear, nn.LeakyReLU(_SLOPE)]
        self.model = nn.Sequential(*layers[:-1])

    def forward(self, identity: Tensor, attribute: Tensor) -> Tensor:
        """Style vectors (B, rows, D) of identities (B, identity_dim) and attributes (B, attribute_dim)."""
        vectors: Tensor = self.model(torch.cat([identity, attribute], dim=1))
        return vectors.reshape(-1, self.rows, self.style_dim)

    def code(self, identity: Tensor, attribute: Tensor, styles: int) -> Tensor:
        """Codes (B, styles, D) of the same.

        Raises:
            ValueError: it makes another number of style vectors than one or `styles`.
        """
        if self.rows not in (1, styles):
            raise ValueError(f"this mapper makes {self.rows} style vectors, the generator takes {styles}")
        vectors: Tensor = self(identity, attribute)
        return vectors.expand(-1, styles, -1)


def latent_mapper_sizes(shapes: Mapping[str, Sequence[int]], identity_dim: int | None = None) -> dict[str, Any]:
    """Constructor arguments of the mapper whose checkpoint has these keys and shapes, for one style vector.

    Args:
        identity_dim: size of the identity, which a mapper's file does not tell; by default it has the published share
            of all numbers, a fifth.
    Raises:
        ValueError: the keys are not those of such a network.
    """
    numbers = sorted(int(m[1]) for m in map(_LINEAR.fullmatch, shapes) if m)
    if not numbers or numbers != list(range(0, 2 * len(numbers), 2)):
        raise ValueError("no mapper here: keys 'model.0.weight', 'model.2.weight', … are missing")
    linear = [shapes[f"model.{number}.weight"] for number in numbers]
    inputs, outputs = int(linear[0][1]), int(linear[-1][0])
    identity_dim = inputs // 5 if identity_dim is None else identity_dim
    if not 0 < identity_dim < inputs:
        raise ValueError(f"it takes {inputs} numbers, of which the identity alone has {identity_dim}")
    return {
        "identity_dim": identity_dim,
        "attribute_dim": inputs - identity_dim,
        "hidden": [int(shape[0]) for shape in linear[:-1]],
        "style_dim": outputs,
        "rows": 1,
    }
