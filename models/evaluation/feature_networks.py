"""Networks in whose features generated photographs are compared with real ones; both are files of
`python scripts/download.py fid`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from utils.excerpts import excerpt
from utils.images import grey_levels
from utils.paths import displayed
from utils.torchvision_operators import torchvision
from utils.weight_files.formats import read_checkpoint
from utils.weight_files.refusal import RefusedFile
from utils.weight_files.stored_tensor import StoredTensor, read_tensors
from utils.weights import WeightsError, freeze

_HINT = "python scripts/download.py fid"
_VGG_SIDE = 256


class InceptionFeatures(nn.Module):
    """The 2048 features of the Fréchet inception distance, by torch-fidelity.

    Args:
        state: of its `weights-inception-2015-12-05-6726825d.pth`.
    """

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        with TemporaryDirectory() as folder:  # torch-fidelity reads files as pickles: it is given one that we wrote
            path = Path(folder) / "inception.pth"
            torch.save(dict(state), path)
            self.network: Any = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], str(path))
        freeze(self)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 2048) of pictures (B, 3, S, S) in [−1, 1], which are rounded to whole levels."""
        features: Tensor = self.network(grey_levels(image).to(torch.uint8))[0]
        return features


class VGG16Features(nn.Module):
    """The 4096 features of VGG16 after its second linear layer and ReLU.

    As in W++'s published code the pictures have 256² pixels and stay in [−1, 1], without ImageNet's normalisation.

    Args:
        state: of torchvision's `vgg16-397923af.pth`.
    """

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.network: Any = torchvision.models.vgg16(init_weights=False)
        self.network.load_state_dict(state)
        self.network.classifier = self.network.classifier[:-1]
        freeze(self)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 4096) of pictures (B, 3, S, S) in [−1, 1]."""
        if image.shape[2:] != (_VGG_SIDE, _VGG_SIDE):
            image = F.interpolate(image, size=(_VGG_SIDE, _VGG_SIDE), mode="bilinear", antialias=True)
        features: Tensor = self.network(image)
        return features


NETWORKS = {"inception": InceptionFeatures, "vgg16": VGG16Features}


def feature_network(name: str, path: Path) -> nn.Module:
    """The network of a file, as data: nothing in it is executed.

    Args:
        name: key of `NETWORKS`.
    Raises:
        WeightsError: no such file, or another network in it.
    """
    checkpoint = read_checkpoint(path, _HINT)
    held = checkpoint.content if isinstance(checkpoint.content, dict) else {}
    tensors = {key: value for key, value in held.items() if isinstance(value, Tensor | StoredTensor)}
    try:
        return NETWORKS[name](read_tensors(tensors, checkpoint.size))
    except RefusedFile as error:
        raise WeightsError(f"{displayed(path)}: {error}") from None
    except RuntimeError as error:
        raise WeightsError(f"{displayed(path)}: not the weights of {name} ({excerpt(str(error))})") from None
