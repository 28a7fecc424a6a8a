"""A folder of aligned face pictures, such as FFHQ's `images1024x1024`."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from utils.images import to_tensor
from utils.paths import displayed, resolve

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")


class ImageFolder(Dataset):
    """Pictures of a folder and its sub-folders in the order of their names.

    Items: `image` (3, side, side) in [−1, 1] and `index`.

    Args:
        side: pictures are reduced to side × side (Lanczos).
        first, count: the part of the sorted list that is used (FFHQ: 69,000 from 0 train, 1,000 from 69,000 test).
    Raises:
        FileNotFoundError: no such folder, or no picture in that part of it.
    """

    def __init__(self, folder: str, side: int = 256, first: int = 0, count: int | None = None) -> None:
        root = resolve(folder)
        if not root.is_dir():
            raise FileNotFoundError(f"{displayed(root)}: no such folder of pictures (see 'Training' in README.md)")
        paths = sorted(p for p in root.rglob("*") if p.suffix.lower() in SUFFIXES)
        self.root, self.side = root, side
        self.paths = paths[first : None if count is None else first + count]
        if not self.paths:
            raise FileNotFoundError(f"{displayed(root)}: {len(paths)} pictures, none from number {first} on")

    def fingerprint(self) -> str:
        """Hash of the pictures' side, and of the files' names and sizes."""
        files = (f"{path.relative_to(self.root)} {path.stat().st_size}" for path in self.paths)
        listing = "\n".join([str(self.side), *files])
        return hashlib.sha256(listing.encode()).hexdigest()[:16]

    def __len__(self) -> int:
        return len(self.paths)

    def path(self, index: int) -> Path:
        """File of an item."""
        return self.paths[index]

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        with Image.open(self.paths[index]) as picture:
            picture = picture.convert("RGB")
            if picture.size != (self.side, self.side):
                picture = picture.resize((self.side, self.side), Image.Resampling.LANCZOS)
            return {"image": to_tensor(picture), "index": torch.tensor(index)}
