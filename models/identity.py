"""Face recognition networks: embeddings (ArcFace) whose cosine measures the similarity of two identities."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import torch.nn.functional as F
from torch import Tensor, nn

from models.encoders.irse import IRSETrunk, Widths, halved, irse_trunk_sizes
from utils.ranges import BelowOne, Rows, Side, Size, Stages

CROP_SIDE = 256  # crops are given in pixels of an image of this side
Crop = Annotated[tuple[int, int, int, int], Rows(CROP_SIDE)]
PUBLISHED_CROP = (35, 223, 32, 220)  # the face in an FFHQ-aligned image of that side: rows, then columns


def crop_face(image: Tensor, crop: Sequence[int] | None) -> Tensor:
    """The part of an image (B, 3, H, W) that a recognition network takes.

    Args:
        crop: first row, end row, first column, end column in pixels of a 256² image, scaled (and rounded down) to the
            image's own size; None keeps the whole image.
    """
    if crop is None:
        return image
    height, width = image.shape[2:]
    top, bottom = (int(edge * height / CROP_SIDE) for edge in crop[:2])
    left, right = (int(edge * width / CROP_SIDE) for edge in crop[2:])
    return image[:, :, top:bottom, left:right]


class IdentityNetwork(nn.Module, ABC):
    """Base of the recognition networks: `embedding` takes images of a domain, `forward` cropped faces as published."""

    crop: tuple[int, ...] | None
    input_side: int

    def _configure(self, crop: Crop | None, input_side: Side) -> None:
        self.crop = None if crop is None else tuple(crop)
        self.input_side = input_side

    def _check_input(self, image: Tensor) -> None:
        if any(halved(side, 4) != halved(self.input_side, 4) for side in image.shape[2:]):
            raise ValueError(
                f"this network takes images of {self.input_side} x {self.input_side}, "
                f"not {image.shape[2]} x {image.shape[3]}; `embedding` resizes"
            )

    @abstractmethod
    def resize(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 3, input_side, input_side), as the network's authors do it."""

    def preprocess(self, image: Tensor) -> Tensor:
        """Crop and resize an image (B, 3, S, S) to what `forward` takes; values stay as they are."""
        face = crop_face(image, self.crop)
        return face if face.shape[2:] == (self.input_side, self.input_side) else self.resize(face)

    def embedding(self, image: Tensor) -> Tensor:
        """Unit-norm embeddings (B, E) of images (B, 3, S, S) in [-1, 1] of any size."""
        return F.normalize(self(self.preprocess(image)))


class IRSEIdentity(IRSETrunk, IdentityNetwork):
    """ArcFace's IR-SE network (the identity loss of pSp and e4e; public file `model_ir_se50.pth`).

    Args:
        layers: units of the trunk's four stages ([3, 4, 14, 3] is IR-SE50).
        widths: channels of the trunk's stem and of its four stages.
        embedding_dim: size of the embedding.
        input_side: side of what `forward` takes.
        crop: part of a domain's image that is the face, see `crop_face`.
        dropout: share of features dropped in training, before the last linear layer.
    """

    def __init__(
        self,
        layers: Stages = (3, 4, 14, 3),
        widths: Widths = (64, 64, 128, 256, 512),
        embedding_dim: Size = 512,
        input_side: Side = 112,
        crop: Crop | None = PUBLISHED_CROP,
        dropout: BelowOne = 0.6,
    ) -> None:
        super().__init__(layers, widths)
        self._configure(crop, input_side)
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(widths[-1]),
            nn.Dropout(dropout),
            nn.Flatten(),
            nn.Linear(widths[-1] * halved(input_side, 4) ** 2, embedding_dim),
            nn.BatchNorm1d(embedding_dim),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Unit-norm embeddings (B, E) of faces (B, 3, input_side, input_side) in [-1, 1], already cropped."""
        self._check_input(image)
        return F.normalize(self.output_layer(self.stages(image)[-1]))

    def resize(self, image: Tensor) -> Tensor:
        """Means over (uneven) bins."""
        return F.adaptive_avg_pool2d(image, self.input_side)


class IResNetBlock(nn.Module):
    """Residual block of insightface: norm, convolution, norm, PReLU, strided convolution, norm; no activation after."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.bn1 = _norm(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = _norm(outputs)
        self.prelu = nn.PReLU(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, stride, 1, bias=False)
        self.bn3 = _norm(outputs)
        self.downsample = (
            None
            if stride == 1 and inputs == outputs
            else nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), _norm(outputs))
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, ceil(H / stride), ceil(W / stride))."""
        residual: Tensor = self.bn3(self.conv2(self.prelu(self.bn2(self.conv1(self.bn1(x))))))
        shortcut: Tensor = x if self.downsample is None else self.downsample(x)
        return residual + shortcut


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=2e-5)


class IResNetIdentity(IdentityNetwork):
    """insightface's residual network (the identity measure of AdaTrans and SDFlow; public `iresnet34`, `iresnet50`).

    Args:
        layers: blocks of the four stages ([3, 4, 6, 3] is iresnet34, [3, 4, 14, 3] is iresnet50).
        width: channels of the first stage, doubled from stage to stage (64 as published).
        embedding_dim: size of the embedding.
        input_side: side of what `forward` takes.
        crop: part of a domain's image that is the face, see `crop_face`.
        dropout: share of features dropped in training, before the last linear layer.
    """

    def __init__(
        self,
        layers: Stages = (3, 4, 6, 3),
        width: Size = 64,
        embedding_dim: Size = 512,
        input_side: Side = 112,
        crop: Crop | None = PUBLISHED_CROP,
        dropout: BelowOne = 0.0,
    ) -> None:
        super().__init__()
        self._configure(crop, input_side)
        self.conv1 = nn.Conv2d(3, width, 3, 1, 1, bias=False)
        self.bn1 = _norm(width)
        self.prelu = nn.PReLU(width)
        channels = width
        for stage, depth in enumerate(layers):
            outputs = width * 2**stage
            blocks = [IResNetBlock(channels, outputs, stride=2)]
            blocks += [IResNetBlock(outputs, outputs, stride=1) for _ in range(depth - 1)]
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
            channels = outputs
        self.bn2 = nn.BatchNorm2d(channels)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(channels * halved(input_side, 4) ** 2, embedding_dim)
        self.features = nn.BatchNorm1d(embedding_dim)

    def forward(self, image: Tensor) -> Tensor:
        """Embeddings (B, E), not normalised, of faces (B, 3, input_side, input_side) in [-1, 1], already cropped."""
        self._check_input(image)
        x = self.prelu(self.bn1(self.conv1(image)))
        for stage in ("layer1", "layer2", "layer3", "layer4"):
            x = self.get_submodule(stage)(x)
        embedding: Tensor = self.features(self.fc(self.dropout(self.bn2(x)).flatten(1)))
        return embedding

    def resize(self, image: Tensor) -> Tensor:
        """Bicubic, smoothed when it shrinks; the corners' centres stay where they are."""
        side = (self.input_side, self.input_side)
        return F.interpolate(image, size=side, mode="bicubic", align_corners=True, antialias=True)


def irse_identity_sizes(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Constructor arguments of the IR-SE network whose checkpoint has these keys and shapes.

    Raises:
        ValueError: the keys are not those of such a network.
    """
    if "output_layer.3.weight" not in shapes:
        raise ValueError("no IR-SE recognition network here: key 'output_layer.3.weight' is missing")
    trunk = irse_trunk_sizes(shapes)
    embedding, features = (int(size) for size in shapes["output_layer.3.weight"])
    return {**trunk, "embedding_dim": embedding, "input_side": _input_side(features, trunk["widths"][-1])}


def iresnet_identity_sizes(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Constructor arguments of the residual recognition network whose checkpoint has these keys and shapes.

    Raises:
        ValueError: the keys are not those of such a network.
    """
    if "conv1.weight" not in shapes or "fc.weight" not in shapes:
        raise ValueError("no iresnet here: keys 'conv1.weight' and 'fc.weight' are missing")
    blocks = [int(m[1]) for m in (re.match(r"layer(\d+)\.\d+\.conv1\.weight$", key) for key in shapes) if m]
    embedding, features = (int(size) for size in shapes["fc.weight"])
    width = int(shapes["conv1.weight"][0])
    return {
        "layers": [blocks.count(stage) for stage in range(1, 5)],
        "width": width,
        "embedding_dim": embedding,
        "input_side": _input_side(features, 8 * width),
    }


def _input_side(features: int, channels: int) -> int:
    """The side whose last feature map has this many numbers."""
    side: int = round((features / channels) ** 0.5)
    if side * side * channels != features:
        raise ValueError(f"the last linear layer takes {features} numbers, not a square map of {channels} channels")
    return 16 * side
