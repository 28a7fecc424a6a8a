"""Any folder of pictures with a table of attribute values."""

from __future__ import annotations

import sys
import zlib
from typing import Literal

from datasets.attribute_table import read_table
from datasets.pictures import LabelledPictures, PictureIndex, find_pictures, report_unmatched
from models.domain import Domain
from utils.paths import displayed, resolve
from utils.ranges import FileName, Fraction, Interval, PictureBox


class LabelledFolder(LabelledPictures):
    """Pictures of a folder and its sub-folders that a CSV, TSV or JSON file has attribute values of.

    Items: see `datasets.pictures.LabelledPictures`; columns are the outputs of the domain's classifiers. Rows without a
    picture and pictures without a row are counted, reported and skipped.

    Args:
        table: the file; see `datasets.attribute_table.read_table` for its form.
        split: `train` or `validation`, decided by a hash of each name so that further pictures move none, or `all`.
        validation_share: part of the pictures that validates.
        ranges: attribute → [lowest, highest] of its column, where that is not [0, 1] (an age: [0, 100]).
        crop: (left, top, right, bottom) in pixels; the centred square of it is seen.
        mirror: items are also seen mirrored.
    Raises:
        FileNotFoundError: no such folder or table, or no picture is left.
        TableError: see `read_table`.
    """

    def __init__(
        self,
        domain: Domain,
        folder: FileName,
        table: FileName,
        split: Literal["train", "validation", "all"] = "all",
        validation_share: Fraction = 0.1,
        ranges: dict[str, Interval] | None = None,
        crop: PictureBox | None = None,
        mirror: bool = False,
    ) -> None:
        root, paths = find_pictures(folder)
        labels = read_table(resolve(table), domain.classifier_outputs, ranges)
        if labels.remark:
            print(f"{displayed(labels.path)}: {labels.remark}", file=sys.stderr)
        index = PictureIndex(root, paths)
        found = {row: path for row, name in enumerate(labels.names) if (path := index.find(name)) is not None}
        lost = [name for row, name in enumerate(labels.names) if row not in found]
        report_unmatched(labels.path, root, labels.names, lost, len(paths) - len(index.found))
        if split != "all":
            found = {
                row: path
                for row, path in found.items()
                if _validates(labels.names[row], validation_share) == (split == "validation")
            }
        if not found:
            raise FileNotFoundError(f"{displayed(labels.path)}: no picture of the split '{split}' in {displayed(root)}")
        super().__init__(
            root, list(found.values()), labels.attributes, labels.values[list(found)], domain.image_side, crop, mirror
        )


def _validates(name: str, share: float) -> bool:
    return zlib.crc32(name.encode()) / 2**32 < share
