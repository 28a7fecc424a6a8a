"""Pictures that are broken in many ways, among good ones of every format and mode that Pillow can write and read."""

from __future__ import annotations

import io
import os
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageCms

from utils.photo_files import SUFFIXES

Expected = Literal["edited", "named", "either"]
_MODES = ("RGB", "L", "P", "RGBA", "1", "LA", "CMYK", "I;16", "I", "F", "YCbCr", "LAB", "HSV", "PA", "RGBX")
_HUGE = 65_500  # sides that a picture claims; within two bytes and, for JPEG, within libjpeg's limit
_PLACES = {  # format → where width and height stand, how they are packed
    "BMP": ((18, 22), "<i"), "DDS": ((16, 12), "<I"), "GIF": ((6, 8), "<H"), "PCX": ((8, 10), "<H"),
    "QOI": ((4, 8), ">I"), "SGI": ((6, 8), ">H"), "TGA": ((12, 14), "<H"), "PNG": ((16, 20), ">I"),
}  # fmt: skip


@dataclass(frozen=True)
class Sample:
    """A file in a folder of pictures.

    Attributes:
        name: below the folder; its second part says what is the matter with it.
        expected: `edited` it must be, `named` as unreadable it must be, or `either`, as a decoder can make of it.
    """

    name: str
    expected: Expected


def encoded(picture: Image.Image, kind: str, mode: str = "RGB", **options: Any) -> bytes:
    """The bytes of a file of the format.

    Raises:
        Exception: of nearly every type, where Pillow cannot write the mode in the format.
    """
    stream = io.BytesIO()
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    elif mode == "LAB":
        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        picture = ImageCms.profileToProfile(picture, *profiles, outputMode="LAB") or picture
    elif mode == "PA":
        picture = picture.convert("P").convert("PA")
    else:
        picture = picture.convert(mode)
    picture.save(stream, kind, **options)
    return stream.getvalue()


def good_files(picture: Image.Image) -> dict[tuple[str, str], bytes]:
    """(format, mode) → bytes, for all that Pillow can write and read here."""
    found = {}
    for mode in _MODES:
        for kind in sorted(set(Image.SAVE) & set(Image.OPEN) - {"EPS"}):  # which is a program, not a picture
            try:
                data = encoded(picture, kind, mode)
                with Image.open(io.BytesIO(data)) as opened:
                    opened.load()
            except Exception:  # Pillow raises nearly everything for what it cannot write
                continue
            found[kind, mode] = data
    return found


def damaged(data: bytes, kind: str, source: random.Random) -> bytes:
    """The bytes of a file, damaged in one of the ways of `DAMAGES`."""
    changed, place = bytearray(data), source.randrange(len(data))
    length = source.choice((1, 4, 16, 200))
    if kind == "cut":
        del changed[place:]
    elif kind == "flipped":
        for _ in range(source.choice((1, 3, 30))):
            changed[source.randrange(len(changed))] ^= 1 << source.randrange(8)
    elif kind == "overwritten":
        changed[place : place + length] = source.randbytes(length)
    elif kind == "missing":
        del changed[place : place + length]
    elif kind == "zeros":
        changed[place:] = bytes(len(changed) - place)
    elif kind == "head":
        for _ in range(3):
            changed[source.randrange(min(64, len(changed)))] = source.choice((0, 1, 0x7F, 0x80, 0xFF))
    elif kind == "ones":
        changed[place : place + 4] = b"\xff" * 4
    return bytes(changed)


DAMAGES = ("cut", "flipped", "overwritten", "missing", "zeros", "head", "ones")


def claiming(data: bytes, kind: str, width: int, height: int) -> bytes:
    """The file with other sides in its header."""
    changed = bytearray(data)
    (x, y), code = _PLACES[kind]
    struct.pack_into(code, changed, x, width)
    struct.pack_into(code, changed, y, height)
    if kind == "PNG":
        struct.pack_into(">I", changed, 29, zlib.crc32(changed[12:29]))
    return bytes(changed)


def _suffix(kind: str) -> str:
    """One of the format that files of pictures are known by; else another's, since the contents tell the format."""
    return next((s for s, name in Image.EXTENSION.items() if name == kind and s in SUFFIXES), ".png")


def _claims(picture: Image.Image) -> Iterator[tuple[str, bytes, Expected]]:
    for kind in _PLACES:
        data = encoded(picture, kind)
        ending = kind + _suffix(kind)
        yield f"huge-{ending}", claiming(data, kind, _HUGE, _HUGE), "named"
        yield f"wide-{ending}", claiming(data, kind, _HUGE, 1), "either"
        yield f"no-width-{ending}", claiming(data, kind, 0, 64), "either"
        yield f"no-size-{ending}", claiming(data, kind, 0, 0), "either"
    jpeg = encoded(picture, "JPEG")
    frame = jpeg.index(b"\xff\xc0") + 5
    for name, sides in (("huge", (_HUGE, _HUGE)), ("no-width", (64, 0)), ("no-height", (0, 64))):
        expected: Expected = "named" if name == "huge" else "either"
        yield f"{name}.jpg", jpeg[:frame] + struct.pack(">HH", *sides) + jpeg[frame + 4 :], expected
    yield "huge.ppm", b"P6\n99999 99999\n255\n" + bytes(99), "named"
    yield "no-size.ppm", b"P6\n0 0\n255\n", "named"
    yield "negative.ppm", b"P6\n-5 -5\n255\n" + bytes(75), "named"
    jp2 = encoded(picture, "JPEG2000")
    header = jp2.index(b"ihdr") + 4
    yield "huge.jp2", jp2[:header] + struct.pack(">II", _HUGE, _HUGE) + jp2[header + 8 :], "named"


def _metadata(picture: Image.Image) -> Iterator[tuple[str, bytes, Expected]]:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    turned = Image.Exif()
    turned[0x0112] = 6
    exif = turned.tobytes()
    for kind, suffix in (("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp"), ("AVIF", "avif"), ("TIFF", "tif")):
        for name, icc in (("garbage", b"no profile at all"), ("cut", profile[:150]), ("empty", b"\0" * 128)):
            yield f"icc-{name}.{suffix}", encoded(picture, kind, icc_profile=icc), "edited"
        if kind in ("JPEG", "PNG", "WEBP"):
            for name, data in (("garbage", b"Exif\0\0II*\0garbage"), ("cut", exif[:-7]), ("none", b"Exif\0\0")):
                yield f"exif-{name}.{suffix}", encoded(picture, kind, exif=data), "edited"
            wrong = exif.replace(struct.pack(">HH", 0x0112, 3), struct.pack(">HH", 0x0112, 2))
            yield f"exif-wrong-type.{suffix}", encoded(picture, kind, exif=wrong), "edited"
    yield "icc-of-rgb.jpg", encoded(picture, "JPEG", "CMYK", icc_profile=profile), "edited"
    yield "icc-of-rgb.png", encoded(picture, "PNG", "L", icc_profile=profile), "edited"


def _oddities(picture: Image.Image) -> Iterator[tuple[str, bytes, Expected]]:
    for kind in ("GIF", "PNG", "WEBP", "TIFF", "AVIF"):
        more = [picture.rotate(angle) for angle in (90, 180)]
        yield f"animated.{kind.lower()}", encoded(picture, kind, save_all=True, append_images=more), "edited"
    yield "palette.png", encoded(picture.quantize(7), "PNG", "P", transparency=bytes(range(7))), "edited"
    yield "palette-key.gif", encoded(picture.quantize(7), "GIF", "P", transparency=200), "edited"
    yield "two-colours.png", encoded(picture, "PNG", "1"), "edited"
    yield "progressive.jpg", encoded(picture, "JPEG", progressive=True), "edited"
    yield "one-pixel.png", encoded(picture.resize((1, 1)), "PNG"), "named"
    yield "a-line.png", encoded(picture.resize((5000, 1)), "PNG"), "named"
    for name, value, expected in (("nan", np.nan, "named"), ("inf", np.inf, "named"), ("negative", -5.0, "edited")):
        values = np.asarray(picture.convert("L"), dtype=np.float32) / 255
        values[5, 5] = value
        yield f"{name}.tif", encoded(Image.fromarray(values), "TIFF", "F"), expected  # type: ignore[misc]
    tiff = encoded(picture, "TIFF")
    channels = struct.pack("<HHIH", 277, 3, 1, 3)  # the entry "3 samples per pixel"; what has 132, Pillow logs
    assert channels in tiff
    yield "channels.tif", tiff.replace(channels, struct.pack("<HHIH", 277, 3, 1, 132)), "named"
    plain = encoded(picture, "PNG")
    for name, content in (("text-bomb", b"zTXtA\0\0"), ("icc-bomb", b"iCCPA\0\0")):
        chunk = content + zlib.compress(bytes(100_000_000), 9)
        data = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        yield f"{name}.png", plain[:33] + data + plain[33:], "either"
    yield "junk-after.png", plain + b"junk" * 1000, "edited"
    yield "is-a-jpeg.png", encoded(picture, "JPEG"), "edited"
    yield "is-a-png.heic", plain, "edited"
    yield "suffix-in-capitals.JPG", encoded(picture, "JPEG"), "edited"
    yield "without-suffix", plain, "edited"


def _no_pictures(picture: Image.Image) -> Iterator[tuple[str, bytes, Expected]]:
    yield "text.jpg", "Not a picture, says this text – in UTF-8.\n".encode(), "named"
    yield "page.png", b"<!doctype html><title>404 Not Found</title>", "named"
    yield "vectors.png", b'<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"/>', "named"
    yield "archive.webp", b"PK\3\4" + bytes(60), "named"
    yield "phone.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(60), "named"
    yield "postscript.png", encoded(picture, "EPS"), "named"
    for name, data in {"document": encoded(picture, "PDF"), "zeros": bytes(5000), "ones": b"\xff" * 5000}.items():
        yield f"{name}.png", data, "named"
    for suffix in sorted(SUFFIXES):
        yield f"empty{suffix}", b"", "named"
    yield "signature.png", b"\x89PNG\r\n\x1a\n", "named"
    yield "signature.jpg", b"\xff\xd8\xff", "named"
    yield "signature.gif", b"GIF89a", "named"
    yield "signature.tif", b"II*\0", "named"


def _no_files(folder: Path, good: bytes) -> Iterator[Sample]:
    """What a folder can hold under a picture's name that is no plain file."""
    inner = folder / "other-folder.png"
    inner.mkdir()
    (inner / "good.png").write_bytes(good)
    yield Sample("other-folder.png/good.png", "edited")
    (folder / "other-empty-folder.png").mkdir()  # holds nothing: nothing to say of it
    links = {"dangling": "nowhere", "circle": "other-circle.png", "device": "/dev/zero", "link": f"{inner}/good.png"}
    for name, target in links.items():
        (folder / f"other-{name}.png").symlink_to(target)
        yield Sample(f"other-{name}.png", "edited" if name == "link" else "named")
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "other-pipe.png")
        yield Sample("other-pipe.png", "named")
    locked = folder / "other-locked.png"
    locked.write_bytes(good)
    locked.chmod(0)
    yield Sample(locked.name, "edited" if os.access(locked, os.R_OK) else "named")  # nothing is locked for root


_GROUPS: dict[str, Callable[[Image.Image], Iterator[tuple[str, bytes, Expected]]]] = {
    "claims": _claims, "metadata": _metadata, "odd": _oddities, "none": _no_pictures
}  # fmt: skip


def make_folder(folder: Path, picture: Image.Image, count: int, seed: int = 0) -> list[Sample]:
    """Fill a folder with good pictures, pictures that are odd or broken by construction, and `count` damaged ones.

    Args:
        picture: RGB, what all of them show.
    """
    folder.mkdir(parents=True)
    Image.init()
    good = good_files(picture)
    samples = []

    def add(name: str, data: bytes, expected: Expected) -> None:
        (folder / name).write_bytes(data)
        samples.append(Sample(name, expected))

    for (kind, mode), data in good.items():
        add(f"good-{kind}-{mode.replace(';', '')}{_suffix(kind)}", data, "edited")
    for group, made in _GROUPS.items():
        for name, data, expected in made(picture):
            add(f"{group}-{name}", data, expected)
    samples += _no_files(folder, good["PNG", "RGB"])
    keys = list(good)
    for number in range(count):
        source = random.Random(f"{seed}:{number}")
        damage, (kind, mode) = DAMAGES[number % len(DAMAGES)], source.choice(keys)
        add(f"{damage}-{number}-{kind}{_suffix(kind)}", damaged(good[kind, mode], damage, source), "either")
    return samples
