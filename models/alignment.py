"""From a whole picture to the square that a domain's networks see."""

from __future__ import annotations

from typing import Protocol

from PIL import Image

from models.domain import Domain
from utils.config import Catalogue, as_section


class AlignmentError(ValueError):
    """A picture that cannot be aligned; the message is the reason, without the picture's name."""


class Aligner(Protocol):
    """Turns an RGB picture into the square of the domain's `image_side`.

    Attributes:
        enough: shorter side of the picture beyond which more pixels do not help.
    """

    enough: int

    def __call__(self, picture: Image.Image) -> Image.Image:
        """The aligned picture.

        Raises:
            AlignmentError: it is too small or shows no face.
        """


class ResizeAligner:
    """The centred square, brought to `image_side` with Lanczos; for pictures that are aligned already.

    Args:
        minimum_side: smallest picture that is taken; by default half of `image_side`.
    """

    def __init__(self, image_side: int, minimum_side: int | None = None) -> None:
        self.image_side = image_side
        self.minimum_side = minimum_side if minimum_side is not None else max(1, image_side // 2)
        self.enough = 4 * image_side

    def __call__(self, picture: Image.Image) -> Image.Image:
        """The aligned picture.

        Raises:
            AlignmentError: it is smaller than `minimum_side`.
        """
        width, height = picture.size
        side = min(width, height)
        if side < self.minimum_side:
            raise AlignmentError(f"too small: {width} × {height}, at least {self.minimum_side} pixels a side needed")
        if (width, height) == (self.image_side, self.image_side):
            return picture
        left, top = (width - side) // 2, (height - side) // 2
        box = (left, top, left + side, top + side)
        return picture.crop(box).resize((self.image_side, self.image_side), Image.Resampling.LANCZOS)


ALIGNERS = Catalogue(
    "aligner", {"resize": "models.alignment:ResizeAligner", "dlib": "models.face_alignment:DlibAligner"}
)


def build_aligner(domain: Domain) -> Aligner:
    """The aligner that the domain's config names.

    Raises:
        ConfigError: unknown name or argument.
    """
    section = as_section(domain.config.get("aligner", domain.aligner), "aligner")
    return ALIGNERS.build(section, image_side=domain.image_side)
