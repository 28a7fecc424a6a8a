"""A folder of aligned face pictures."""

from __future__ import annotations

from datasets.pictures import Pictures, find_pictures
from utils.paths import displayed
from utils.ranges import Count, FileName, Side, Whole


class ImageFolder(Pictures):
    """Pictures of a folder and its sub-folders in the order of their names.

    Items: `image` (3, side, side) in [−1, 1] and `index`.

    Args:
        side: pictures are reduced to side × side (Lanczos), of others than squares the centre.
        first, count: the part of the sorted list that is used.
    Raises:
        FileNotFoundError: no such folder, or no picture in that part of it.
    """

    def __init__(self, folder: FileName, side: Side = 256, first: Whole = 0, count: Count | None = None) -> None:
        root, paths = find_pictures(folder)
        super().__init__(root, paths[first : None if count is None else first + count], side)
        if not self.paths:
            raise FileNotFoundError(f"{displayed(root)}: {len(paths)} pictures, none from number {first} on")
