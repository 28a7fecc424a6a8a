"""Golden case of the alignment of photographs: what dlib finds, and every step from landmarks to crop.

Each step is computed from the recorded result of the step before, so that a detector of another build, whose boxes may
differ by a pixel, does not hide what the formulas do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import dlib
import numpy as np
from PIL import Image, ImageOps

from models.editing.face_alignment import Detector, DlibAligner, Found
from models.editing.ffhq_crop import crop_matrix, crop_quad, cut_out, prepare
from scripts.checks.golden.case import CaseError, Comparison, GoldenCase

SIDE, TINY_SIDE = 256, 32
DETECTORS: tuple[Detector, ...] = ("cnn", "hog")
BOX_TOLERANCE = 2.0  # pixels, for boxes of another build of dlib
SCORE_TOLERANCE = 0.05
PICTURE_TOLERANCE = 1.0  # mean grey levels from the recorded picture, where Pillow rounds in another way


def _within(output: str, ours: np.ndarray, recorded: np.ndarray, limit: float) -> Comparison:
    """A comparison by the largest difference instead of the relative error."""
    if ours.shape != recorded.shape:
        return Comparison(output, np.inf, limit, f"has shape {ours.shape}, recorded {recorded.shape}")
    return Comparison(output, float(np.abs(ours - recorded).max(initial=0.0)), limit)


class _Photo:
    """One photograph of the case and what is computed from it."""

    def __init__(self, case: GoldenCase, name: str, aligner: DlibAligner) -> None:
        self.case, self.name, self.aligner = case, name, aligner
        self.path: Path = case.photos[name]
        if not self.path.is_file():
            raise CaseError(f"{self.path}: no such photograph; --photos names the folder that holds it")

    @cached_property
    def raw(self) -> Image.Image:
        """As stored, which is what e4e's code aligns."""
        return Image.open(self.path).convert("RGB")

    @cached_property
    def upright(self) -> Image.Image:
        """Turned as its EXIF orientation says, which is what SDFlow's code aligns."""
        with Image.open(self.path) as opened:
            return ImageOps.exif_transpose(opened).convert("RGB")

    @cached_property
    def pixels(self) -> np.ndarray:
        return np.asarray(self.upright)

    def recorded(self, what: str) -> np.ndarray:
        """A recorded result that other steps start from; an input of the case where it gives it as one."""
        key = f"{self.name}.{what}"
        if key in self.case.inputs:
            return self.case.inputs[key]
        if key in self.case.outputs:
            return self.case.expected(key)
        if key in self.case.arrays:
            return self.case.arrays[key]
        raise CaseError(f"{key}: is needed and not recorded")

    def boxes(self, detector: Detector) -> Comparison:
        found = self._found[detector]
        ours = np.array([find.box for find in found]).reshape(-1, 4)
        output = f"{self.name}.{detector}_boxes"
        return _within(output, ours, self.case.expected(output), BOX_TOLERANCE)

    def scores(self, detector: Detector) -> Comparison:
        ours = np.array([find.score for find in self._found[detector]])
        output = f"{self.name}.{detector}_scores"
        return _within(output, ours, self.case.expected(output), SCORE_TOLERANCE)

    @cached_property
    def _found(self) -> dict[Detector, list[Found]]:
        """By detector, in the order of their scores, which is the recorded one."""
        return {
            detector: self.aligner.detect(self.pixels, detector)
            for detector in DETECTORS
            if {f"{self.name}.{detector}_boxes", f"{self.name}.{detector}_scores"} & set(self.case.outputs)
        }

    def landmarks(self) -> np.ndarray:
        """Of the CNN's largest box."""
        if f"{self.name}.landmarks" in self.case.inputs:
            return self.recorded("landmarks")
        boxes = self.recorded("cnn_boxes")
        return self.aligner.predict(self.pixels, max(boxes, key=lambda box: (box[2] - box[0]) * (box[3] - box[1])))

    def landmarks_hog(self) -> np.ndarray:
        return np.array([self.aligner.predict(self.pixels, box) for box in self.recorded("hog_boxes")])

    def landmarks_e4e(self) -> np.ndarray:
        """Of HOG's last box, in dlib's own decoding of the file, which differs from Pillow's."""
        pixels = dlib.load_rgb_image(str(self.path))
        return self.aligner.predict(pixels, self.aligner.detect(pixels, "hog")[-1].box)

    @cached_property
    def quad(self) -> np.ndarray:
        return crop_quad(self.recorded("landmarks"))

    def aligned(self, source: Image.Image, suffix: str = "") -> Any:
        """Digest of the crop; where it is another, the mean difference from the picture beside the photograph."""
        crop = np.asarray(cut_out(source, crop_quad(self.recorded(f"landmarks{suffix}")), SIDE))
        digest = np.array([hashlib.sha256(crop.tobytes()).hexdigest()])
        output = f"{self.name}.aligned{suffix}"
        stored = self.path.with_name(f"{self.path.stem}_aligned_{SIDE}{suffix}.png")
        if digest == self.case.expected(output).reshape(-1) or not stored.is_file():
            return digest
        difference = crop - np.asarray(Image.open(stored).convert("RGB"), dtype=np.float64)
        return Comparison(output, float(np.abs(difference).mean()), PICTURE_TOLERANCE)

    def outputs(self) -> dict[str, Callable[[], Any]]:
        """What can be computed, by the output's name without the photograph's."""
        return {
            "cnn_boxes": lambda: self.boxes("cnn"),
            "cnn_scores": lambda: self.scores("cnn"),
            "hog_boxes": lambda: self.boxes("hog"),
            "hog_scores": lambda: self.scores("hog"),
            "landmarks": self.landmarks,
            "landmarks_hog": self.landmarks_hog,
            "landmarks_e4e": self.landmarks_e4e,
            "quad": lambda: self.quad,
            "inv_M": lambda: crop_matrix(self.quad, SIDE),
            "quad_in_prepared_image": lambda: prepare(self.upright, self.quad, SIDE).quad,
            "tiny": lambda: np.asarray(cut_out(self.upright, self.quad, TINY_SIDE), dtype=np.int16),
            "aligned": lambda: self.aligned(self.upright),
            "aligned_e4e": lambda: self.aligned(self.raw, "_e4e"),
        }


def ffhq_align(case: GoldenCase) -> dict[str, Any]:
    """All outputs of all photographs of the case."""
    aligner = DlibAligner(SIDE)
    outputs: dict[str, Any] = {}
    for name in case.photos:
        known = _Photo(case, name, aligner).outputs()
        outputs |= {f"{name}.{what}": compute() for what, compute in known.items() if f"{name}.{what}" in case.outputs}
    return outputs


CASES = {r"ffhq_align\w*": ffhq_align}
