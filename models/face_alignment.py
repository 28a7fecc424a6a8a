"""Alignment of photographs as in FFHQ (Karras et al., 2019, appendix A): eyes and mouth come to fixed places."""

from __future__ import annotations

import importlib
import importlib.util
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image
from scipy import ndimage

from models.alignment import AlignmentError

_LEFT_EYE, _RIGHT_EYE, _MOUTH_CORNERS = slice(36, 42), slice(42, 48), (48, 54)  # of dlib's 68 landmarks


def _turned(vector: np.ndarray) -> np.ndarray:
    """The vector (x, y) turned by a quarter: (−y, x)."""
    return np.array([-vector[1], vector[0]])


def crop_quad(landmarks: np.ndarray) -> np.ndarray:
    """Corners (4, 2) of the square to cut out, from the top left one by way of the bottom left one.

    Args:
        landmarks: (68, 2), dlib's order, in pixels.
    """
    landmarks = landmarks.astype(np.float64)
    left, right = landmarks[_LEFT_EYE].mean(0), landmarks[_RIGHT_EYE].mean(0)
    eyes, between_eyes = (left + right) / 2, right - left
    eyes_to_mouth = landmarks[list(_MOUTH_CORNERS)].mean(0) - eyes
    x = between_eyes - _turned(eyes_to_mouth)
    x *= max(2.0 * np.hypot(*between_eyes), 1.8 * np.hypot(*eyes_to_mouth)) / np.hypot(*x)
    y = _turned(x)
    centre = eyes + 0.1 * eyes_to_mouth
    return np.stack([centre - x - y, centre - x + y, centre + x + y, centre + x - y])


def cut_out(picture: Image.Image, quad: np.ndarray, side: int) -> Image.Image:
    """The quad's part of an RGB picture as side × side pixels; what lies beyond its edge is mirrored and blurred."""
    size = float(np.hypot(*(quad[3] - quad[0])))
    shrink = int(np.floor(size / side / 2))
    if shrink > 1:
        reduced = (round(picture.width / shrink), round(picture.height / shrink))
        picture = picture.resize(reduced, Image.Resampling.LANCZOS)
        quad, size = quad / shrink, size / shrink
    border = max(int(np.rint(size * 0.1)), 3)
    low, high = np.floor(quad.min(0)).astype(int), np.ceil(quad.max(0)).astype(int)
    start = np.maximum(low - border, 0)
    end = np.minimum(high + border, picture.size)
    if (end <= start).any():
        raise AlignmentError("the face lies outside the picture")
    if tuple(end - start) != picture.size:
        picture = picture.crop((*start.tolist(), *end.tolist()))
        quad = quad - start
    low, high = np.floor(quad.min(0)).astype(int), np.ceil(quad.max(0)).astype(int)
    before = np.maximum(border - low, 0)
    after = np.maximum(high - picture.size + border, 0)
    if max(*before, *after) > border - 4:
        least = int(np.rint(size * 0.3))
        before, after = np.maximum(before, least), np.maximum(after, least)
        picture = _padded(picture, before, after, 0.02 * size)
        quad = quad + before
    corners = tuple((quad + 0.5).flatten())
    return picture.transform((side, side), Image.Transform.QUAD, corners, Image.Resampling.BILINEAR)


def _padded(picture: Image.Image, before: np.ndarray, after: np.ndarray, blur: float) -> Image.Image:
    """Mirrored beyond the edges; from there outwards blurred, and further out drawn to the median colour."""
    pads = ((before[1], after[1]), (before[0], after[0]), (0, 0))
    pixels = np.pad(np.asarray(picture, dtype=np.float32), pads, "reflect")
    height, width, _ = pixels.shape
    rows, columns = np.ogrid[:height, :width]
    inside_x = np.minimum(np.float32(columns) / before[0], np.float32(width - 1 - columns) / after[0])
    inside_y = np.minimum(np.float32(rows) / before[1], np.float32(height - 1 - rows) / after[1])
    outside = np.maximum(1 - inside_x, 1 - inside_y)[:, :, None]
    pixels += (ndimage.gaussian_filter(pixels, [blur, blur, 0]) - pixels) * np.clip(3 * outside + 1, 0, 1)
    pixels += (np.median(pixels, axis=(0, 1)) - pixels) * np.clip(outside, 0, 1)
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


class DlibAligner:
    """Finds the face with dlib, then cuts it out as FFHQ does.

    Args:
        detector: `cnn`, as the authors of SDFlow take it (the largest face is kept), or `hog`, which is many times
            faster on a CPU and less patient with turned heads (the surest face is kept).
        detection_side: longer side that the photograph is reduced to for the search.
    """

    def __init__(
        self, image_side: int, detector: Literal["cnn", "hog"] = "cnn", detection_side: int = 1024
    ) -> None:
        self.image_side, self.detector, self.detection_side = image_side, detector, detection_side
        self.enough = 2048

    @cached_property
    def _dlib(self) -> Any:
        try:
            return importlib.import_module("dlib")
        except ImportError as error:
            raise AlignmentError(f"photographs are aligned with dlib: pip install dlib-bin ({error})") from error

    @staticmethod
    def _model(name: str) -> str:
        """File of a model in the package `face_recognition_models`, which is not imported: its import is outdated."""
        specification = importlib.util.find_spec("face_recognition_models")
        if specification is None or specification.origin is None:
            raise AlignmentError("dlib's landmark model is missing: pip install face_recognition_models")
        return str(Path(specification.origin).parent / "models" / name)

    @cached_property
    def _predictor(self) -> Any:
        return self._dlib.shape_predictor(self._model("shape_predictor_68_face_landmarks.dat"))

    @cached_property
    def _cnn(self) -> Any:
        return self._dlib.cnn_face_detection_model_v1(self._model("mmod_human_face_detector.dat"))

    @cached_property
    def _hog(self) -> Any:
        return self._dlib.get_frontal_face_detector()

    def _find(self, pixels: np.ndarray) -> Any:
        """Box of the face, in dlib's form."""
        if self.detector == "cnn":
            boxes = [found.rect for found in self._cnn(pixels, 1)]
            sizes = [(box.right() - box.left()) * (box.bottom() - box.top()) for box in boxes]
        else:
            boxes, sizes, _ = self._hog.run(pixels, 1, 0.0)
        if not len(boxes):
            raise AlignmentError("no face was found")
        return boxes[int(np.argmax(list(sizes)))]

    def landmarks(self, picture: Image.Image) -> np.ndarray:
        """(68, 2) whole pixels of the face in an RGB picture.

        Raises:
            AlignmentError: no face, or dlib or its model is missing.
        """
        scale = max(1.0, max(picture.size) / self.detection_side)
        reduced = picture
        if scale > 1:
            reduced = picture.resize((round(picture.width / scale), round(picture.height / scale)))
        box = self._find(np.asarray(reduced))
        edges = [round(edge * scale) for edge in (box.left(), box.top(), box.right(), box.bottom())]
        shape = self._predictor(np.asarray(picture), self._dlib.rectangle(*edges))
        return np.array([(part.x, part.y) for part in shape.parts()])

    def __call__(self, picture: Image.Image) -> Image.Image:
        """The aligned face.

        Raises:
            AlignmentError: no face, or dlib or its model is missing.
        """
        return cut_out(picture, crop_quad(self.landmarks(picture)), self.image_side)
