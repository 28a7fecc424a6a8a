"""CelebA and CelebA-HQ with their own annotation files; https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from datasets.attribute_table import (
    AttributeTable,
    Row,
    TableError,
    check_columns,
    collect,
    read_text,
    separated_cells,
)
from datasets.pictures import LabelledPictures, PictureIndex, find_pictures, number_in, report_unmatched
from models.domain import Domain
from utils.celeba import CELEBA_ATTRIBUTES
from utils.excerpts import excerpt
from utils.paths import displayed, resolve
from utils.ranges import Count, FileName, PictureBox

SPLITS = {"train": 0, "validation": 1, "test": 2}
_PICTURE = "image_id"  # Kaggle's name of the column of the pictures' names


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line and cells of each row, in either form: cells between blanks (CelebA's page) or a CSV (Kaggle)."""
    text = read_text(path)
    first_line = text.lstrip().partition("\n")[0]
    delimiter = max(",;", key=first_line.count)
    if delimiter in first_line:
        yield from separated_cells(path, text, delimiter)
        return
    for number, line in enumerate(text.splitlines(), start=1):
        if cells := line.split():
            yield number, cells


def _found(cells: Sequence[str]) -> str:
    return excerpt(" ".join(cells))


def _value(attribute: str, cell: object) -> float:
    try:
        number = float(str(cell))
    except ValueError:
        number = math.nan
    if number not in (-1, 1):
        raise ValueError(f"{excerpt(cell)} is neither 1 nor -1")
    return (number + 1) / 2


def read_celeba_attributes(path: Path, attributes: Sequence[str]) -> AttributeTable:
    """`list_attr_celeba.txt` or `.csv`, or `CelebAMask-HQ-attribute-anno.txt` of CelebA-HQ.

    Each row is a picture's name and −1 or 1 for each attribute. In the text form, blanks separate them, the first line
    counts the pictures and the second names the attributes. A CSV begins with its header; the pictures' column is
    `image_id`, or else the first one.

    Raises:
        FileNotFoundError: no such file.
        TableError: another form, an unknown attribute, or a file that was cut off.
    """
    rows = _rows(path)
    line, header = next(rows, (1, [""]))
    count = int(header[0]) if len(header) == 1 and header[0].isdecimal() else None
    if count is not None:
        line, header = next(rows, (2, []))
        if not header:
            raise TableError(path, 2, "the names of the attributes are missing")
        header = [_PICTURE, *header]
    elif len(header) == 1 or header[0] in CELEBA_ATTRIBUTES:
        reason = "CelebA's list begins with the number of its pictures, or is a CSV that begins with image_id; this is "
        raise TableError(path, line, reason + "neither (the data set for another CSV is labelled_folder)")
    named = header.index(_PICTURE) if _PICTURE in header else 0
    columns = header[:named] + header[named + 1 :]
    check_columns(path, line, columns, attributes)

    def entries() -> Iterator[Row]:
        for line, cells in rows:
            if len(cells) != len(header):
                raise TableError(path, line, f"has {len(cells) - 1} values for {len(columns)} attributes")
            yield Row(line, cells.pop(named), dict(zip(columns, cells, strict=True)))

    table = collect(path, entries(), attributes, _value)
    if count is not None and len(table.names) != count:
        raise TableError(path, 1, f"says {count} pictures, but {len(table.names)} follow; was the file cut off?")
    return table


def read_partition(path: Path) -> dict[str, int]:
    """`list_eval_partition.txt` or `.csv`: picture → 0 train, 1 validation, 2 test.

    A CSV may begin with a header; the columns are `image_id` and `partition`, or else the first and the last one.

    Raises:
        FileNotFoundError: no such file.
        TableError: another form.
    """
    parts: dict[str, int] = {}
    header = [_PICTURE, "partition"]
    for place, (number, cells) in enumerate(_rows(path)):
        if place == 0 and len(cells) > 1 and not re.search(r"\d", cells[-1]):
            header = cells if _PICTURE in cells else [_PICTURE, *cells[1:]]
            header = header if "partition" in header else [*header[:-1], "partition"]
            continue
        row = dict(zip(header, cells, strict=False))
        part = row.get("partition", "").removesuffix(".0")  # programs that know empty cells write 0.0
        if len(cells) != len(header) or part not in ("0", "1", "2"):
            raise TableError(path, number, f"should be a picture and 0, 1 or 2, is {_found(cells)}")
        if row[_PICTURE] in parts:
            raise TableError(path, number, f"the picture {excerpt(row[_PICTURE])} occurs twice")
        parts[row[_PICTURE]] = int(part)
    return parts


def read_mapping(path: Path) -> dict[int, str]:
    """`CelebA-HQ-to-CelebA-mapping.txt`, or the same as CSV: number of a picture of CelebA-HQ → its name in CelebA.

    Raises:
        FileNotFoundError: no such file.
        TableError: another form.
    """
    mapping = {}
    for place, (number, cells) in enumerate(_rows(path)):
        if place == 0 and not cells[0].isdecimal():  # a header line
            continue
        if len(cells) != 3 or not cells[0].isdecimal():
            raise TableError(path, number, f"should be idx, orig_idx and orig_file, is {_found(cells)}")
        if int(cells[0]) in mapping:
            raise TableError(path, number, f"the number {cells[0]} occurs twice", "idx")
        mapping[int(cells[0])] = cells[2]
    return mapping


class CelebA(LabelledPictures):
    """Pictures of CelebA, or of CelebA-HQ if there is a mapping, of one split, with their attributes as 0 and 1.

    Items: see `datasets.pictures.LabelledPictures`; columns are the outputs of the domain's classifiers. Pictures and
    rows that lack the other are counted, reported and skipped.

    Args:
        folder: `img_align_celeba` (jpg or png), any other set with CelebA's names, or `CelebA-HQ-img`, whose pictures
            are known by the number in their names.
        labels: `list_attr_celeba.txt` or `.csv`; for CelebA-HQ also `CelebAMask-HQ-attribute-anno.txt`.
        partition: `list_eval_partition.txt` or `.csv`, which every split but `all` needs.
        mapping: `CelebA-HQ-to-CelebA-mapping.txt`; says that the pictures are those of CelebA-HQ.
        crop: (left, top, right, bottom) in pixels; the centred square of it is seen.
        count: the first so many pictures.
        mirror: items are also seen mirrored.
    Raises:
        FileNotFoundError: a file is missing, or no picture is left.
        TableError: a file has another form; names line and column.
        ValueError: a split without `partition`.
    """

    def __init__(
        self,
        domain: Domain,
        folder: FileName,
        labels: FileName,
        split: Literal["train", "validation", "test", "all"] = "train",
        partition: FileName | None = None,
        mapping: FileName | None = None,
        crop: PictureBox | None = None,
        count: Count | None = None,
        mirror: bool = False,
    ) -> None:
        if split != "all" and partition is None:
            raise ValueError(f"CelebA's split '{split}' is in list_eval_partition.txt: name it as 'partition'")
        root, paths = find_pictures(folder)
        table = read_celeba_attributes(resolve(labels), domain.classifier_outputs)
        if mapping is None:
            entries = _by_name(table, root, paths)
        else:
            entries = _by_number(table, paths, resolve(mapping))
        lost = [entry.name for entry in entries if entry.path is None]
        unused = len(paths) - len(entries) + len(lost)
        report_unmatched(table.path, root, [entry.name for entry in entries], lost, unused)
        entries = [entry for entry in entries if entry.path is not None]
        if partition is not None and split != "all":
            parts = read_partition(resolve(partition))
            _report_unassigned(resolve(partition), [entry.original for entry in entries if entry.original not in parts])
            entries = [entry for entry in entries if parts.get(entry.original) == SPLITS[split]]
        entries = entries[:count]
        if not entries:
            raise FileNotFoundError(f"{displayed(root)}: no picture of CelebA's split '{split}'")
        found = [entry.path for entry in entries if entry.path is not None]
        values = table.values[[entry.row for entry in entries]]
        super().__init__(root, found, table.attributes, values, domain.image_side, crop, mirror)


@dataclass(frozen=True)
class _Entry:
    """A row of the list, what its picture is called here and in CelebA, and its file where there is one."""

    row: int
    name: str
    original: str
    path: Path | None


def _report_unassigned(partition: Path, names: Sequence[str]) -> None:
    if names:
        said = f"has no split for {len(names)} pictures ({excerpt(names[0])} is the first)"
        print(f"{displayed(partition)}: {said}; they are left out", file=sys.stderr)


def _by_name(table: AttributeTable, root: Path, paths: Sequence[Path]) -> list[_Entry]:
    index = PictureIndex(root, paths)
    return [_Entry(row, name, name, index.find(name)) for row, name in enumerate(table.names)]


def _by_number(table: AttributeTable, paths: Sequence[Path], mapping: Path) -> list[_Entry]:
    rows = {name: row for row, name in enumerate(table.names)}
    numbered = {number_in(path): path for path in paths}
    entries = []
    for number, original in read_mapping(mapping).items():
        name = f"{number}.jpg"
        row = rows.get(original, rows.get(name))  # CelebA's own list, or CelebA-HQ's
        if row is not None:
            entries.append(_Entry(row, name, original, numbered.get(number)))
    if not entries:
        raise FileNotFoundError(f"{displayed(table.path)}: has none of the pictures of {displayed(mapping)}")
    return entries
