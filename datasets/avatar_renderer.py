"""Draw an avatar, and the mask of it: flat shapes at four times the size, then reduced."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from datasets.avatar_canvas import (
    CIRCLE,
    Area,
    Canvas,
    Colour,
    MaskCanvas,
    PictureCanvas,
    curve,
    join,
    mix,
    palette,
    resample,
    scallops,
    swing,
)
from datasets.avatar_factors import GEOMETRY, Factors

# A part of the names of cached pictures: raise it with every change here, in the canvas or in the factors that a
# pixel can show.
RENDERER_VERSION = 1
# The same for masks, which alone change where a shape's area does.
MASK_VERSION = 1
SKULL = 70.0  # height of the head above the origin


SKIN = ((255, 226, 204), (248, 208, 176), (232, 182, 142), (204, 146, 106), (162, 108, 78))
HAIR = ((44, 36, 42), (78, 50, 42), (122, 76, 50), (164, 92, 54), (206, 150, 84), (234, 196, 124))
GREY = (206, 206, 212)
EYES = ((92, 58, 40), (132, 98, 50), (78, 134, 92), (72, 128, 190))
CLOTHES = ((214, 92, 84), (236, 178, 84), (96, 158, 122), (70, 118, 168), (116, 92, 152), (214, 92, 84))
BACKGROUND = ((196, 222, 232), (206, 226, 206), (244, 226, 190), (240, 206, 198), (216, 206, 232), (196, 222, 232))
FRAMES = ((34, 34, 42), (92, 46, 34), (134, 34, 50), (34, 58, 108))
WHITE, BLACK = (255, 255, 255), (24, 18, 24)

_SPAN = np.linspace(-1.0, 1.0, 17)
_LINE = np.linspace(0.0, 1.0, 15)


def visible(value: float) -> float:
    """A continuous attribute as it is seen: steeper in the middle, so that few faces look undecided."""
    return 0.5 + 0.5 * math.tanh(4.0 * (value - 0.5)) / math.tanh(2.0)


@dataclass(frozen=True)
class Face:
    """Measures and colours of a face that several of its parts share."""

    factors: Factors
    geometry: dict[str, float]
    age: float
    smile: float
    width: float
    chin: float
    eye_x: float
    eye_y: float
    nose_y: float
    mouth_y: float
    long_hair: float
    skin: Colour
    shade: Colour
    hair: Colour
    outline: np.ndarray

    @staticmethod
    def of(factors: Factors) -> Face:
        """Measures of the face of a record."""
        g = dict(zip(GEOMETRY, factors.geometry, strict=True))
        age, male = visible(factors.age), factors.male
        width = 58.0 + 3.8 * g["face_width"] + (2.0 if male else -1.0)
        chin = 78.0 + 4.0 * g["face_height"] + (1.0 if male else -1.0)
        power = (2.55 if male else 1.95) + 0.14 * g["jaw"]
        cosine, sine = CIRCLE[:, 0], CIRCLE[:, 1]
        below = np.maximum(sine, 0.0) ** (2.0 / power) * chin
        side = np.where(sine > 0, np.abs(cosine) ** (2.0 / power), np.abs(cosine)) * np.sign(cosine) * width
        skin = palette(SKIN, factors.skin)
        grey = min(max((age - 0.15) / 0.75, 0.0), 1.0)
        reach = (factors.hair_length - 0.90) * 3.0 if male else (factors.hair_length - 0.12) / 0.88
        return Face(
            factors=factors, geometry=g, age=age, smile=visible(factors.smile), width=width, chin=chin,
            eye_x=26.5 + 2.0 * g["eye_distance"], eye_y=2.0 + 2.4 * g["eye_height"],
            nose_y=30.0 + 2.6 * g["nose_length"], mouth_y=50.0 + 2.2 * g["mouth_height"],
            long_hair=reach, skin=skin, shade=mix(skin, (120, 40, 40), 0.34),
            hair=mix(palette(HAIR, factors.hair_colour), GREY, 0.88 * grey),
            outline=curve(side, np.where(sine > 0, below, sine * SKULL)),
        )  # fmt: skip

    def hair_outline(self) -> np.ndarray:
        """Outer line of the hair from the left end over the top to the right end, without waves."""
        volume = self.geometry["hair_volume"]
        half, top = self.width + 11.0 + 2.0 * volume, SKULL + 17.0 + 2.5 * volume
        angle = np.linspace(math.pi, 2.0 * math.pi, 41)
        arch = curve(half * np.cos(angle), top * np.sin(angle))
        if self.long_hair > 0:
            end = 68.0 + 44.0 * min(self.long_hair, 1.0)
            down = np.linspace(1.0, 0.0, 12)[:-1, None]
            bulge = 9.0 * np.sin(math.pi * 0.75 * down)
            tip = np.array([[-0.64 * half, end + 9.0], [-0.82 * half, end + 8.0]])
            left = join(tip, curve((-half - bulge)[:, 0], (end * down)[:, 0]))
        else:
            left = np.array([[-half + 10.0, 22.0], [-half + 5.0, 16.0], [-half + 1.0, 8.0]])
        return join(left, arch, (left * (-1.0, 1.0))[::-1])


def _body(canvas: Canvas, face: Face) -> None:
    """Neck, shoulders and clothes."""
    male, chin = face.factors.male, face.chin
    cloth = palette(CLOTHES, face.factors.clothes)
    neck, shoulder = (36.0, 118.0) if male else (27.0, 98.0)
    canvas.shape(np.array([[-neck, 30], [neck, 30], [neck + 3, 140], [-neck - 3, 140]]), face.skin, depth=None,
                 area=Area.NECK)  # fmt: skip
    under = curve(_SPAN * neck, chin + 17.0 - 12.0 * _SPAN**2)
    canvas.shape(join(np.array([[-neck, 30], [neck, 30]]), under[::-1]), face.shade, 0.75, depth=None)
    x = np.linspace(0.0, 1.0, 9)
    right = curve(neck + 3 + (shoulder - neck) * x, 96.0 + 34.0 * x**1.8)
    depth = 12.0 + 8.0 * face.factors.collar
    line = (_SPAN**2 - 1.0) if face.factors.collar < 0.5 else (np.abs(_SPAN) - 1.0) * 1.3
    neckline = curve(_SPAN * (neck + 3), 96.0 - depth * line)
    sides = np.array([[shoulder + 4, 160.0], [-shoulder - 4, 160.0]])
    canvas.shape(join(neckline, right, sides, (right * (-1, 1))[::-1]), cloth, depth=None, area=Area.CLOTHES)
    canvas.stroke(neckline, 7.0, mix(cloth, WHITE, 0.45), depth=None, taper=0.0, area=Area.CLOTHES)


def _hair_behind(canvas: Canvas, face: Face, outline: np.ndarray) -> None:
    canvas.shape(outline, mix(face.hair, BLACK, 0.25), depth=-0.4, area=Area.HAIR)


def _locks(canvas: Canvas, face: Face, outline: np.ndarray) -> None:
    """Long hair that falls before the shoulders at both sides."""
    if face.long_hair <= 0:
        return
    for sign in (-1.0, 1.0):
        outer = outline[(outline[:, 0] * sign > 0.45 * face.width) & (outline[:, 1] > -40.0)]
        inner = np.array([[0.8 * face.width, -40.0], [0.88 * face.width, 40.0], [0.86 * face.width, outer[:, 1].max()]])
        inner = inner * (sign, 1.0)
        canvas.shape(join(outer, inner if sign < 0 else inner[::-1]), face.hair, depth=-0.2, area=Area.HAIR)


def _head(canvas: Canvas, face: Face) -> None:
    """Ears, the face itself, its light and dark side, the shadow of a beard and the cheeks."""
    g, light, outline = face.geometry, face.factors.light, face.outline
    if face.long_hair <= 0:
        for sign, ear in ((-1.0, Area.LEFT_EAR), (1.0, Area.RIGHT_EAR)):
            width, height = 10.0 + 1.6 * g["ear_size"], 17.0 + 2.4 * g["ear_size"]
            canvas.disc(sign * (face.width + 1.0), 12.0, width, height, face.skin, depth=-0.3, area=ear)
            canvas.disc(sign * (face.width + 2.0), 12.0, 0.5 * width, 0.55 * height, face.shade, 0.6, depth=-0.3)
    canvas.shape(outline, face.skin, area=Area.SKIN)
    dark = -1.0 if light > 0 else 1.0
    half = outline[outline[:, 0] * dark > -1.0]
    half = half[np.argsort(half[:, 1])]
    for inset in (0.14, 0.26):
        edge = half * (1.0 - inset - 0.06 * abs(light), 1.0)
        canvas.shape(join(half, edge[::-1]), face.shade, 0.10 + 0.22 * abs(light))
    if face.factors.male:
        tone = mix(mix(face.hair, (58, 56, 66), 0.65), BLACK, 0.3 * face.factors.skin)
        jaw = outline[outline[:, 1] > 8.0]
        jaw = jaw[np.argsort(np.arctan2(jaw[:, 1], jaw[:, 0]))]
        for inner in (0.60, 0.70, 0.80):
            closing = np.clip((jaw[:, 1:] - 10.0) / 26.0, 0.0, 1.0)
            edge = jaw * (1.0 - closing * (1.0 - inner, 0.96 - inner)) + closing * (0.0, 4.0)
            canvas.shape(join(jaw, edge[::-1]), tone, 0.17)
        canvas.disc(0.0, face.mouth_y - 10.0, 22.0, 6.0, tone, 0.16)
    flush = mix(face.skin, (230, 84, 84), 0.5)
    for sign in (-1.0, 1.0):
        y = 31.0 - 5.0 * face.smile + 4.0 * face.age
        for size in (1.0, 0.7):
            canvas.disc(sign * 0.62 * face.width, y, 14.0 * size, 10.0 * size, flush, 0.14 + 0.26 * face.smile)


def _age_lines(canvas: Canvas, face: Face) -> None:
    """Lines of forehead, cheeks and eyes, longer and darker with age."""
    age = face.age
    if age < 0.06:
        return
    line, alpha = mix(face.skin, (96, 36, 30), 0.62), 0.15 + 0.75 * age
    for level, y in enumerate((-33.0, -42.0)):
        half = (15.0 + 14.0 * age) * (1.0 - 0.15 * level)
        canvas.stroke(curve(_SPAN * half, y - 3.0 + 4.0 * _SPAN**2), 3.6 * (0.4 + 0.6 * age), line, alpha)
    reach = 0.35 + 0.65 * age
    for sign in (-1.0, 1.0):
        start = np.array([15.0, face.nose_y])
        end = np.array([27.0 + 4.0 * face.smile, face.mouth_y + 6.0])
        fold = start + (end - start) * (_LINE * reach)[:, None]
        fold[:, 0] += 5.0 * np.sin(math.pi * _LINE * reach)
        canvas.stroke(fold * (sign, 1.0), 4.6 * (0.4 + 0.6 * age), line, alpha)
        bag = curve(face.eye_x + _SPAN * 13.0, face.eye_y + 16.0 + 4.0 * age - 5.0 * _SPAN**2)
        canvas.stroke(bag * (sign, 1.0), 3.6 * (0.4 + 0.6 * age), line, 0.8 * alpha)
        for slope in (-0.55, 0.35):
            outer = np.array([face.eye_x + 18.0, face.eye_y + 6.0 * slope])
            foot = outer + curve(_LINE * 11.0 * reach, _LINE * 11.0 * reach * slope)
            canvas.stroke(foot * (sign, 1.0), 3.0, line, alpha)


def _eyes(canvas: Canvas, face: Face) -> None:
    """Whites, irises, pupils, highlights, lids and brows; the mask counts the upper lid to the eye."""
    g, male, smile = face.geometry, face.factors.male, face.smile
    width, height = 16.0 + 1.3 * g["eye_size"], 10.0 + 1.1 * g["eye_size"] + (-0.8 if male else 0.8)
    upper, lower = height * (1.0 - 0.20 * face.age), height * (0.86 - 0.38 * smile)
    arch = 1.0 - np.abs(_SPAN) ** 2.4
    iris = palette(EYES, face.factors.eye_colour)
    brow = mix(mix(face.hair, BLACK, 0.35), GREY, 0.25 * face.age)
    areas = (Area.LEFT_EYE, Area.LEFT_BROW), (Area.RIGHT_EYE, Area.RIGHT_BROW)
    for sign, (eye_area, brow_area) in zip((-1.0, 1.0), areas, strict=True):
        x, y = sign * face.eye_x, face.eye_y
        top = curve(x + _SPAN * width, y - upper * arch)
        bottom = curve(x + _SPAN * width, y + lower * arch)
        canvas.shape(join(top, bottom[::-1]), (252, 250, 248), depth=1.0, area=eye_area)
        for radius, colour in ((9.2, mix(iris, BLACK, 0.35)), (7.4, iris), (4.2, BLACK)):
            ring = CIRCLE * radius + (x, y - 0.5)
            limit = 1.0 - np.abs((ring[:, 0] - x) / width) ** 2.4
            ring[:, 1] = np.clip(ring[:, 1], y - upper * limit, y + lower * limit)
            canvas.shape(ring, colour, depth=1.0)
        canvas.disc(x + 3.0, y - 4.0, 2.6, 2.6, WHITE)
        canvas.stroke(top, 4.0 if male else 5.4, mix(face.skin, (40, 20, 24), 0.85), area=eye_area)
        if not male:
            wing = np.array([[0.0, 0.0], [3.0, -3.0], [6.5, -7.0]]) + (face.eye_x + width - 2.0, y - 0.5)
            canvas.stroke(wing * (sign, 1.0), 4.4, mix(face.skin, (40, 20, 24), 0.85))
        thick, level = (10.5 if male else 5.0), y - 21.0 - 1.8 * g["brow_height"] + (2.0 if male else -1.0)
        rise = (4.0 if male else 6.0) * (1.0 - _SPAN**2) + 2.2 * g["brow_tilt"] * _SPAN
        line = curve(x + sign * _SPAN * (width + 1.5), level - rise + 3.0)
        canvas.stroke(line, thick, brow, taper=0.55, area=brow_area)


def _nose(canvas: Canvas, face: Face) -> None:
    """The dark side, the tip's light and the base; the mask has both sides."""
    half, y = 10.5 + 1.4 * face.geometry["nose_width"], face.nose_y
    dark = -1.0 if face.factors.light > 0 else 1.0
    side = np.array([[1.5, face.eye_y - 2], [4.0, face.eye_y + 4], [half, y - 2], [half - 2, y + 2], [0, y + 3]])
    canvas.region(join(side, (side * (-1.0, 1.0))[::-1]), Area.NOSE, depth=1.4)
    canvas.shape(side * (dark, 1.0), face.shade, 0.40, depth=1.4)
    canvas.disc(-dark * 1.5, y - 6.0, 3.0, 6.0, WHITE, 0.28, depth=1.7)
    base = curve(_SPAN * half, y + 3.5 - 5.5 * _SPAN**4 + 1.0 * (1 - _SPAN**2))
    canvas.stroke(base, 4.4, mix(face.skin, (110, 40, 36), 0.6), depth=1.5, area=Area.NOSE)


def _mouth(canvas: Canvas, face: Face) -> None:
    """Lips that bend and, past the middle of the range, open over the teeth."""
    male, smile, y = face.factors.male, face.smile, face.mouth_y
    half = 19.0 + 1.8 * face.geometry["mouth_width"] + 9.0 * smile
    lift = 0.5 + 12.0 * smile
    opening = 15.0 * max(0.0, smile - 0.12) / 0.88
    centre = y + 0.35 * lift - 0.3 * opening
    bend = _SPAN**2
    body = 1.0 - np.abs(_SPAN) ** 2.2
    line = centre - lift * bend
    lip = mix(face.skin, (168, 62, 62), 0.48) if male else mix(face.skin, (204, 44, 66), 0.72)
    full = 3.4 if male else 5.6
    x = _SPAN * half
    upper = curve(x, line - full * body * (1.0 - 0.35 * np.exp(-((_SPAN / 0.16) ** 2))))
    below = line + opening * body
    outer = curve(x, below + (full + 1.0) * body)
    canvas.shape(join(upper, outer[::-1]), lip, depth=1.0, area=Area.LOWER_LIP)
    inner = curve(x, line)
    canvas.region(join(upper, inner[::-1]), Area.UPPER_LIP, depth=1.0)
    if opening > 0.0:
        canvas.region(join(inner, curve(x, below)[::-1]), Area.MOUTH, depth=1.0)
    canvas.shape(join(inner, curve(x, below)[::-1]), (112, 30, 40), depth=1.0)
    teeth = curve(x, line + 0.72 * opening * body)
    canvas.shape(join(inner, teeth[::-1]), (255, 252, 246), depth=1.0)
    canvas.stroke(inner, 2.6, mix(lip, BLACK, 0.55), alpha=1.0 - 0.7 * smile)


def _hair_before(canvas: Canvas, face: Face, outline: np.ndarray) -> None:
    """The front of the hair over the forehead, with its strands."""
    waves = face.factors.wavy_hair
    temple = 14.0 if face.long_hair > 0 else 6.0
    part_x, part_y = 0.42 * face.width * face.factors.parting, -53.0 - 7.0 * face.age
    x = np.linspace(-1.0, 1.0, 41) * (face.width + 1.0)
    spread = np.where(x < part_x, (part_x - x) / (part_x - x[0]), (x - part_x) / (x[-1] - part_x))
    hairline = curve(x, part_y + (temple - part_y) * spread**2.3)
    smooth = face.hair_outline()
    arch = (outline[:, 1] <= temple + 2.0) if face.long_hair > 0 else np.ones(len(outline), bool)
    if waves:
        hairline = scallops(hairline, -5.0)
    canvas.shape(join(outline[arch], hairline[::-1]), face.hair, depth=0.3, area=Area.HAIR)
    light, dark = mix(face.hair, WHITE, 0.30), mix(face.hair, BLACK, 0.32)
    crown = resample(smooth[smooth[:, 1] <= 4.0], 41)
    for share, colour in ((0.34, light), (0.72, dark)):
        strand = (crown * (1.0 - share) + hairline * share)[5:-5]
        strand = swing(resample(strand, 41), 4.5) if waves else strand
        canvas.stroke(strand, 5.0, colour, 0.8, depth=0.2)
    if face.long_hair > 0:
        end = smooth[:, 1].max()
        for sign in (-1.0, 1.0):
            strand = curve(np.full(25, face.width + 4.0), np.linspace(12.0, end - 8.0, 25))
            strand = swing(strand, 4.5) if waves else strand
            canvas.stroke(strand * (sign, 1.0), 5.0, light if sign * face.factors.light > 0 else dark, 0.8, depth=-0.2)


def _glasses(canvas: Canvas, face: Face) -> None:
    """Thick frames with a slightly milky lens and one glint, from round to rectangular; the mask counts all to them."""
    factors = face.factors
    frame = palette(FRAMES, factors.frame_colour)
    power = 2.0 + 3.0 * factors.frame_shape
    half_x, half_y = 23.0, 20.5 - 4.5 * factors.frame_shape
    rim = np.sign(CIRCLE) * np.abs(CIRCLE) ** (2.0 / power)
    inner, y = 3.6, face.eye_y + 1.0
    for sign in (-1.0, 1.0):
        x = sign * max(face.eye_x, half_x + 3.0)
        lens, hole = rim * (half_x + 2.2, half_y + 2.2) + (x, y), rim * (half_x - inner, half_y - inner) + (x, y)
        ring = join(lens, lens[:1], hole[:1], hole[::-1])
        canvas.shape(hole, (226, 240, 250), 0.16, depth=1.1, area=Area.EYEGLASSES)
        glint = np.array([[-12.0, 6.0], [-2.0, -10.0], [3.0, -10.0], [-7.0, 6.0]]) * (1.0, half_y / 20.0) + (x, y)
        canvas.shape(glint, WHITE, 0.26, depth=1.1)
        canvas.shape(ring, frame, depth=1.1, area=Area.EYEGLASSES)
        arm = np.array([[abs(x) + half_x, y - 5.0], [face.width - 1.0, y - 3.0]]) * (sign, 1.0)
        canvas.stroke(arm, 6.0, frame, depth=0.6, taper=0.0, area=Area.EYEGLASSES)
    bridge = curve(_SPAN * (max(face.eye_x, half_x + 3.0) - half_x + 3.0), y - 5.0 - 3.0 * (1 - _SPAN**2))
    canvas.stroke(bridge, 5.6, frame, depth=1.1, taper=0.0, area=Area.EYEGLASSES)


def _light(picture: np.ndarray, factors: Factors) -> np.ndarray:
    """Brighten the side of the light, and the top a little."""
    across = np.linspace(-1.0, 1.0, picture.shape[1], dtype=np.float32)
    gain = 0.98 + 0.10 * (factors.brightness - 0.5) + 0.07 * factors.light * across[None, :] - 0.05 * across[:, None]
    return np.clip(picture * gain[..., None] + 0.5, 0.0, 255.0).astype(np.uint8)


def _draw(canvas: Canvas, face: Face) -> None:
    """All shapes of a face, from the hindmost to the foremost."""
    outline = resample(face.hair_outline(), 120)
    if face.factors.wavy_hair:
        outline = scallops(outline, 9.0)
    _hair_behind(canvas, face, outline)
    _body(canvas, face)
    _locks(canvas, face, outline)
    _head(canvas, face)
    _age_lines(canvas, face)
    _eyes(canvas, face)
    _nose(canvas, face)
    _mouth(canvas, face)
    _hair_before(canvas, face, outline)
    if face.factors.eyeglasses:
        _glasses(canvas, face)


def render(factors: Factors, side: int = 64) -> np.ndarray:
    """Picture (side, side, 3) uint8 RGB of an avatar; the same record gives the same pixels always."""
    canvas = PictureCanvas(side, palette(BACKGROUND, factors.background), factors)
    _draw(canvas, Face.of(factors))
    return _light(canvas.pixels(), factors)


def render_mask(factors: Factors, side: int = 64) -> np.ndarray:
    """Mask (side, side) uint8 of `Area` of the same avatar, drawn from the same shapes."""
    canvas = MaskCanvas(side, factors)
    _draw(canvas, Face.of(factors))
    return canvas.pixels()
