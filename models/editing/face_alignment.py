"""Faces in photographs: found with dlib, then cut out as FFHQ does (`models/editing/ffhq_crop.py`)."""

from __future__ import annotations

import importlib
import importlib.util
import itertools
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from PIL import Image

from models.editing.alignment import (
    ALIGNED_ALREADY,
    AlignedFace,
    AlignerMissing,
    AlignmentError,
    ResizeAligner,
)
from models.editing.face_choice import FaceChoice, Only
from models.editing.ffhq_crop import crop_frame, crop_quad, cut_out
from utils.photos import Box
from utils.ranges import FAR, Between

Detector = Literal["hog", "cnn"]
_CURE = "pip install dlib-bin face_recognition_models"

# Longer side of the copy that is searched first, and side of the tiles in which larger ones are. HOG takes 0.08 µs a
# pixel on one core, the CNN 6.5 µs.
SEARCH_SIDE: dict[str, int] = {"hog": 2048, "cnn": 1024}
_SMALLEST_FACE = 80  # pixels, of both detectors before doubling; pictures of 3 or 6 pixels crash the CNN
_LEAST_SMALLEST_FACE = 20  # pixels that may be asked for: below it enlarging shows nothing that is a face
SmallestFace = Annotated[int, Between(_LEAST_SMALLEST_FACE, FAR)]
_LEVEL = 2.0  # ratio of the scales at which a picture is searched
_TILE_OVERLAP = 4 * _SMALLEST_FACE  # faces of twice the smallest are found at the scale before
_SAME_FACE = 0.4  # share of the smaller box that two finds of one face have in common
_SURE_SCORE = 0.5  # of HOG: below it false finds are as common as faces, so that the CNN is asked
_CONFIRMING_SIDE = 90  # pixels of a doubtful find when the CNN looks at it
_REFINING_SIDES = range(88, 106)  # one step of HOG's pyramid (6/5) in whole pixels
_TURNS = range(30, 360, 30)  # degrees; HOG and the landmarks work up to about 25 from upright
_TURNING_SIDE = 160  # pixels of a find while it is turned
_SHIFTS, _ZOOMS = (-0.04, 0.0, 0.04), (0.94, 1.0, 1.06)  # of a box, over which landmarks are averaged
# How far, as a share of the side, the crop of an aligned picture's face lies from the picture's corners: published
# crops gave less than 0.01 here, photographs that happen to be square more than 0.2.
ALIGNED_LIMIT = 0.05


@dataclass(frozen=True, eq=False)
class Found:
    """A face in a picture.

    Attributes:
        box: (4,) left, top, right, bottom in pixel indices of the whole picture.
        score: the detector's, larger is surer.
        detector: `hog` or `cnn`.
    """

    box: np.ndarray
    score: float
    detector: Detector

    @property
    def area(self) -> float:
        """In pixels."""
        return float((self.box[2] - self.box[0]) * (self.box[3] - self.box[1]))

    def common(self, other: Found) -> float:
        """Share of the smaller box that lies in the larger one."""
        sides = np.minimum(self.box[2:], other.box[2:]) - np.maximum(self.box[:2], other.box[:2])
        return float(np.prod(np.maximum(sides, 0))) / max(min(self.area, other.area), 1.0)


def _edges(rectangle: Any) -> np.ndarray:
    return np.array([rectangle.left(), rectangle.top(), rectangle.right(), rectangle.bottom()], dtype=np.float64)


def _rescaled(positions: np.ndarray, factor: float) -> np.ndarray:
    """Pixel indices of a copy as those of the picture that is `factor` times larger."""
    return (positions + 0.5) * factor - 0.5


def _moved(finds: list[Found], factor: float, tile: Box) -> list[Found]:
    """Finds on a copy of a tile as those of the whole picture, which is `factor` times larger."""
    corner = np.array([tile[0], tile[1], tile[0], tile[1]])
    return [replace(find, box=_rescaled(find.box, factor) + corner) for find in finds]


def _tiles(size: tuple[int, int], scale: float, side: int, divided: bool) -> list[Box]:
    """The parts of a picture that are searched one after the other: the whole unless it is to be divided, else equal
    ones that overlap and measure at most `side` at this scale."""
    if not divided:
        return [(0, 0, *size)]
    most, overlap = int(side / scale), int(_TILE_OVERLAP / scale)
    spans = []
    for whole in size:
        count = max(-(-(whole - overlap) // (most - overlap)), 1)
        length = -(-(whole + (count - 1) * overlap) // count)
        starts = [index * (length - overlap) for index in range(count)]
        spans.append([(start, min(start + length, whole)) for start in starts])
    return [(left, top, right, bottom) for top, bottom in spans[1] for left, right in spans[0]]


def _part(picture: Image.Image, box: np.ndarray, margin: float, side: int) -> tuple[Image.Image, float, np.ndarray]:
    """Surroundings of a box, at a scale at which the box measures `side` pixels.

    Args:
        margin: how far the part reaches beyond the box, in its widths.
    Returns:
        The part, its scale, and where it begins (x, y) in the picture.
    """
    width = box[2] - box[0]
    low = np.maximum(np.floor(box[:2] - margin * width), 0)
    high = np.minimum(np.ceil(box[2:] + margin * width), picture.size)
    scale = side / width
    size = np.maximum(np.rint((high - low) * scale), 1).astype(int)
    region = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
    part = picture.resize((int(size[0]), int(size[1])), Image.Resampling.BILINEAR, box=region, reducing_gap=2.0)
    return part, scale, low


def _dlib() -> Any:
    try:
        return importlib.import_module("dlib")
    except ImportError as error:
        raise AlignerMissing(f"photographs are aligned with dlib, which is not installed: {_CURE}") from error


def _model(name: str, kind: str) -> Any:
    """A model of the package `face_recognition_models`, which is not imported: its import is outdated."""
    reader = getattr(_dlib(), kind)
    specification = importlib.util.find_spec("face_recognition_models")
    path = Path(specification.origin).parent / "models" / name if specification and specification.origin else None
    if path is None or not path.is_file():
        raise AlignerMissing(f"dlib's model {name}, with which photographs are aligned, is missing: {_CURE}")
    try:
        return reader(str(path))
    except RuntimeError as error:
        cure = "pip install --force-reinstall face_recognition_models"
        raise AlignerMissing(f"{path}: dlib cannot read this model ({error}): {cure}") from error


@cache
def _hog() -> Any:
    return _dlib().get_frontal_face_detector()


@cache
def _cnn() -> Any:
    return _model("mmod_human_face_detector.dat", "cnn_face_detection_model_v1")


@cache
def _predictor() -> Any:
    return _model("shape_predictor_68_face_landmarks.dat", "shape_predictor")


class DlibAligner:
    """Finds faces with dlib and cuts them out as FFHQ does.

    A large photograph is searched on a reduced copy first, then at rising scales, in tiles; each find is placed on the
    photograph itself.

    Args:
        detector: `hog`, dlib's frontal detector, with the CNN where it finds nothing or its score is low; or `cnn`
            for all, as the authors of SDFlow do: a hundred times slower on a CPU, and finds heads turned further.
        smallest_face: height in pixels of the smallest face that the detector is to find. By default HOG finds those
            of 80 pixels, and of 40 in pictures of at most 1024; the CNN, which takes longer, is content with those of
            80 pixels in a copy of 1024.
    Raises:
        ValueError: a face so small that none can be found.
    """

    cuts_photographs = True
    enough = 1 << 30

    def __init__(self, image_side: int, detector: Detector = "hog", smallest_face: SmallestFace | None = None) -> None:
        self.image_side, self.detector, self.smallest_face = image_side, detector, smallest_face
        self._whole = ResizeAligner(image_side, minimum_side=1)

    def detect(self, pixels: np.ndarray, detector: Detector, upsampled: int = 1) -> list[Found]:
        """All finds in an RGB array (H, W, 3) uint8, highest score first.

        Args:
            upsampled: how often the picture is doubled first, for small faces; the published codes do it once.
        """
        if min(pixels.shape[:2]) * 2**upsampled < _SMALLEST_FACE:
            return []
        if detector == "cnn":
            finds = [(find.rect, find.confidence) for find in _cnn()(pixels, upsampled)]
        else:
            rectangles, scores, _ = _hog().run(pixels, upsampled, 0.0)
            finds = list(zip(rectangles, scores, strict=True))
        found = [Found(_edges(rectangle), float(score), detector) for rectangle, score in finds]
        return sorted(found, key=lambda find: -find.score)

    def predict(self, pixels: np.ndarray, box: np.ndarray) -> np.ndarray:
        """(68, 2) landmarks, whole pixels, of the face in a box of an RGB array."""
        rectangle = _dlib().rectangle(*(round(float(edge)) for edge in box))
        return np.array([(part.x, part.y) for part in _predictor()(pixels, rectangle).parts()])

    def _scales(self, picture: Image.Image, detector: Detector) -> list[float]:
        """Scales of the copies on which a detector searches a picture, rising."""
        side, longer = SEARCH_SIDE[detector], max(picture.size)
        first = side / longer if longer > side else 2.0 if 2 * longer <= side else 1.0
        last = max(first, 1.0) if detector == "hog" else first
        if self.smallest_face is not None and detector == self.detector:
            last = _SMALLEST_FACE / self.smallest_face
        scales = [min(first, last)]
        while scales[-1] < last:
            scales.append(min(_LEVEL * scales[-1], last))
        return scales

    def smallest(self, picture: Image.Image, detector: Detector | None = None) -> int:
        """Height in pixels of the smallest face that a detector, by default the chosen one, can find in a picture."""
        return round(_SMALLEST_FACE / self._scales(picture, detector or self.detector)[-1])

    def _search(self, picture: Image.Image, detector: Detector) -> list[Found]:
        """Finds of one detector, highest score first; of several of one face that of the smallest copy, if it is sure,
        since the published codes know no other."""
        ranked: list[tuple[bool, int, Found]] = []
        for level, scale in enumerate(self._scales(picture, detector)):
            finds = [find for tile in _tiles(picture.size, scale, SEARCH_SIDE[detector], level > 0)
                     for find in self._search_tile(picture, detector, scale, tile)]  # fmt: skip
            ranked += [(find.score < _SURE_SCORE, level, find) for find in finds]
        kept: list[Found] = []
        for *_, find in sorted(ranked, key=lambda entry: (entry[0], entry[1], -entry[2].score)):
            if not any(find.common(other) > _SAME_FACE for other in kept):
                kept.append(find)
        return sorted(kept, key=lambda find: -find.score)

    def _search_tile(self, picture: Image.Image, detector: Detector, scale: float, tile: Box) -> list[Found]:
        """Finds of one detector in a part of a picture, enlarged or reduced."""
        width, height = tile[2] - tile[0], tile[3] - tile[1]
        if scale == 2.0 or scale == 1.0:  # as the published codes do it: dlib doubles the picture
            return _moved(self.detect(np.asarray(picture.crop(tile)), detector, int(scale == 2.0)), 1.0, tile)
        size = (max(round(width * scale), 1), max(round(height * scale), 1))
        copy = picture.resize(size, Image.Resampling.BILINEAR, box=tile, reducing_gap=2.0)
        return _moved(self.detect(np.asarray(copy), detector, 0), 1 / scale, tile)

    def _confirmed(self, picture: Image.Image, find: Found) -> bool:
        """Whether the CNN too sees a face where HOG is not sure."""
        if find.detector == "cnn" or find.score >= _SURE_SCORE:
            return True
        part, scale, low = _part(picture, find.box, 0.6, _CONFIRMING_SIDE)
        for other in self.detect(np.asarray(part), "cnn", 0):
            centre = (other.box[:2] + other.box[2:]) / 2 / scale + low
            if (find.box[:2] <= centre).all() and (centre <= find.box[2:]).all():
                return True
        return False

    def find(self, picture: Image.Image) -> list[Found]:
        """The faces of an RGB picture, highest score first.

        Raises:
            AlignerMissing: dlib or its model is not there.
        """
        finds = [find for find in self._search(picture, self.detector) if self._confirmed(picture, find)]
        return finds if finds or self.detector == "cnn" else self._search(picture, "cnn")

    def landmarks(self, picture: Image.Image, pixels: np.ndarray, find: Found) -> np.ndarray:
        """(68, 2) landmarks of a find: on a picture that was searched whole as the published codes predict them, in
        whole pixels; on a larger one refined, since the copy's coarser box alone would move the crop by some pixels;
        of a tilted head, which only the CNN finds, predicted on a copy that is turned upright.

        Args:
            picture, pixels: the same RGB picture, the second as an array.
        """
        if find.detector == "cnn" and (turned := self._turned(picture, find.box)) is not None:
            return turned
        if max(picture.size) <= SEARCH_SIDE[find.detector]:
            return self.predict(pixels, find.box)
        box = self._refined(picture, find.box)
        centre, width = (box[:2] + box[2:]) / 2, box[2] - box[0]
        predictions = []
        for x, y, zoom in itertools.product(_SHIFTS, _SHIFTS, _ZOOMS):
            middle, half = centre + np.array([x, y]) * width, zoom * width / 2
            predictions.append(self.predict(pixels, np.concatenate([middle - half, middle + half])))
        mean: np.ndarray = np.mean(predictions, axis=0)
        return mean

    def _turned(self, picture: Image.Image, box: np.ndarray) -> np.ndarray | None:
        """(68, 2) landmarks of the head in a box, in the turn in which HOG sees it best; None where it sees it upright
        or in no turn."""
        part, scale, low = _part(picture, box, 0.5, _TURNING_SIDE)
        if self.detect(np.asarray(part), "hog", 0):
            return None
        best: tuple[float, np.ndarray] | None = None
        for degrees in _TURNS:
            turned = np.asarray(part.rotate(degrees, Image.Resampling.BILINEAR, expand=True))
            finds = self.detect(turned, "hog", 0)
            if finds and (best is None or finds[0].score > best[0]):
                angle = np.radians(degrees)
                back = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
                offset = self.predict(turned, finds[0].box) + 0.5 - np.array(turned.shape[1::-1]) / 2
                best = finds[0].score, (offset @ back + np.array(part.size) / 2) / scale + low - 0.5
        return None if best is None else best[1]

    def _refined(self, picture: Image.Image, box: np.ndarray) -> np.ndarray:
        """Mean of HOG's boxes at scales between the steps of its pyramid: one box alone is only right to a tenth."""
        boxes = []
        for side in _REFINING_SIDES:
            part, scale, low = _part(picture, box, 0.5, side)
            rectangles, scores, _ = _hog().run(np.asarray(part), 0, -0.2)
            if len(rectangles):
                best = _edges(rectangles[int(np.argmax(list(scores)))])
                boxes.append(_rescaled(best, 1 / scale) + np.tile(low, 2))
        return np.mean(boxes, axis=0) if boxes else box

    def quad(self, picture: Image.Image, find: Found) -> np.ndarray:
        """Corners (4, 2) of the square that FFHQ cuts out for a find."""
        return crop_quad(self.landmarks(picture, np.asarray(picture), find))

    def _aligned(self, picture: Image.Image, find: Found, quad: np.ndarray) -> AlignedFace:
        left, top, right, bottom = (round(float(edge)) for edge in find.box)
        return AlignedFace(
            cut_out(picture, quad, self.image_side),
            crop_frame(quad, self.image_side, picture.size),
            (left, top, right, bottom),
            find.score,
            find.detector,
            smallest_face=self.smallest(picture, find.detector),
        )

    def __call__(self, picture: Image.Image) -> Image.Image:
        """The picture's largest face, aligned.

        Raises:
            AlignmentError: no face.
            AlignerMissing: dlib or its model is not there.
        """
        return self.faces(picture, "largest")[0].picture

    def faces(self, picture: Image.Image, choice: FaceChoice = "all") -> list[AlignedFace]:
        """The chosen faces, highest score first. A picture that is aligned already is its own face.

        Raises:
            AlignmentError: no face.
            AlignerMissing: dlib or its model is not there.
        """
        finds = self.find(picture)
        if not finds:
            smallest = self.smallest(picture)
            raise AlignmentError(
                f"no face was found; faces of {smallest} pixels or more were searched for (--smallest-face "
                f"{max(smallest // 2, _LEAST_SMALLEST_FACE)} searches for smaller ones)"
            )
        largest = max(finds, key=lambda find: find.area)
        quads = {largest: self.quad(picture, largest)}
        if self._distance(picture, quads[largest]) <= ALIGNED_LIMIT:
            return [replace(self._whole.faces(picture, choice)[0], remark=ALIGNED_ALREADY)]
        if choice == "largest":
            finds = [largest]
        elif isinstance(choice, Only):
            if choice.number > len(finds):
                raise AlignmentError(f"has no face {choice.number}: {len(finds)} found")
            finds = [finds[choice.number - 1]]
        elif choice != "all":
            finds = finds[:choice]
        return [
            self._aligned(picture, find, quads[find] if find in quads else self.quad(picture, find)) for find in finds
        ]

    def _distance(self, picture: Image.Image, quad: np.ndarray) -> float:
        """How far the corners of a face's crop lie from those of the picture, as a share of its side.

        Infinite where the picture is no square.
        """
        if abs(picture.width - picture.height) > 1:
            return np.inf
        whole = self._whole.faces(picture)[0].frame
        return float(np.abs(quad + 0.5 - whole.corners()).max() / whole.side)

    def doubt(self, picture: Image.Image) -> str:
        """Why a picture that is given as aligned does not seem to be; empty if it does.

        Raises:
            AlignerMissing: dlib or its model is not there.
        """
        if abs(picture.width - picture.height) > 1:
            return "it is no square: its middle is taken"
        finds = self.find(picture)
        if not finds:
            return "no face was found in it"
        distance = self._distance(picture, self.quad(picture, max(finds, key=lambda find: find.area)))
        if distance <= ALIGNED_LIMIT:
            return ""
        return f"its face lies {distance:.0%} of the side from where alignment puts it"
