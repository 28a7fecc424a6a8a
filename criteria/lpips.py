"""LPIPS, the perceptual distance learned from people's judgements ("The Unreasonable Effectiveness of Deep Features as
a Perceptual Metric", 2018), as the package `lpips` computes it, with AlexNet as trunk.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from utils.excerpts import excerpt
from utils.paths import displayed
from utils.torchvision_operators import torchvision  # noqa: F401 (lpips imports it)
from utils.weight_files.formats import read_checkpoint
from utils.weight_files.refusal import RefusedFile
from utils.weight_files.stored_tensor import StoredTensor, read_tensors
from utils.weights import WeightsError, freeze

# isort: split
import lpips

_LAYERS = (0, 3, 6, 8, 10)  # AlexNet's convolutions, each the last layer of a slice


class LPIPS(nn.Module):
    """Distance of two pictures; the linear weights come with the package, the trunk's from torchvision's file.

    Args:
        trunk: state dict of torchvision's AlexNet; random weights where there is none.
    """

    def __init__(self, trunk: Mapping[str, Tensor] | None = None) -> None:
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the package names the trunk in torchvision's old way
            self.network = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
        if trunk is not None:
            self.network.load_state_dict(_as_slices(trunk), strict=False)
        freeze(self)

    @classmethod
    def of_file(cls, path: Path, hint: str = "") -> LPIPS:
        """The network with the trunk of a file such as torchvision's `alexnet-owt-7be5be79.pth`.

        Raises:
            WeightsError: no such file, or no AlexNet in it.
        """
        checkpoint = read_checkpoint(path, hint)
        keys = [f"features.{layer}.{kind}" for layer in _LAYERS for kind in ("weight", "bias")]
        held = checkpoint.content if isinstance(checkpoint.content, dict) else {}
        missing = [key for key in keys if not isinstance(held.get(key), Tensor | StoredTensor)]
        if missing:
            raise WeightsError(f"{displayed(path)}: no AlexNet of torchvision ('{missing[0]}' is missing)")
        try:
            return cls(read_tensors({key: held[key] for key in keys}, checkpoint.size))
        except RefusedFile as error:
            raise WeightsError(f"{displayed(path)}: {error}") from None
        except RuntimeError as error:
            raise WeightsError(f"{displayed(path)}: no AlexNet of torchvision ({excerpt(str(error))})") from None

    def forward(self, image: Tensor, target: Tensor) -> Tensor:
        """Distances (B,) of pictures (B, 3, H, W) in [−1, 1]; differentiable."""
        distance: Tensor = self.network(image, target)
        return distance.flatten()


def _as_slices(trunk: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        f"net.slice{number}.{layer}.{kind}": trunk[f"features.{layer}.{kind}"]
        for number, layer in enumerate(_LAYERS, 1)
        for kind in ("weight", "bias")
    }
