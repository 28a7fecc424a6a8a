"""Reading and changing photographs of any kind: rotated, transparent, 16-bit, CMYK, huge or damaged."""

from __future__ import annotations

import io
import logging
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image, ImageCms, ImageOps, JpegImagePlugin, UnidentifiedImageError

FILE_LIMIT = 400_000_000  # bytes; a 64-megapixel TIFF of 16 bits a channel has 384 million
PIXEL_LIMIT = 150_000_000  # of baseline JPEG, which is decoded at a reduced size where that suffices
WHOLE_PIXEL_LIMIT = 64_000_000  # of all other formats, which are decoded whole: a quarter of a gigabyte as RGB
# What Pillow warns of and logs would be printed without the file's name: odd metadata, sizes that are refused here. Set
# once, since pictures are read in several threads, which share the filters.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").addHandler(logging.NullHandler())
Image.MAX_IMAGE_PIXELS = PIXEL_LIMIT  # above it Pillow warns of what is refused here, above its double it refuses
_ROWS = 256  # of a picture with 16 or 32 bits a channel are converted at once
# ISO/IEC 23008-12: HEVC pictures and sequences. `mif1` and `msf1` say no more than that the file holds pictures.
_HEIC_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"))
_AVIF_BRANDS = frozenset((b"avif", b"avis"))
_LONGEST_REASON = 200  # characters of what a decoder says
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


def read_file(path: str | Path) -> bytes:
    """The bytes of a file.

    Raises:
        PhotoError: missing, unreadable or larger than `FILE_LIMIT`.
    """
    try:
        if os.path.exists(path) and not os.path.isfile(path):  # reading a pipe or a device may never end
            raise PhotoError("this is a folder" if os.path.isdir(path) else "this is no regular file")
        size = os.path.getsize(path)
        if size > FILE_LIMIT:
            raise PhotoError(f"too large: a file of {size // 10**6:,} MB; at most {FILE_LIMIT // 10**6} MB are read")
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

    HEIC is read where the package pillow-heif is installed.

    Args:
        enough: a shorter side that suffices; larger pictures are reduced by a whole factor to no less than it, which
            keeps memory and time small.
    Raises:
        PhotoError: empty, no picture, damaged, or of more than `PIXEL_LIMIT` pixels (baseline JPEG) or
            `WHOLE_PIXEL_LIMIT` (all other formats).
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


def stored_picture(data: bytes) -> Image.Image:
    """The picture in the bytes of a file as it is stored, neither turned nor converted: for pictures whose values are
    no colours to look at (masks).

    Raises:
        PhotoError: empty, no picture, damaged or too large.
    """
    return _guarded(data, lambda opened: opened.copy())


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

    def whole() -> _Decoded:
        with _opened(data) as opened:
            if opened.format == "EPS":  # Pillow would hand it to Ghostscript
                raise PhotoError("PostScript, which is a program: convert it to a picture first")
            width, height = opened.size
            limit = PIXEL_LIMIT if _kind(opened) == "JPEG" else WHOLE_PIXEL_LIMIT
            if width * height > limit:
                said = f"more than {limit // 10**6} megapixels, the limit for {_kind(opened)}"
                raise PhotoError(f"too large: {width} × {height} is {said}; reduce it first")
            return decode(opened)

    return _sentence(whole)


def _sentence(decode: Callable[[], _Decoded]) -> _Decoded:
    """What `decode` gives; whatever a decoder raises becomes a sentence."""
    try:
        return decode()
    except PhotoError:
        raise
    except UnidentifiedImageError:
        raise PhotoError("not a picture of a known format") from None
    except Image.DecompressionBombError:
        raise PhotoError(f"too large: more than {PIXEL_LIMIT // 10**6} megapixels") from None
    except MemoryError:
        raise PhotoError("too large for this machine's memory") from None
    except Exception as error:  # decoders of damaged files raise nearly everything
        said = printable(str(error))[:_LONGEST_REASON] or type(error).__name__
        raise PhotoError(f"damaged or cut off ({said})") from error


def _opened(data: bytes) -> Image.Image:
    if not is_heic(data):
        return Image.open(io.BytesIO(data))
    try:
        import pillow_heif
    except ImportError:
        raise PhotoError("HEIC is read with the package pillow-heif: pip install pillow-heif") from None
    pillow_heif.register_heif_opener()
    try:
        return Image.open(io.BytesIO(data), formats=["HEIF"])  # Pillow's AVIF decoder takes mif1 and msf1 for its own
    except UnidentifiedImageError:
        raise PhotoError("damaged or cut off HEIC") from None


def is_heic(data: bytes) -> bool:
    """Whether a file that begins with these bytes (64 suffice) holds HEVC pictures, as phones save them."""
    if data[4:8] != b"ftyp":
        return False
    major, size = data[8:12], int.from_bytes(data[:4], "big")
    compatible = data[16 : min(max(size, 16), 64)]
    brands = {major, *(compatible[place : place + 4] for place in range(0, len(compatible), 4))}
    if major in _HEIC_BRANDS or major in _AVIF_BRANDS:
        return major in _HEIC_BRANDS
    return major in (b"mif1", b"msf1") and not brands & _AVIF_BRANDS


def _kind(opened: Image.Image) -> str:
    """`JPEG` for what is decoded a few rows at a time."""
    if not isinstance(opened, JpegImagePlugin.JpegImageFile):
        return opened.format or "this format"
    return "progressive JPEG" if opened.info.get("progressive") else "JPEG"


def _decode(opened: Image.Image, enough: int) -> Image.Image:
    factor = min(opened.size) / enough
    if factor > 1 and isinstance(opened, JpegImagePlugin.JpegImageFile):  # at 1/2, 1/4, 1/8; HEIC has thumbnails only
        opened.draft(None, (int(opened.width / factor), int(opened.height / factor)))
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
    own = own.copy() if own is opened else own
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
    """The picture in a mode with 8 bits a channel and no palette: itself where it is in one."""
    if picture.mode.startswith("I") or picture.mode == "F":
        return _scaled_to_bytes(picture)
    if picture.mode == "P" and picture.format == "ICNS":  # its palette is where only a conversion finds it
        return picture.convert("RGB")
    if picture.has_transparency_data:
        return picture if picture.mode == "RGBA" else picture.convert("RGBA")
    return picture.convert("RGB") if picture.mode in ("P", "1", "LAB", "HSV", "YCbCr") else picture


def _scaled_to_bytes(picture: Image.Image) -> Image.Image:
    """A grey picture of 16 or 32 bits, a few rows at a time: as floats it would take many times its own memory."""
    values = np.asarray(picture)
    portions = [slice(first, first + _ROWS) for first in range(0, len(values), _ROWS)]
    if values.dtype.kind == "f" and not all(np.isfinite(values[rows]).all() for rows in portions):
        raise PhotoError("has values that are no numbers")
    # Whole numbers may go beyond 16 bits, fractions beyond 1.
    white = max(65535.0 if picture.mode.startswith("I") else 1.0, float(np.float32(values.max())))
    scaled = np.empty(values.shape, dtype=np.uint8)
    for rows in portions:
        scaled[rows] = ((values[rows].astype(np.float32) / white).clip(0, 1) * 255).round()
    return Image.fromarray(scaled)


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
