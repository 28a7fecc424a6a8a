"""Pictures of every kind that people have, and damaged ones."""

from __future__ import annotations

import io
import os
import stat
import struct
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from utils.paths import ROOT
from utils.photos import (
    FILE_LIMIT,
    PhotoError,
    decode_photo,
    decode_picture,
    is_heic,
    open_photograph,
    printable,
    read_photo,
)

RED, BLUE = (220, 30, 40), (20, 40, 210)


def halves(width: int = 40, height: int = 30) -> Image.Image:
    """Red above blue."""
    picture = Image.new("RGB", (width, height), RED)
    picture.paste(BLUE, (0, height // 2, width, height))
    return picture


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def near(pixel: object, colour: tuple[int, int, int], tolerance: int = 12) -> bool:
    return max(abs(a - b) for a, b in zip(pixel, colour, strict=True)) <= tolerance  # type: ignore[call-overload]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM"])
def test_formats(kind: str) -> None:
    picture = decode_photo(encoded(halves(), kind))
    assert picture.mode == "RGB" and picture.size == (40, 30)
    assert near(picture.getpixel((5, 3)), RED, 25) and near(picture.getpixel((5, 27)), BLUE, 25)


def test_icons_with_a_palette_keep_their_colours() -> None:
    picture = decode_photo(encoded(halves(64, 64).quantize(4), "ICNS"), enough=64)
    assert near(picture.getpixel((5, 3)), RED) and near(picture.getpixel((5, 60)), BLUE)


def test_postscript_is_not_run() -> None:
    with pytest.raises(PhotoError, match="PostScript"):
        decode_photo(encoded(halves(), "EPS"))


def test_reading_leaves_the_filters_of_warnings_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that set and restore them undo each other's."""
    during, copy = [], Image.Image.copy
    monkeypatch.setattr(Image.Image, "copy", lambda picture: during.append(list(warnings.filters)) or copy(picture))
    decode_picture(halves())
    assert during and all(filters == warnings.filters for filters in during)


def test_what_pillow_warns_of_and_logs_is_not_printed() -> None:
    program = """import logging, warnings, utils.photos
warnings.warn_explicit("odd", UserWarning, "PIL/TiffImagePlugin.py", 1, module="PIL.TiffImagePlugin")
logging.getLogger("PIL.TiffImagePlugin").error("odd")"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_sixteen_bits_keep_their_brightness() -> None:
    ramp = np.linspace(0, 65535, 64, dtype=np.uint16).reshape(8, 8)
    for kind in ("PNG", "TIFF"):
        values = np.asarray(decode_photo(encoded(Image.fromarray(ramp), kind)))[..., 0]
        assert np.abs(values.astype(float) - ramp / 257).max() <= 1


def test_floating_point() -> None:
    ramp = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    values = np.asarray(decode_photo(encoded(Image.fromarray(ramp), "TIFF")))[..., 0]
    assert np.abs(values - ramp * 255).max() <= 1
    ramp[0, 0] = np.nan
    with pytest.raises(PhotoError, match="no numbers"):
        decode_photo(encoded(Image.fromarray(ramp), "TIFF"))


def test_cmyk() -> None:
    picture = decode_photo(encoded(halves().convert("CMYK"), "JPEG", quality=95))
    assert near(picture.getpixel((5, 3)), RED, 20) and near(picture.getpixel((5, 27)), BLUE, 20)


def test_transparency_becomes_white() -> None:
    transparent = halves().convert("RGBA")
    transparent.paste((0, 0, 0, 0), (0, 0, 20, 30))
    palette = halves().quantize(8)
    palette.info["transparency"] = palette.getpixel((0, 0))
    for data, seen in (
        (encoded(transparent, "PNG"), RED),
        (encoded(palette, "PNG", transparency=palette.getpixel((0, 0))), (255, 255, 255)),
    ):
        picture = decode_photo(data)
        assert near(picture.getpixel((2, 2)), (255, 255, 255)) and near(picture.getpixel((30, 2)), seen)
        assert near(picture.getpixel((30, 28)), BLUE)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_animations_give_their_first_frame(kind: str) -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in (RED, BLUE)]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=100)
    assert near(decode_photo(data).getpixel((10, 10)), RED, 20)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation(orientation: int) -> None:
    upright = halves(40, 30)
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = decode_photo(encoded(stored, "JPEG", exif=exif, quality=95))
    assert picture.size == (40, 30)
    assert near(picture.getpixel((5, 3)), RED, 25) and near(picture.getpixel((5, 27)), BLUE, 25)
    assert not picture.getexif()


def test_profile_is_turned_into_srgb() -> None:
    red = Image.new("RGB", (8, 8), RED)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = srgb.replace(b"rXYZ", b"temp").replace(b"gXYZ", b"rXYZ").replace(b"temp", b"gXYZ")
    swapped = swapped.replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be"))
    r, g, _ = decode_photo(encoded(red, "PNG", icc_profile=swapped)).getpixel((0, 0))  # type: ignore[misc]
    assert g > r + 50  # this profile's "red" is green
    transparent = decode_photo(encoded(Image.new("RGBA", (8, 8), (*RED, 0)), "PNG", icc_profile=swapped))
    assert transparent.getpixel((0, 0)) == (255, 255, 255)
    assert decode_photo(encoded(red, "PNG", icc_profile=srgb)).getpixel((0, 0)) == RED
    assert decode_photo(encoded(red, "PNG", icc_profile=b"broken")).getpixel((0, 0)) == RED


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP"])
def test_truncated(kind: str) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    data = encoded(noise, kind)
    for share in (0.3, 0.7):
        with pytest.raises(PhotoError, match="damaged or cut off|known format"):
            decode_photo(data[: int(len(data) * share)])


def test_what_is_no_picture() -> None:
    with pytest.raises(PhotoError, match="empty"):
        decode_photo(b"")
    with pytest.raises(PhotoError, match="known format"):
        decode_photo(b"hello, I am a text\n" * 10)
    with pytest.raises(PhotoError, match="HEIC"):
        decode_photo(b"\0\0\0\x18ftypheic" + bytes(100))


def _refuse(path: Path) -> bytes:
    raise PermissionError(13, "Permission denied", str(path))


def test_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "face.png"
    halves().save(path)
    with pytest.raises(PhotoError, match="no such file"):
        read_photo(tmp_path / "missing.png")
    with pytest.raises(PhotoError, match="folder"):
        read_photo(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.png")
        with pytest.raises(PhotoError, match="no regular file"):
            read_photo(tmp_path / "pipe.png")
    path.chmod(0)
    if os.access(path, os.R_OK):  # root reads everything
        monkeypatch.setattr(Path, "read_bytes", _refuse)
    with pytest.raises(PhotoError, match="[Pp]ermission denied"):
        read_photo(path)
    path.chmod(stat.S_IRUSR | stat.S_IWUSR)


def test_fifty_megapixels_are_reduced() -> None:
    for kind, options in (("JPEG", {}), ("PNG", {"compress_level": 1})):
        picture = decode_photo(encoded(halves(8000, 6300).convert("L"), kind, **options), enough=256)
        assert 256 <= min(picture.size) < 1024
        assert abs(picture.width / picture.height - 8000 / 6300) < 0.02


def test_reducing_keeps_enough() -> None:
    for side in (255, 256, 257, 511, 512, 700, 1500):
        for kind in ("JPEG", "PNG"):
            picture = decode_photo(encoded(Image.new("RGB", (side, side + 40)), kind), enough=256)
            assert min(picture.size) >= min(side, 256)
    assert decode_photo(encoded(halves(), "PNG"), enough=30).size == (40, 30)


def claiming(kind: str, width: int, height: int) -> bytes:
    """A small picture whose header claims another size."""
    if kind == "PNG":
        data = bytearray(encoded(Image.new("1", (8, 8)), "PNG"))
        data[16:24] = struct.pack(">II", width, height)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    else:
        data = bytearray(encoded(halves(), "JPEG", progressive=kind == "progressive"))
        frame = data.index(b"\xff\xc2" if kind == "progressive" else b"\xff\xc0")
        data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


@pytest.mark.parametrize(
    ("kind", "width", "height", "reason"),
    [
        ("PNG", 12000, 12000, "12000 × 12000 is more than 64 megapixels, the limit for PNG; reduce it first"),
        ("PNG", 20000, 20000, "150 megapixels"),
        ("JPEG", 13000, 12000, "13000 × 12000 is more than 150 megapixels, the limit for JPEG"),
        ("progressive", 9000, 8000, "9000 × 8000 is more than 64 megapixels, the limit for progressive JPEG"),
    ],
)
def test_beyond_the_limit_is_refused_unread(kind: str, width: int, height: int, reason: str) -> None:
    with pytest.raises(PhotoError, match=f"too large.*{reason}"):
        decode_photo(claiming(kind, width, height))


def test_a_file_beyond_the_limit_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "disk.png").open("wb") as stream:
        stream.truncate(FILE_LIMIT + 1)  # takes no room
    with pytest.raises(PhotoError, match="too large: a file of 400 MB"):
        read_photo(tmp_path / "disk.png")


def test_reducing_takes_no_copy_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    copies: list[tuple[int, int]] = []
    copy = Image.Image.copy
    monkeypatch.setattr(Image.Image, "copy", lambda picture: (copies.append(picture.size), copy(picture))[1])
    assert decode_photo(encoded(halves(1000, 800), "PNG"), enough=100).size == (125, 100)
    assert (1000, 800) not in copies


@pytest.mark.parametrize("brand", ["heic", "heix", "heim", "heis", "hevc", "hevx", "mif1", "msf1"])
def test_heic_without_its_package_names_the_package(brand: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    data = b"\0\0\0\x14ftyp" + brand.encode() + b"\0\0\0\0heic" + bytes(100)
    with pytest.raises(PhotoError, match="HEIC .*: pip install pillow-heif"):
        decode_photo(data)


def test_avif_is_no_heic() -> None:
    for major in (b"avif", b"avis", b"mif1"):
        assert not is_heic(b"\0\0\0\x18ftyp" + major + b"\0\0\0\0mif1avif" + bytes(100))
    assert is_heic(b"\0\0\0\x18ftypmif1\0\0\0\0miafheic" + bytes(100))


def test_heic() -> None:
    pillow_heif = pytest.importorskip("pillow_heif", reason="not installed: pillow-heif (pip install pillow-heif)")
    stored = halves(96, 64).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90° clockwise
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = srgb.replace(b"rXYZ", b"temp").replace(b"gXYZ", b"rXYZ").replace(b"temp", b"gXYZ")
    swapped = swapped.replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be"))
    for profile in (srgb, swapped):
        stream = io.BytesIO()
        file = pillow_heif.from_pillow(stored)
        file.save(stream, quality=90, exif=exif.tobytes(), icc_profile=profile)
        data = stream.getvalue()
        picture, photograph = decode_photo(data), open_photograph(data)
        assert picture.size == photograph.own.size == (96, 64) and photograph.profile == profile
        expected = RED if profile == srgb else picture.getpixel((5, 3))
        assert near(picture.getpixel((5, 3)), expected, 30) and photograph.own.getexif().get(0x0112, 1) == 1
    r, g, _ = picture.getpixel((5, 3))  # type: ignore[misc]
    assert g > r + 50
    for end in (30, len(data) // 2, len(data) - 20):
        with pytest.raises(PhotoError, match="damaged or cut off"):
            decode_photo(data[:end])


def test_printable() -> None:
    assert printable("ж ü 笑.png") == "ж ü 笑.png"
    assert printable("a\nb\x1b.png") == "a\\nb\\x1b.png"
    printable(os.fsdecode(b"\xff.png")).encode()
