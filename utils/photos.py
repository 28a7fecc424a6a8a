"""Reading the pictures that people really have: rotated, transparent, 16-bit, CMYK, huge, damaged."""

from __future__ import annotations

import glob
import io
import os
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

PIXEL_LIMIT = 150_000_000  # about half a gigabyte as RGB
SUFFIXES = frozenset(
    (".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
    + (".pnm", ".tga", ".jp2", ".avif", ".heic", ".heif")
)


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


def find_photos(arguments: Iterable[str], leave_out: Path | None = None) -> tuple[list[Photo], list[str]]:
    """The pictures that files, folders (with sub-folders) and patterns stand for, each once, and what names none.

    In folders and patterns only files with a picture's suffix count; a file named by itself always does. Hidden files
    and everything below `leave_out` are passed over.
    """
    photos: dict[str, Photo] = {}
    nothing: list[str] = []
    for argument in arguments:
        if os.path.isdir(argument):
            found = [Photo(path, path.relative_to(argument)) for path in _walk(Path(argument), leave_out)]
            reason = "no pictures in this folder"
        elif os.path.lexists(argument) or not glob.has_magic(argument):
            found, reason = [Photo(Path(argument), Path(Path(argument).name))], ""
        else:
            matches = [Path(match) for match in sorted(glob.glob(argument, recursive=True))]
            found = [Photo(path, Path(path.name)) for path in matches if path.is_file() and _is_picture(path)]
            reason = "no pictures match this pattern"
        if not found:
            nothing.append(f"{printable(argument)}: {reason}")
        for photo in found:
            photos.setdefault(os.path.abspath(photo.path), photo)
    return list(photos.values()), nothing


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def _walk(folder: Path, leave_out: Path | None) -> list[Path]:
    left_out = leave_out.resolve() if leave_out is not None else None
    found = []
    for root, folders, files in os.walk(folder):
        folders[:] = [
            name for name in folders if not name.startswith(".") and (Path(root) / name).resolve() != left_out
        ]
        found += [Path(root) / name for name in files if _is_picture(Path(name))]
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
    if not data:
        raise PhotoError("the file is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large pictures (the limit here is ours) and odd metadata
            return _decode(data, enough)
    except PhotoError:
        raise
    except UnidentifiedImageError:
        hint = "; HEIC must be saved as JPEG first" if data[4:8] == b"ftyp" and data[8:11] in (b"hei", b"mif") else ""
        raise PhotoError(f"not a picture of a known format{hint}") from None
    except Image.DecompressionBombError:
        raise PhotoError(f"too large: more than {PIXEL_LIMIT // 10**6} megapixels") from None
    except MemoryError:
        raise PhotoError("too large for this machine's memory") from None
    except Exception as error:  # decoders of damaged files raise nearly everything
        raise PhotoError(f"damaged or cut off ({printable(str(error)) or type(error).__name__})") from error


def _decode(data: bytes, enough: int) -> Image.Image:
    with Image.open(io.BytesIO(data)) as opened:
        width, height = opened.size
        if width * height > PIXEL_LIMIT:
            raise PhotoError(
                f"too large: {width} × {height} is more than {PIXEL_LIMIT // 10**6} megapixels; reduce it first"
            )
        factor = min(width, height) / enough
        if factor > 1:
            opened.draft(None, (int(width / factor), int(height / factor)))  # JPEG: decodes at 1/2, 1/4, 1/8
        opened.load()
        profile, exif = opened.info.get("icc_profile"), opened.getexif()
        picture = _eight_bits(opened)
    factor = min(picture.size) // enough
    if factor > 1:
        picture = picture.reduce(factor)
    picture = _in_srgb(picture, profile)
    if picture.mode == "RGBA":
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    picture = picture.convert("RGB")
    picture.info.clear()
    return _upright(picture, exif)


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


def _in_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """Colours of an embedded profile (print CMYK, wide-gamut cameras) turned into sRGB."""
    if not profile:
        return picture
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(source).lower():
            return picture
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


def _upright(picture: Image.Image, exif: Image.Exif) -> Image.Image:
    if exif.get(0x0112) not in range(2, 9):  # orientation
        return picture
    carrier = picture.getexif()
    carrier[0x0112] = exif[0x0112]
    return ImageOps.exif_transpose(picture)
