"""Which files of folders, names and patterns are pictures, and what is said of the others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from utils.photo_files import begins_as_picture, find_photos


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).touch()


def save(path: Path, kind: str) -> None:
    path.parent.mkdir(exist_ok=True, parents=True)
    Image.new("RGB", (8, 8)).save(path, kind)


def test_folders_files_and_patterns(tmp_path: Path) -> None:
    touch(tmp_path, "b.PNG", "a.jpg", "notes.txt", ".hidden.png", "sub/c.webp", "sub/.git/d.png", "out/e.png")
    touch(tmp_path, "ü/ж.png")
    (tmp_path / "empty").mkdir()
    found = find_photos([str(tmp_path)], leave_out=tmp_path / "out")
    assert [str(p.name) for p in found.photos] == ["a.jpg", "b.PNG", "sub/c.webp", "ü/ж.png"]
    assert not found.problems and not found.remarks()
    found = find_photos([str(tmp_path / "*.jpg"), str(tmp_path / "a.jpg"), str(tmp_path / "*.xyz")])
    assert [p.path.name for p in found.photos] == ["a.jpg"] and "*.xyz: no pictures match" in found.problems[0]
    found = find_photos([str(tmp_path / "empty"), str(tmp_path / "notes.txt"), str(tmp_path / "gone.png")])
    assert [p.path.name for p in found.photos] == ["notes.txt", "gone.png"]
    assert found.problems[0].endswith("empty: no pictures in this folder")
    touch(tmp_path, "[1].png")
    assert len(find_photos([str(tmp_path / "[1].png")]).photos) == 1


def test_what_is_passed_over_is_counted_by_suffix(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "b.jxl", "sub/c.JXL", "d.CR2", "notes")
    touch(tmp_path, "e.json", "Thumbs.db", ".DS_Store", "a.png~", "_.xmp")  # nobody misses these
    (tmp_path / "link").symlink_to(tmp_path / "sub", target_is_directory=True)
    found = find_photos([str(tmp_path), str(tmp_path / "sub"), str(tmp_path / "*")])  # each file once
    assert found.passed_over == {".jxl": 2, ".cr2": 1, "without suffix": 1, "linked folders": 1}
    assert found.remarks()[0].startswith("passed over: 2 .jxl, 1 ")
    assert find_photos([str(tmp_path / "sub")]).problems == [
        f"{tmp_path / 'sub'}: no pictures in this folder; passed over: 1 .jxl"
    ]
    assert find_photos([str(tmp_path / "*.CR2")]).problems[0].endswith("match this pattern; passed over: 1 .cr2")


def test_many_kinds_are_summed_up(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", *(f"{number}.kind{number}" for number in range(30)))
    (remark,) = find_photos([str(tmp_path)]).remarks()
    assert remark.endswith(", 22 of 22 other kinds") and len(remark) < 200


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "JPEG2000"])
def test_a_picture_without_suffix_is_known_by_its_contents(tmp_path: Path, kind: str) -> None:
    names = ["download", "photo.jpg?w=640", "J. Smith", "photo.jpg.1", "picture.jfif_large"]
    for name in names:
        save(tmp_path / name, kind)
    (tmp_path / "page").write_bytes(b"<html>not found</html>")
    save(tmp_path / "half.part", kind)  # a suffix is taken at its word
    found = find_photos([str(tmp_path)])
    assert sorted(photo.path.name for photo in found.photos) == sorted(names)
    assert found.passed_over == {"without suffix": 1, ".part": 1}


def test_what_begins_as_a_picture(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for brand in (b"heic", b"hevx", b"mif1", b"msf1", b"avif"):
        path.write_bytes(b"\0\0\0\x18ftyp" + brand)
        assert begins_as_picture(path)
    for data in (b"", b"\xff\xd8", b"BM", b"BMW is a car, not a bitmap", b"\0\0\0\x18ftypisom"):
        path.write_bytes(data)
        assert not begins_as_picture(path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        assert not begins_as_picture(tmp_path / "pipe")  # and does not wait for a writer


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.png", "private/b.png")
    scan = os.scandir

    def refusing(path: str) -> object:
        if str(path).endswith("private"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refusing)
    found = find_photos([str(tmp_path)])
    assert len(found.photos) == 1
    assert found.problems == [f"{tmp_path / 'private'}: this folder cannot be read (Permission denied)"]


def test_a_circle_of_links_to_leave_out(tmp_path: Path) -> None:
    """Before: RuntimeError."""
    touch(tmp_path / "in", "a.png")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    assert len(find_photos([str(tmp_path / "in")], leave_out=tmp_path / "circle").photos) == 1
