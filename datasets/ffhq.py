"""FFHQ: 70,000 aligned faces, numbered; https://github.com/NVlabs/ffhq-dataset."""

from __future__ import annotations

import sys
from typing import Literal

from datasets.pictures import Pictures, find_pictures, number_in
from utils.paths import displayed
from utils.ranges import Count, FileName, Side

Split = Literal["train", "validation", "all", "sdflow_train", "sdflow_test"]
SPLITS: dict[Split, tuple[int, int]] = {
    "train": (0, 60_000),  # the official split
    "validation": (60_000, 70_000),
    "all": (0, 70_000),
    "sdflow_train": (0, 69_000),  # SDFlow's
    "sdflow_test": (69_000, 70_000),
}


class FFHQ(Pictures):
    """FFHQ's pictures of a split, by the number in their names, so that a part of the set is split like the whole.

    Takes `images1024x1024`, `thumbnails128x128` or a resized set; pictures lie in one folder or in folders of thousand
    (`00000/00012.png`), with or without a word before the number (`img00000012.png`).

    Items: `image` (3, side, side) in [−1, 1] and `index`.

    Args:
        split: which numbers, see `SPLITS`.
        count: the first so many pictures of the split.
    Raises:
        FileNotFoundError: no such folder, or no picture of the split in it.
        ValueError: a picture without a number, or two with one number.
    """

    def __init__(self, folder: FileName, split: Split = "train", side: Side = 256, count: Count | None = None) -> None:
        first, end = SPLITS[split]
        root, paths = find_pictures(folder)
        numbered: dict[int, int] = {}
        for place, path in enumerate(paths):
            number = number_in(path)
            if number is None:
                raise ValueError(f"{displayed(path)}: FFHQ's pictures are numbered; use image_folder for other sets")
            if number in numbered:
                raise ValueError(
                    f"{displayed(path)}: has the number of {displayed(paths[numbered[number]])}; "
                    "name the folder of one size only"
                )
            numbered[number] = place
        chosen = [numbered[number] for number in sorted(numbered) if first <= number < end]
        if not chosen:
            raise FileNotFoundError(
                f"{displayed(root)}: {len(paths)} pictures, none of the split '{split}' (numbers {first} to {end - 1})"
            )
        if len(chosen) < end - first:
            there = f"{len(chosen):,} of the {end - first:,} pictures of the split '{split}' are there"
            print(f"{displayed(root)}: {there}", file=sys.stderr)
        super().__init__(root, [paths[place] for place in chosen[:count]], side)
