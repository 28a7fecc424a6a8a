"""CelebA and CelebA-HQ with their own annotation files; https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from datasets.attribute_table import AttributeTable, Row, TableError, check_columns, collect, read_text
from datasets.pictures import LabelledPictures, PictureIndex, find_pictures, number_in, report_unmatched
from models.domain import Domain
from utils.paths import displayed, resolve
from utils.ranges import Count, PictureBox, Text

SPLITS = {"train": 0, "validation": 1, "test": 2}
_VALUES = {"1": 1.0, "-1": 0.0}


def _lines(path: Path) -> Iterator[tuple[int, str, list[str]]]:
    """Number, text and words of each line that is not blank."""
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if words := line.split():
            yield number, line.strip(), words


def read_celeba_attributes(path: Path, attributes: Sequence[str]) -> AttributeTable:
    """`list_attr_celeba.txt`, or `CelebAMask-HQ-attribute-anno.txt` of CelebA-HQ, which has the same form.

    The first line counts the pictures, the second names the attributes, each further one has a picture's name and −1 or
    1 an attribute; any number of blanks stands between.

    Raises:
        FileNotFoundError: no such file.
        TableError: another form, an unknown attribute, or a file that was cut off.
    """
    lines = _lines(path)
    _, first, _ = next(lines, (1, "", []))
    if not first.isdecimal():
        reason = "CelebA's list begins with the number of its pictures; this does not (the data set for a CSV is "
        raise TableError(path, 1, reason + "labelled_folder, here with the range [-1, 1] for each attribute)")
    header_line, _, header = next(lines, (2, "", []))
    if not header:
        raise TableError(path, 2, "the names of the attributes are missing")
    check_columns(path, header_line, header, attributes)

    def rows() -> Iterator[Row]:
        for number, _, words in lines:
            if len(words) != len(header) + 1:
                raise TableError(path, number, f"has {len(words) - 1} values for {len(header)} attributes")
            yield Row(number, words[0], dict(zip(header, words[1:], strict=True)))

    def value_of(attribute: str, cell: object) -> float:
        if cell not in _VALUES:
            raise ValueError(f"'{cell}' is neither 1 nor -1")
        return _VALUES[str(cell)]

    table = collect(path, rows(), attributes, value_of)
    if len(table.names) != int(first):
        raise TableError(path, 1, f"says {first} pictures, but {len(table.names)} follow; was the file cut off?")
    return table


def read_partition(path: Path) -> dict[str, int]:
    """`list_eval_partition.txt`: picture → 0 train, 1 validation, 2 test.

    Raises:
        FileNotFoundError: no such file.
        TableError: another form.
    """
    parts: dict[str, int] = {}
    for number, line, words in _lines(path):
        if len(words) != 2 or words[1] not in ("0", "1", "2"):
            raise TableError(path, number, f"should be a picture and 0, 1 or 2, is '{line}'")
        if words[0] in parts:
            raise TableError(path, number, f"the picture '{words[0]}' occurs twice")
        parts[words[0]] = int(words[1])
    return parts


def read_mapping(path: Path) -> dict[int, str]:
    """`CelebA-HQ-to-CelebA-mapping.txt`: number of a picture of CelebA-HQ → name of the picture in CelebA.

    Raises:
        FileNotFoundError: no such file.
        TableError: another form.
    """
    mapping = {}
    for number, line, words in _lines(path):
        if number == 1 and not words[0].isdecimal():  # a header line
            continue
        if len(words) != 3 or not words[0].isdecimal():
            raise TableError(path, number, f"should be idx, orig_idx and orig_file, is '{line}'")
        if int(words[0]) in mapping:
            raise TableError(path, number, f"the number {words[0]} occurs twice", "idx")
        mapping[int(words[0])] = words[2]
    return mapping


class CelebA(LabelledPictures):
    """Pictures of CelebA, or of CelebA-HQ if there is a mapping, of one split, with their attributes as 0 and 1.

    Items: see `datasets.pictures.LabelledPictures`; columns are the outputs of the domain's classifiers. Pictures and
    rows that lack the other are counted, reported and skipped.

    Args:
        folder: `img_align_celeba` (jpg or png), any other set with CelebA's names, or `CelebA-HQ-img`, whose pictures
            are known by the number in their names.
        labels: `list_attr_celeba.txt`; for CelebA-HQ also `CelebAMask-HQ-attribute-anno.txt`.
        partition: `list_eval_partition.txt`, which every split but `all` needs.
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
        folder: Text,
        labels: Text,
        split: Literal["train", "validation", "test", "all"] = "train",
        partition: Text | None = None,
        mapping: Text | None = None,
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
