"""What an avatar is drawn from: attributes, identity and nuisances as one record, and how records are drawn."""

from __future__ import annotations

import difflib
import math
import statistics
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

ATTRIBUTES = ("Eyeglasses", "Male", "Young", "Smiling", "Wavy_Hair")
GEOMETRY = (
    "face_width", "face_height", "jaw", "eye_distance", "eye_size", "eye_height", "nose_length", "nose_width",
    "mouth_width", "mouth_height", "brow_height", "brow_tilt", "ear_size", "hair_volume",
)  # fmt: skip
GEOMETRY_LIMIT = 2.0
SIGNED = ("parting", "shift_x", "shift_y", "tilt", "turn", "light")  # circumstances in [−1, 1]
UNSIGNED = ("brightness", "clothes", "collar", "background", "frame_shape", "frame_colour")  # and in [0, 1]
ANNOTATION_WIDTH = 0.05

# Correlations of the Gaussian copula at strength 0.6, signs and order of size as among CelebA's labels: the last two
# columns are the lightness of the hair and the inclination to wear it long.
COPULA = ("Eyeglasses", "Male", "Young", "Smiling", "Wavy_Hair", "hair_colour", "hair_length")
COPULA_STRENGTH = 0.6
COPULA_CORRELATION = np.array(
    [
        [1.00, 0.35, -0.45, -0.10, -0.15, -0.10, -0.10],
        [0.35, 1.00, -0.45, -0.25, -0.45, -0.20, -0.25],
        [-0.45, -0.45, 1.00, 0.05, 0.35, 0.10, 0.20],
        [-0.10, -0.25, 0.05, 1.00, 0.15, 0.10, 0.10],
        [-0.15, -0.45, 0.35, 0.15, 1.00, 0.15, 0.20],
        [-0.10, -0.20, 0.10, 0.10, 0.15, 1.00, 0.10],
        [-0.10, -0.25, 0.20, 0.10, 0.20, 0.10, 1.00],
    ]
)

# The independent numbers that an avatar is drawn from, in their order; those of the copula before they are correlated.
NORMALS = (*GEOMETRY, "skin", "eye_colour", *COPULA, *SIGNED, *UNSIGNED)


@dataclass(frozen=True)
class Factors:
    """Everything that decides how one avatar looks. Values lie in [0, 1] unless stated.

    Attributes:
        age: 0 is youngest; Young = 1 − age.
        geometry: the shape of face and features, one number for each name of `GEOMETRY`, in [−2, 2].
        skin, eye_colour, hair_colour: places on palettes from light to dark skin, brown to blue eyes, black to blond.
        hair_length: inclination to long hair; at equal inclination women wear it longer.
        parting: where the hair parts, [−1, 1].
        shift_x, shift_y, tilt, turn: pose, [−1, 1].
        light: side of the light, −1 left to 1 right.
        frame_shape, frame_colour: of the glasses, drawn for every face but seen with glasses alone.
    """

    eyeglasses: bool
    male: bool
    age: float
    smile: float
    wavy_hair: bool
    geometry: tuple[float, ...]
    skin: float
    eye_colour: float
    hair_colour: float
    hair_length: float
    parting: float
    shift_x: float
    shift_y: float
    tilt: float
    turn: float
    light: float
    brightness: float
    clothes: float
    collar: float
    background: float
    frame_shape: float
    frame_colour: float

    def values(self) -> np.ndarray:
        """True attribute values (5,) float32 in [0, 1] in the order of `ATTRIBUTES`; the decision lies at 0.5."""
        values = (self.eyeglasses, self.male, 1.0 - self.age, self.smile, self.wavy_hair)
        return np.array(values, dtype=np.float32)

    def with_value(self, name: str, value: float) -> Factors:
        """The counterfactual: the same face with one attribute set, all else equal.

        Args:
            name: one of `ATTRIBUTES`.
            value: [0, 1]; the binary attributes are present from 0.5 on.
        Raises:
            ValueError: unknown name, or value outside [0, 1].
        """
        if name not in ATTRIBUTES:
            nearest = difflib.get_close_matches(name, ATTRIBUTES, 1, 0.0)[0]
            raise ValueError(f"unknown attribute {name!r}; did you mean {nearest!r}?")
        value = float(value)
        if not 0.0 <= value <= 1.0:
            raise ValueError(f"{name}: {value} lies outside [0, 1]")
        if name == "Young":
            return replace(self, age=1.0 - value)
        if name == "Smiling":
            return replace(self, smile=value)
        changed: dict[str, Any] = {name.lower(): value >= 0.5}
        return replace(self, **changed)


def copula_matrix(correlation: float = COPULA_STRENGTH) -> np.ndarray:
    """Correlation matrix (7, 7) of the copula at a strength: 0 is independence, 0.6 is `COPULA_CORRELATION`.

    Raises:
        ValueError: the strength is negative, or so large that the matrix is not positive definite.
    """
    off_diagonal = COPULA_CORRELATION - np.eye(len(COPULA))
    matrix = np.eye(len(COPULA)) + off_diagonal * (correlation / COPULA_STRENGTH)
    if correlation < 0 or np.linalg.eigvalsh(matrix)[0] < 1e-6:
        raise ValueError(f"correlation {correlation}: no such copula; strengths from 0 to 1 work")
    return matrix


@lru_cache(maxsize=16)
def _copula_root(correlation: float) -> np.ndarray:
    return np.linalg.cholesky(copula_matrix(correlation))


def generator(*key: int) -> np.random.Generator:
    """Random numbers that depend on the key alone."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))


def _attributes(rng: np.random.Generator, correlation: float) -> dict[str, Any]:
    normal = _copula_root(correlation) @ rng.standard_normal(len(COPULA))
    uniform = [0.5 * (1.0 + math.erf(x / math.sqrt(2.0))) for x in normal]
    return {
        "eyeglasses": bool(normal[0] > 0),
        "male": bool(normal[1] > 0),
        "age": 1.0 - uniform[2],
        "smile": uniform[3],
        "wavy_hair": bool(normal[4] > 0),
        "hair_colour": uniform[5],
        "hair_length": uniform[6],
    }


def _circumstances(rng: np.random.Generator) -> dict[str, Any]:
    """What changes from one picture of a person to the next."""
    draws = iter(rng.random(len(SIGNED) + len(UNSIGNED)).tolist())
    return {name: 2.0 * next(draws) - 1.0 for name in SIGNED} | {name: next(draws) for name in UNSIGNED}


def draw_factors(seed: int, index: int, correlation: float = COPULA_STRENGTH) -> Factors:
    """The avatar number `index` of a seed: a pure function of its arguments.

    Each binary attribute is present in half of the avatars; age and smile are uniform on [0, 1].

    Args:
        correlation: strength of the copula; 0 makes all factors independent.
    """
    rng = generator(seed, index)
    geometry = np.clip(rng.standard_normal(len(GEOMETRY)), -GEOMETRY_LIMIT, GEOMETRY_LIMIT)
    skin, eye_colour = rng.random(2).tolist()
    attributes = _attributes(rng, correlation)
    return Factors(
        **attributes,
        **_circumstances(rng),
        geometry=tuple(geometry.tolist()),
        skin=skin,
        eye_colour=eye_colour,
    )


def source_normals(seed: int, index: int) -> np.ndarray:
    """The independent standard normal numbers (35,) float32 that `draw_factors` makes the same avatar of.

    In the order of `NORMALS`, in which they are drawn. Uniform numbers u are given as Φ⁻¹(u).
    """
    rng = generator(seed, index)
    geometry, colours = rng.standard_normal(len(GEOMETRY)), rng.random(2)
    attributes, circumstances = rng.standard_normal(len(COPULA)), rng.random(len(SIGNED) + len(UNSIGNED))
    return np.concatenate([geometry, _probit(colours), attributes, _probit(circumstances)]).astype(np.float32)


def _probit(uniform: np.ndarray) -> np.ndarray:
    inverse = statistics.NormalDist().inv_cdf
    return np.array([inverse(min(max(u, 1e-6), 1 - 1e-6)) for u in uniform.tolist()])


def draw_identity(seed: int, identity: int) -> Factors:
    """A person in a first picture, with independent attributes."""
    return draw_factors(seed, identity, correlation=0.0)


def redraw(factors: Factors, seed: int, identity: int, view: int, correlation: float = 0.0) -> Factors:
    """The same person in another picture: other attributes, hair length, pose, light, clothes, background and frame.

    Geometry, colour of skin and eyes and the natural colour of the hair stay.
    """
    rng = generator(seed, identity, 1 + view, 2)
    attributes = _attributes(rng, correlation)
    attributes["hair_colour"] = factors.hair_colour
    return replace(factors, **attributes, **_circumstances(rng))


def in_scene_of(person: Factors, scene: Factors) -> Factors:
    """The true hybrid of an identity swap: geometry, colour of skin and eyes and natural colour of the hair are the
    person's, everything else is the scene's."""
    own = {name: getattr(person, name) for name in ("geometry", "skin", "eye_colour", "hair_colour")}
    return replace(scene, **own)


def annotate(factors: Factors, rng: np.random.Generator) -> np.ndarray:
    """Binary labels (5,) float32 as annotators give them.

    Glasses, sex and waves are as drawn. For Young and Smiling the probability of a positive label is the logistic
    curve 1 / (1 + exp(−(value − 0.5) / `ANNOTATION_WIDTH`)).
    """
    values = factors.values()
    probabilities = 1.0 / (1.0 + np.exp(-(values - 0.5) / ANNOTATION_WIDTH))
    continuous = np.array([name in ("Young", "Smiling") for name in ATTRIBUTES])
    drawn = rng.random(len(ATTRIBUTES)) < probabilities
    return np.where(continuous, drawn, values >= 0.5).astype(np.float32)
