"""Faces in pictures that an option names, beside those that are edited."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from models.editing.requests.base import RequestError

if TYPE_CHECKING:
    from PIL import Image

    from models.editing.inversion import Inversion
    from models.editing.pipeline import EditingPipeline


@dataclass(frozen=True)
class OtherFace:
    """The largest face of a picture file.

    Attributes:
        digest: short hash of the file's bytes.
        picture: the face, aligned.
    """

    path: Path
    digest: str
    picture: Image.Image


def other_faces(
    option: str, place: Path, options: argparse.Namespace, pipeline: EditingPipeline
) -> Iterator[tuple[Sequence[OtherFace], Inversion]]:
    """The faces of a picture, or of all pictures in a folder, and what is known of them, in portions.

    Args:
        option: that names the place, for messages.
        options: `batch_size`, `aligned` and `force` as of edit.py.
    Raises:
        RequestError: no pictures, one that cannot be read, or one that shows no face of the domain.
    """
    import torch

    from utils.images import to_tensor
    from utils.photo_files import find_photos
    from utils.photos import printable

    paths = [photo.path for photo in find_photos([str(place)]).photos] if place.is_dir() else [place]
    if not paths:
        raise RequestError(f"{option} {printable(place)}: no pictures in this folder")
    for start in range(0, len(paths), options.batch_size):
        found = []
        for path in paths[start : start + options.batch_size]:
            try:
                found.append(_largest(path, options.aligned, pipeline))
            except ValueError as error:  # of the picture and of the aligner
                raise RequestError(f"{option} {printable(path)}: {error}") from None
        faces = pipeline.invert(torch.stack([to_tensor(one.picture) for one in found]))
        for one, distance in zip(found, faces.distance.tolist(), strict=True):
            foreign = pipeline.foreign(distance)
            if foreign and not options.force:
                raise RequestError(f"{option} {printable(one.path)}: {foreign} (--force takes it anyway)")
        yield found, faces


def _largest(path: Path, aligned: bool, pipeline: EditingPipeline) -> OtherFace:
    from models.editing.sources import source_of
    from utils.photos import read_file

    data = read_file(path)
    source = source_of(data)
    face = pipeline.faces(source.picture, "largest", aligned or source.is_aligned)[0]
    return OtherFace(path, hashlib.sha256(data).hexdigest()[:16], face.picture)
