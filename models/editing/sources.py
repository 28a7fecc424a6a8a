"""Pictures as callers of the Python interface have them: files, bytes, Pillow pictures, arrays, tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from utils.images import to_pillow
from utils.photos import (
    PhotoError,
    Photograph,
    decode_photo,
    decode_picture,
    open_photograph,
    photograph_of,
    read_file,
)
from utils.provenance import mark_of

AnyPicture = str | Path | bytes | Image.Image | np.ndarray | Tensor
_BEYOND = 0.5  # of the range: generators and resampling overshoot a little, values of another range much more


@dataclass(frozen=True)
class Source:
    """A picture that was given.

    Attributes:
        picture: upright sRGB on white, for the aligner.
        photograph: makes the picture at full size with everything of its file, for pasting.
        is_aligned: its file says that it is an aligned face of this project.
    """

    picture: Image.Image
    photograph: Callable[[], Photograph]
    is_aligned: bool = False


def source_of(given: AnyPicture, enough: int = 1 << 30) -> Source:
    """The picture that a caller means.

    Args:
        given: name of a file; bytes of a file; Pillow picture; array (H, W), (H, W, 3) or (H, W, 4), uint8 or floats
            in [0, 1]; tensor (3, H, W) or (1, 3, H, W) in [−1, 1].
        enough: a shorter side that suffices, see `decode_photo`.
    Raises:
        PhotoError: no picture, damaged, too large, or an array of another shape or range.
    """
    if isinstance(given, str | Path):
        given = read_file(given)
    if isinstance(given, bytes):
        data = given
        marked = bool((mark_of(data) or {}).get("aligned"))
        return Source(decode_photo(data, enough), lambda: open_photograph(data), marked)
    if not isinstance(given, Image.Image | np.ndarray | Tensor):
        raise PhotoError(
            f"a picture is the name of a file, its bytes, a Pillow picture, an array or a tensor, "
            f"not {type(given).__name__}"
        )
    picture = given if isinstance(given, Image.Image) else _pillow(given)
    return Source(decode_picture(picture, enough), lambda: photograph_of(picture))


def _pillow(given: np.ndarray | Tensor) -> Image.Image:
    if isinstance(given, Tensor):
        image = given[0] if given.ndim == 4 and len(given) == 1 else given
        if image.ndim != 3 or image.shape[0] != 3 or not image.is_floating_point():
            raise PhotoError(f"a tensor must be (3, H, W) in [−1, 1], not {tuple(given.shape)} {given.dtype}")
        if image.layout != torch.strided or image.is_meta or not image.numel():
            raise PhotoError("a tensor must hold its values: neither empty, nor sparse, nor on the device 'meta'")
        _check_range(float(image.min()), float(image.max()), -1, 1)
        return to_pillow(image)
    if given.ndim not in (2, 3) or (given.ndim == 3 and given.shape[2] not in (3, 4)) or not given.size:
        raise PhotoError(f"an array must be (H, W), (H, W, 3) or (H, W, 4), not {given.shape}")
    if given.dtype == np.uint8:
        return Image.fromarray(np.ascontiguousarray(given))
    if not np.issubdtype(given.dtype, np.floating):
        raise PhotoError(f"an array must hold bytes (uint8) or floats in [0, 1], not {given.dtype}")
    _check_range(float(given.min()), float(given.max()), 0, 1)
    return Image.fromarray((given.clip(0, 1) * 255).round().astype(np.uint8))


def _check_range(lowest: float, highest: float, low: int, high: int) -> None:
    """Refuse values of another range, which would be clipped to a picture of black and white."""
    beyond = _BEYOND * (high - low)
    if not low - beyond <= lowest <= highest <= high + beyond:  # nor is nan
        wanted = "a tensor must lie in [−1, 1]" if low < 0 else "an array of floats must lie in [0, 1]"
        raise PhotoError(f"{wanted}, not from {lowest:g} to {highest:g}")
