"""Reading and changing photographs of any kind: rotated, transparent, 16-bit, CMYK, huge or damaged."""

from __future__ import annotations

import contextlib
import glob
import io
import os
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image, ImageCms, ImageOps, JpegImagePlugin, UnidentifiedImageError

PIXEL_LIMIT = 150_000_000  # about half a gigabyte as RGB
Image.MAX_IMAGE_PIXELS = PIXEL_LIMIT  # above it Pillow warns of what is refused here, above its double it refuses
with contextlib.suppress(ImportError):  # an optional package
    import pillow_heif

    pillow_heif.register_heif_opener()
SUFFIXES = frozenset(
    (".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
    + (".pnm", ".tga", ".jp2", ".avif", ".heic", ".heif")
)
_Decoded = TypeVar("_Decoded")
_TIFF_STRUCTURE = frozenset(  # how a TIFF stores its pixels: widths, strips, tiles, compression, colour tables, XMP
    (254, 255, 256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325, 338, 339, 347, 700)
)
Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels


class PhotoError(ValueError):
    """A picture that cannot be used; the message is the reason, without the file's name."""


@dataclass(frozen=True)
class Photo:
    """A file to read and the name that its results get: its path below the folder or pattern that was asked for."""

    path: Path
    name: Path


def printable(text: str | Path) -> str:
    """A file's name with what no terminal or JSON file can take (control characters, stray bytes) spelled out."""
    text = os.fsencode(text).decode("utf-8", "backslashreplace")  # whatever the locale takes file names for
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def find_photos(
    arguments: Iterable[str], leave_out: Path | None = None, suffixes: frozenset[str] = SUFFIXES
) -> tuple[list[Photo], list[str]]:
    """The pictures that files, folders (with sub-folders) and patterns stand for, each once, and what names none.

    In folders and patterns only files with one of the `suffixes` count; a file named by itself always does. Hidden
    files and everything below `leave_out` are passed over.
    """
    photos: dict[str, Photo] = {}
    nothing: list[str] = []
    for argument in arguments:
        if os.path.isdir(argument):
            found = [Photo(path, path.relative_to(argument)) for path in _walk(Path(argument), leave_out, suffixes)]
            reason = "no pictures in this folder"
        elif os.path.lexists(argument) or not glob.has_magic(argument):
            found, reason = [Photo(Path(argument), Path(Path(argument).name))], ""
        else:
            matches = [Path(match) for match in sorted(glob.glob(argument, recursive=True))]
            found = [Photo(path, Path(path.name)) for path in matches if path.is_file() and _counts(path, suffixes)]
            reason = "no pictures match this pattern"
        if not found:
            nothing.append(f"{printable(argument)}: {reason}")
        for photo in found:
            photos.setdefault(os.path.abspath(photo.path), photo)
    return list(photos.values()), nothing


def _counts(path: Path, suffixes: frozenset[str]) -> bool:
    return path.suffix.lower() in suffixes and not path.name.startswith(".")


def _walk(folder: Path, leave_out: Path | None, suffixes: frozenset[str]) -> list[Path]:
    left_out = leave_out.resolve() if leave_out is not None else None
    found = []
    for root, folders, files in os.walk(folder):
        folders[:] = [
            name for name in folders if not name.startswith(".") and (Path(root) / name).resolve() != left_out
        ]
        found += [Path(root) / name for name in files if _counts(Path(name), suffixes)]
    return sorted(found)


def read_file(path: str | Path) -> bytes:
    """The bytes of a file.

    Raises:
        PhotoError: missing or unreadable.
    """
    try:
        if os.path.exists(path) and not os.path.isfile(path):  # reading a pipe or a device may never end
            raise PhotoError("this is a folder" if os.path.isdir(path) else "this is no regular file")
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise PhotoError("there is no such file") from None
    except OSError as error:
        raise PhotoError(f"cannot be read: {error.strerror or error}") from error


def read_photo(path: str | Path, enough: int = 1 << 30) -> Image.Image:
    """`decode_photo` of a file.

    Raises:
        PhotoError: missing, unreadable, empty, no picture, damaged or too large.
    """
    return decode_photo(read_file(path), enough)


def decode_photo(data: bytes, enough: int = 1 << 30) -> Image.Image:
    """The picture in the bytes of a file as upright sRGB: first frame, transparency on white, 16 bits reduced to 8.

    Args:
        enough: a shorter side that suffices; larger pictures are reduced by a whole factor to no less than it, which
            keeps memory and time small.
    Raises:
        PhotoError: empty, no picture, damaged or too large.
    """
    return _guarded(data, lambda opened: _decode(opened, enough))


@dataclass
class Photograph:
    """A whole photograph with all that is needed to write it again after some of its pixels changed.

    Attributes:
        own: its pixels, upright, in its own colours: mode L, RGB or RGBA. Printing colours (CMYK) became sRGB.
        profile: the colour profile of `own`; None means sRGB.
        exif: its EXIF data, empty where it has none.
        dpi: its resolution, None where it tells none.
        jpeg: what makes Pillow write a JPEG of the file's quality; None where the file is no JPEG.
    """

    own: Image.Image
    profile: bytes | None = None
    exif: bytes = b""
    dpi: tuple[float, float] | None = None
    jpeg: dict[str, Any] | None = None

    def colours(self, box: Box) -> np.ndarray:
        """The sRGB colours (h, w, 3) uint8 of a part, without regard to transparency."""
        return np.asarray(_in_srgb(self.own.crop(box), self.profile).convert("RGB"))

    def change(self, box: Box, before: np.ndarray, after: np.ndarray) -> None:
        """Give a part other colours; a pixel with the same colours before and after keeps its own bytes.

        Args:
            box: left, top, right, bottom.
            before: the part's `colours`.
            after: the wanted ones (h, w, 3) uint8.
        """
        part = self.own.crop(box)
        own = np.asarray(part.convert("RGB") if part.mode == "RGBA" else part).astype(np.int16)
        own = own + self._in_own(after).astype(np.int16) - self._in_own(before)
        changed = Image.fromarray(own.clip(0, 255).astype(np.uint8))
        if part.mode == "RGBA":
            changed.putalpha(part.getchannel("A"))
        self.own.paste(changed, box)

    def _in_own(self, colours: np.ndarray) -> np.ndarray:
        """sRGB colours (h, w, 3) in the photograph's: (h, w) where it is grey."""
        picture = Image.fromarray(colours)
        mode = "L" if self.own.mode == "L" else "RGB"
        if self.profile and not _is_srgb(self.profile):
            source, target = ImageCms.createProfile("sRGB"), ImageCms.ImageCmsProfile(io.BytesIO(self.profile))
            converted = ImageCms.profileToProfile(picture, source, target, outputMode=mode)
            assert converted is not None  # None is the result of a conversion in place only
            return np.asarray(converted)
        return np.asarray(picture.convert(mode))


def is_jpeg(data: bytes) -> bool:
    """Whether these are the bytes of a JPEG, whose photograph is written as one again."""
    return data[:3] == b"\xff\xd8\xff"


def open_photograph(data: bytes) -> Photograph:
    """The photograph in the bytes of a file, in full size.

    Raises:
        PhotoError: empty, no picture, damaged or too large.
    """
    return _guarded(data, _photograph)


def photograph_of(picture: Image.Image) -> Photograph:
    """The photograph that a Pillow picture holds, which stays as it is.

    Raises:
        PhotoError: its values are no numbers, or its file is damaged.
    """
    return _sentence(lambda: _photograph(picture))


def decode_picture(picture: Image.Image, enough: int = 1 << 30) -> Image.Image:
    """`decode_photo` of a Pillow picture, which stays as it is.

    Raises:
        PhotoError: its values are no numbers, or its file is damaged.
    """
    return _sentence(lambda: _decode(picture.copy(), enough))  # decoding may reduce the picture in place


def _guarded(data: bytes, decode: Callable[[Image.Image], _Decoded]) -> _Decoded:
    """What `decode` makes of the opened file; whatever a decoder raises becomes a sentence."""
    if not data:
        raise PhotoError("the file is empty")

    def opened() -> _Decoded:
        with Image.open(io.BytesIO(data)) as picture:
            width, height = picture.size
            if width * height > PIXEL_LIMIT:
                limit = f"more than {PIXEL_LIMIT // 10**6} megapixels"
                raise PhotoError(f"too large: {width} × {height} is {limit}; reduce it first")
            return decode(picture)

    is_heif = data[4:8] == b"ftyp" and data[8:11] in (b"hei", b"mif")
    return _sentence(opened, "; HEIC needs `pip install pillow-heif`, or save it as JPEG first" if is_heif else "")


def _sentence(decode: Callable[[], _Decoded], hint: str = "") -> _Decoded:
    """What `decode` gives; whatever it raises becomes a sentence, with a hint if the format is unknown."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of pictures beyond the limit and of odd metadata
            return decode()
    except PhotoError:
        raise
    except UnidentifiedImageError:
        raise PhotoError(f"not a picture of a known format{hint}") from None
    except Image.DecompressionBombError:
        raise PhotoError(f"too large: more than {PIXEL_LIMIT // 10**6} megapixels") from None
    except MemoryError:
        raise PhotoError("too large for this machine's memory") from None
    except Exception as error:  # decoders of damaged files raise nearly everything
        raise PhotoError(f"damaged or cut off ({printable(str(error)) or type(error).__name__})") from error


def _decode(opened: Image.Image, enough: int) -> Image.Image:
    factor = min(opened.size) / enough
    if factor > 1:
        opened.draft(None, (int(opened.width / factor), int(opened.height / factor)))  # JPEG: at 1/2, 1/4, 1/8
    opened.load()
    profile, exif = opened.info.get("icc_profile"), opened.getexif()
    picture = _eight_bits(opened)
    whole_factor = min(picture.size) // enough
    if whole_factor > 1:
        picture = picture.reduce(whole_factor)
    return _upright(_on_white(_in_srgb(picture, profile)), exif)


def _photograph(opened: Image.Image) -> Photograph:
    opened.load()
    jpeg = _jpeg_options(opened) if isinstance(opened, JpegImagePlugin.JpegImageFile) else None
    exif, profile, dpi = opened.getexif(), opened.info.get("icc_profile"), opened.info.get("dpi")
    own = _eight_bits(opened)
    if own.mode not in ("L", "RGB", "RGBA") or not _fits(profile, own):
        own, profile = _in_srgb(own, profile).convert("RGBA" if "A" in own.getbands() else "RGB"), None
    own.info.clear()
    return Photograph(_upright(own, exif), profile, _exif_bytes(exif), dpi, jpeg)


def _exif_bytes(exif: Image.Exif) -> bytes:
    """The EXIF data without what holds of the old file alone; nothing where Pillow cannot write what it read."""
    for tag in _TIFF_STRUCTURE & set(exif):
        del exif[tag]
    try:
        return exif.tobytes() if len(exif) else b""
    except Exception:  # it raises nearly everything for values that do not fit their tags
        return b""


def _jpeg_options(opened: Image.Image) -> dict[str, Any]:
    """The file's own quantisation and subsampling, so that writing it again loses as little as can be."""
    options: dict[str, Any] = {"qtables": getattr(opened, "quantization", {})}
    subsampling = JpegImagePlugin.get_sampling(opened)
    if subsampling >= 0:
        options["subsampling"] = subsampling
    if opened.info.get("progressive"):
        options["progressive"] = True
    return options


def _fits(profile: bytes | None, picture: Image.Image) -> bool:
    """Whether an embedded profile describes this picture's channels and colours can be converted into it."""
    if not profile:
        return True
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        ImageCms.buildTransform(ImageCms.createProfile("sRGB"), source, "RGB", "L" if picture.mode == "L" else "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return False
    return True


def _eight_bits(picture: Image.Image) -> Image.Image:
    """The picture in a mode with 8 bits a channel and no palette."""
    if picture.mode.startswith("I") or picture.mode == "F":
        values = np.asarray(picture).astype(np.float32)
        if not np.isfinite(values).all():
            raise PhotoError("has values that are no numbers")
        white = 65535.0 if picture.mode.startswith("I") else 1.0
        if values.max() > white:  # whole numbers beyond 16 bits, or fractions that are not in [0, 1]
            white = float(values.max())
        return Image.fromarray((values / white * 255).clip(0, 255).round().astype(np.uint8))
    if picture.has_transparency_data:
        return picture.convert("RGBA")
    return picture.convert("RGB") if picture.mode in ("P", "1", "LAB", "HSV", "YCbCr") else picture.copy()


def _is_srgb(profile: bytes) -> bool:
    return "srgb" in ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile))).lower()


def _in_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """Colours of an embedded profile (print CMYK, wide-gamut cameras) turned into sRGB."""
    if not profile:
        return picture
    try:
        if _is_srgb(profile):
            return picture
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        alpha = picture.getchannel("A") if picture.mode == "RGBA" else None
        colours = picture.convert("RGB") if alpha is not None else picture
        converted = ImageCms.profileToProfile(colours, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return picture  # a broken profile, or one for other channels: the plain numbers are the best guess
    if converted is None:
        return picture
    if alpha is not None:
        converted.putalpha(alpha)
    return converted


def _on_white(picture: Image.Image) -> Image.Image:
    """As RGB, transparency on white, without the file's metadata."""
    if picture.mode == "RGBA":
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    picture = picture.convert("RGB")
    picture.info.clear()
    return picture


def _upright(picture: Image.Image, exif: Image.Exif) -> Image.Image:
    if exif.get(0x0112) not in range(2, 9):  # orientation
        return picture
    carrier = picture.getexif()
    carrier[0x0112] = exif[0x0112]
    return ImageOps.exif_transpose(picture)
