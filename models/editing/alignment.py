"""From a whole picture to the squares that a domain's networks see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from PIL import Image

from models.editing.face_choice import FaceChoice, Only
from utils.ranges import Size

ALIGNED_ALREADY = "aligned already, used as it is"


class AlignmentError(ValueError):
    """A picture that cannot be aligned; the message is the reason, without the picture's name."""


class AlignerMissing(AlignmentError):
    """The aligner lacks a package, so that no picture can be aligned; the message says what to install."""


@dataclass(frozen=True)
class Frame:
    """Where an aligned square lies in its picture: the point (u, v) of the unit square is origin + u·across + v·down.

    In pixels of the picture, whose top left corner is (0, 0): the centre of its first pixel is (0.5, 0.5).

    Attributes:
        origin, across, down: (2,) each, as x and y.
    """

    origin: np.ndarray
    across: np.ndarray
    down: np.ndarray

    @property
    def side(self) -> float:
        """Length of the square's upper edge in pixels of the picture."""
        return float(np.hypot(*self.across))

    def corners(self) -> np.ndarray:
        """(4, 2): top left, bottom left, bottom right, top right."""
        o, x, y = self.origin, self.across, self.down
        return np.stack([o, o + y, o + x + y, o + x])

    def inverse(self, points: np.ndarray) -> np.ndarray:
        """(…, 2) positions in the picture → (…, 2) as u and v."""
        matrix = np.linalg.inv(np.stack([self.across, self.down], axis=1))
        positions: np.ndarray = (points - self.origin) @ matrix.T
        return positions

    def numbers(self) -> list[float]:
        """Origin, across and down as six numbers, for files."""
        return [round(float(value), 4) for value in (*self.origin, *self.across, *self.down)]

    @staticmethod
    def of(numbers: list[float]) -> Frame:
        """The frame of `numbers()`."""
        origin, across, down = np.asarray(numbers, dtype=np.float64).reshape(3, 2)
        return Frame(origin, across, down)


@dataclass(frozen=True)
class AlignedFace:
    """A face cut out of a picture.

    Attributes:
        picture: RGB square of the domain's `image_side`.
        frame: where it lies in the picture that it was cut out of.
        box: left, top, right, bottom of the detected face, in whole pixels; None without a detector.
        score: the detector's; only scores of one detector can be compared.
        detector: its name.
        remark: a note for people: that the picture was aligned already, or that it does not seem so.
        smallest_face: height in pixels of the smallest face that the search could find.
    """

    picture: Image.Image
    frame: Frame
    box: tuple[int, int, int, int] | None = None
    score: float | None = None
    detector: str | None = None
    remark: str = ""
    smallest_face: int | None = None


class Aligner(Protocol):
    """Turns an RGB picture into squares of the domain's `image_side`.

    Attributes:
        enough: shorter side of the picture beyond which more pixels do not help.
        cuts_photographs: whether it finds faces in photographs, into which edits are then pasted back.
    """

    enough: int
    cuts_photographs: bool

    def __call__(self, picture: Image.Image) -> Image.Image:
        """The picture's largest face, aligned.

        Raises:
            AlignmentError: it is too small or shows no face.
        """

    def faces(self, picture: Image.Image, choice: FaceChoice = "all") -> list[AlignedFace]:
        """The chosen faces, highest score first; at least one.

        Raises:
            AlignmentError: it is too small or shows no face.
        """

    def doubt(self, picture: Image.Image) -> str:
        """Why a picture that is given as aligned does not seem to be; empty if it does or this aligner cannot tell.

        Raises:
            AlignerMissing: what it searches with is not there.
        """


class ResizeAligner:
    """The centred square, brought to `image_side` with Lanczos; for pictures that are aligned already.

    Args:
        minimum_side: smallest picture that is taken; by default half of `image_side`.
    """

    cuts_photographs = False

    def __init__(self, image_side: int, minimum_side: Size | None = None) -> None:
        self.image_side = image_side
        self.minimum_side = minimum_side if minimum_side is not None else max(1, image_side // 2)
        self.enough = 4 * image_side

    def __call__(self, picture: Image.Image) -> Image.Image:
        """The aligned picture.

        Raises:
            AlignmentError: it is smaller than `minimum_side`.
        """
        return self.faces(picture)[0].picture

    def faces(self, picture: Image.Image, choice: FaceChoice = "all") -> list[AlignedFace]:
        """The one square.

        Raises:
            AlignmentError: the picture is smaller than `minimum_side`, or another face than the first is chosen.
        """
        if isinstance(choice, Only) and choice.number > 1:
            raise AlignmentError(f"has no face {choice.number}: the picture is taken whole, as one face")
        width, height = picture.size
        side = min(width, height)
        if side < self.minimum_side:
            raise AlignmentError(f"too small: {width} × {height}, at least {self.minimum_side} pixels a side needed")
        left, top = (width - side) // 2, (height - side) // 2
        frame = Frame(np.array([left, top], float), np.array([side, 0.0]), np.array([0.0, side]))
        if (width, height) != (self.image_side, self.image_side):
            box = (left, top, left + side, top + side)
            picture = picture.crop(box).resize((self.image_side, self.image_side), Image.Resampling.LANCZOS)
        return [AlignedFace(picture, frame)]

    def doubt(self, picture: Image.Image) -> str:
        """Empty: this aligner does not look for faces."""
        return ""
