"""The identity swap's encoder E: from a face to an identity vector and a vector of everything else ("Controllable face
image editing in a disentanglement way", 2023).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from models.encoders.irse import IRSETrunk, Widths, halved, irse_trunk_sizes
from utils.ranges import Long, Side, Size, Stages

_SLOPE = 0.2  # of the leaky ReLUs
_SMALLEST = 64


class SwapEncoder(IRSETrunk):
    """IR-SE trunk with a head for the identity and one for the attributes; both vectors have unit length.

    In training mode a call needs two images or more: the heads end in batch normalisation of single numbers.

    Args:
        layers: units of the trunk's four stages ([3, 4, 14, 3] is IR-SE50).
        widths: channels of the trunk's stem and of its four stages.
        identity_dim, attribute_dim: sizes of the two vectors.
        identity_width: channels of the map from which the identity is read.
        attribute_widths: channels of the attribute head's two convolutions.
        input_side: side of the images, at least 64.
    Raises:
        ValueError: a smaller side, of which the attribute head's convolutions leave nothing.
    """

    def __init__(
        self,
        layers: Stages = (3, 4, 14, 3),
        widths: Widths = (64, 64, 128, 256, 512),
        identity_dim: Size = 512,
        attribute_dim: Size = 2048,
        identity_width: Size = 32,
        attribute_widths: Annotated[Sequence[Size], Long(2, 2)] = (1024, 2048),
        input_side: Side = 256,
    ) -> None:
        if input_side < _SMALLEST:
            raise ValueError(f"a swap encoder takes images of {_SMALLEST} pixels or more, not {input_side}")
        super().__init__(layers, widths)
        self.identity_dim, self.attribute_dim, self.input_side = identity_dim, attribute_dim, input_side
        features, (first, second) = widths[-1], attribute_widths
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(features),
            nn.Conv2d(features, features, 3, 1, 1, bias=False),
            nn.LeakyReLU(_SLOPE),
            nn.Conv2d(features, identity_width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(identity_width),
            nn.LeakyReLU(_SLOPE),
            nn.Flatten(),
            nn.Linear(identity_width * halved(input_side, 4) ** 2, identity_dim),
            nn.BatchNorm1d(identity_dim),
        )
        self.output_layer2 = nn.Sequential(
            nn.BatchNorm2d(features),
            nn.Conv2d(features, first, 4, 2, 1, bias=False),
            nn.LeakyReLU(_SLOPE),
            nn.Conv2d(first, second, 4, 2, 1, bias=False),
            nn.BatchNorm2d(second),
            nn.LeakyReLU(_SLOPE),
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(second, attribute_dim, 1, bias=False),
            nn.BatchNorm2d(attribute_dim),
            nn.Flatten(),
        )
        self.add_module("body", self._modules.pop("body"))  # the published order: the body is last

    def heads(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Lengths (B,) of the two heads' outputs, and the outputs over their lengths, see `forward`.

        Args:
            features: the trunk's last map (B, F, S / 16, S / 16).
        """
        identity, attribute = self.output_layer(features), self.output_layer2(features)
        lengths = identity.norm(dim=1), attribute.norm(dim=1)
        return *lengths, identity / lengths[0][:, None], attribute / lengths[1][:, None]

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Identity (B, identity_dim) and attribute vectors (B, attribute_dim) of images (B, 3, S, S) in [−1, 1].

        Raises:
            ValueError: images of another side than `input_side`.
        """
        if image.shape[2:] != (self.input_side, self.input_side):
            raise ValueError(
                f"this network takes images of {self.input_side} x {self.input_side}, "
                f"not {image.shape[2]} x {image.shape[3]}"
            )
        features = self.stages(image.contiguous(memory_format=torch.channels_last))[-1]
        _, _, identity, attribute = self.heads(features)
        return identity, attribute


def swap_encoder_sizes(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Constructor arguments of the swap encoder whose checkpoint has these keys and shapes.

    Raises:
        ValueError: the keys are not those of such a network.
    """
    if "output_layer2.7.weight" not in shapes or "output_layer.7.weight" not in shapes:
        raise ValueError("no swap encoder here: keys 'output_layer.7.weight' and 'output_layer2.7.weight' are missing")
    identity, features = (int(size) for size in shapes["output_layer.7.weight"])
    width = int(shapes["output_layer.3.weight"][0])
    side = round((features / width) ** 0.5)
    if side * side * width != features:
        raise ValueError(f"the identity head takes {features} numbers, no square map of {width} channels")
    return {
        **irse_trunk_sizes(shapes),
        "identity_dim": identity,
        "attribute_dim": int(shapes["output_layer2.7.weight"][0]),
        "identity_width": width,
        "attribute_widths": [int(shapes[f"output_layer2.{layer}.weight"][0]) for layer in (1, 3)],
        "input_side": 16 * side,
    }
