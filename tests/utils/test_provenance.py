"""What a changed photograph keeps of its file, and what the mark says of it."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from tests.photographs import encoded, portrait
from utils.photos import is_jpeg, open_photograph
from utils.provenance import mark_of, read_mark, save_marked_photograph

ORIENTATION, MAKER, ARTIST, GPS, EXIF_IFD, WHEN, HISTORY = 0x0112, 0x010F, 0x013B, 0x8825, 0x8769, 0x9003, 0x9213
RECORD = {"label": "Smiling=1", "digest": "ж"}


def exif() -> Image.Exif:
    data = Image.Exif()
    data[ORIENTATION] = 3
    data[MAKER], data[ARTIST] = "Maker", "Nobody"
    data.get_ifd(EXIF_IFD)[WHEN] = "2020:01:01 10:00:00"
    data.get_ifd(GPS).update({1: "N", 2: (48.0, 51.0, 30.0)})
    return data


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("keep_gps", [False, True])
def test_what_is_kept(kind: str, keep_gps: bool, tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    stored = portrait().transpose(Image.Transpose.ROTATE_180)
    data = encoded(stored, kind, exif=exif(), icc_profile=profile, dpi=(300, 300), quality=95)
    photograph = open_photograph(data)
    path = tmp_path / f"out.{kind.lower()}"
    save_marked_photograph(path, photograph, "Photograph edited with SDFlow", RECORD, keep_gps)
    assert read_mark(path) == RECORD == mark_of(path.read_bytes()) and is_jpeg(path.read_bytes()) == (kind == "JPEG")
    with Image.open(path) as result:
        assert result.format == kind and result.size == portrait().size and result.info["icc_profile"] == profile
        assert result.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        kept = result.getexif()
        assert kept[MAKER] == "Maker" and kept[ARTIST] == "Nobody" and kept.get_ifd(EXIF_IFD)[WHEN]
        assert ORIENTATION not in kept and kept[HISTORY] == "Photograph edited with SDFlow"
        assert (kept.get_ifd(GPS).get(1) == "N") == keep_gps
        difference = np.abs(np.asarray(result.convert("RGB"), dtype=int) - np.asarray(portrait()))
    assert difference.max() == 0 if kind == "PNG" else difference.mean() < 3


def test_the_thumbnail_of_the_unedited_picture_is_gone(tmp_path: Path) -> None:
    thumbnail = encoded(portrait().resize((40, 40)), "JPEG", quality=50)
    plain = encoded(portrait(), "JPEG")
    with_thumbnail = plain[:2] + _segment_with(thumbnail) + plain[2:]
    with Image.open(io.BytesIO(with_thumbnail)) as opened:
        assert opened.getexif().get_ifd(ExifTags.IFD.IFD1)  # Pillow sees it
    save_marked_photograph(tmp_path / "out.jpg", open_photograph(with_thumbnail), "edited", RECORD)
    written = (tmp_path / "out.jpg").read_bytes()
    assert thumbnail[20:200] not in written and written.count(b"\xff\xd8\xff") == 1


def _segment_with(thumbnail: bytes) -> bytes:
    """An EXIF segment whose second directory holds a thumbnail."""
    entries = [(0x0201, 4, 1, 0), (0x0202, 4, 1, len(thumbnail))]
    first = (1).to_bytes(2, "little") + b"\x12\x01\x03\x00\x01\x00\x00\x00\x01\x00\x00\x00"
    second_at = 8 + len(first) + 4
    data_at = second_at + 2 + 12 * len(entries) + 4
    entries[0] = (0x0201, 4, 1, data_at)
    second = len(entries).to_bytes(2, "little") + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    tiff = b"II*\x00" + (8).to_bytes(4, "little") + first + second_at.to_bytes(4, "little") + second + bytes(4)
    body = b"Exif\x00\x00" + tiff + thumbnail
    return b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body


def test_other_kinds_of_pictures(tmp_path: Path) -> None:
    """A TIFF's own structure is no EXIF data of the PNG; what no PNG holds becomes sRGB."""
    data = encoded(portrait(), "TIFF", tiffinfo={MAKER: "Maker"})
    save_marked_photograph(tmp_path / "out.png", open_photograph(data), "edited", RECORD)
    with Image.open(tmp_path / "out.png") as result:
        assert set(result.getexif()) == {MAKER, HISTORY, 0x000B}
        assert np.array_equal(np.asarray(result), np.asarray(portrait()))
    printed = open_photograph(encoded(portrait().convert("CMYK"), "JPEG"))
    save_marked_photograph(tmp_path / "out.jpg", printed, "edited", RECORD)
    with Image.open(tmp_path / "out.jpg") as result:
        assert result.mode == "RGB" and result.format == "JPEG"
    grey = open_photograph(encoded(portrait().convert("L"), "JPEG", quality=90))
    save_marked_photograph(tmp_path / "grey.jpg", grey, "edited", RECORD)
    with Image.open(tmp_path / "grey.jpg") as result:
        assert result.mode == "L"


def test_a_record_that_is_none(tmp_path: Path) -> None:
    for text in ("[" * 100_000, "[1]", "no JSON"):
        chunk = PngInfo()
        chunk.add_itxt("SDFlow", text)
        portrait().save(tmp_path / "own.png", pnginfo=chunk)
        assert read_mark(tmp_path / "own.png") is None and mark_of((tmp_path / "own.png").read_bytes()) is None


def test_large_photographs_are_read_without_warnings(recwarn: pytest.WarningsRecorder) -> None:
    assert mark_of(encoded(Image.new("1", (10_000, 9_500)))) is None  # Pillow's own limit is 89 megapixels
    assert not recwarn.list


def test_damaged_exif_does_not_stop_a_photograph(tmp_path: Path) -> None:
    data = encoded(portrait(), "JPEG", exif=b"Exif\x00\x00II*\x00\x08\x00\x00\x00\xff\xff" + bytes(range(200)))
    save_marked_photograph(tmp_path / "out.jpg", open_photograph(data), "bearbeitet: müde", RECORD)
    assert read_mark(tmp_path / "out.jpg") == RECORD
    with Image.open(tmp_path / "out.jpg") as result:
        assert result.getexif()[HISTORY] == "bearbeitet: m?de"
