"""Automatic mask edits where no face API tells of the faces: masks alone say whose part a face gets."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from models.editing.given_masks import face_name, not_empty
from models.editing.pipeline import EditingPipeline
from models.editing.sources import source_of
from models.editors.base import mask_editor
from models.parsing.agreement import confusion, mean_iou
from models.parsing.donors import FaceRecord, choose_donor
from models.parsing.mask_edits import EDITS, edit_mask, shows_part
from models.parsing.palette import MaskError, mask_in, resembles_mask, resized
from utils.images import to_tensor
from utils.photo_files import find_photos
from utils.photos import Photo, PhotoError, printable, read_file, stored_picture

NEIGHBOURS = 10  # of the donors that are fit for an edit, those with the most similar masks are chosen from
_COMPARED = 64  # side of the masks of which the similarity is computed
_FACE = -1  # key of the edited face among the donors' records
_KIND_OF_GLASSES = dict.fromkeys(("add_reading_glasses", "add_other_glasses"), "add_glasses")


@dataclass(frozen=True, eq=False)
class MaskDonors:
    """Masks (side, side) of faces whose parts may be put on others, by the faces' names.

    Attributes:
        seed: of the choice among those that are fit; it is made anew for every face.
        trusted: one face that a person chose: it counts as smiling, whatever its mouth looks like.
    """

    masks: Mapping[str, np.ndarray]
    seed: int = 0
    trusted: bool = False

    @cached_property
    def digest(self) -> str:
        """Short hash of masks and seed."""
        found = hashlib.sha256(str((self.seed, self.trusted)).encode())
        for mask in self.masks.values():
            found.update(mask.tobytes())
        return found.hexdigest()[:8]

    @cached_property
    def _records(self) -> dict[int, FaceRecord]:
        records = [FaceRecord.of_mask(mask) for mask in self.masks.values()]
        if self.trusted:
            records = [FaceRecord(record.glasses, 1.0, record.gender) for record in records]
        return dict(enumerate(records))

    @cached_property
    def _compared(self) -> list[np.ndarray]:
        return [resized(mask, min(len(mask), _COMPARED)) for mask in self.masks.values()]

    def edited(self, edits: Sequence[str], mask: np.ndarray, face: str = "") -> tuple[np.ndarray, list[str]]:
        """The mask (side, side) after the edits that are possible, and a sentence for each that is not.

        Args:
            edits: names of automatic edits, in their order.
            face: name of the face, which gives itself no part.
        """
        random, impossible = np.random.RandomState(self.seed), []
        ranked, masks = self._ranked(mask, face), list(self.masks.values())
        for edit in edits:
            records = {**self._records, _FACE: FaceRecord.of_mask(mask)}
            kind = _KIND_OF_GLASSES.get(edit, edit)
            fit = [
                one
                for one in ranked
                if choose_donor(kind, _FACE, [one], records, np.random.RandomState(0)) is not None
                and shows_part(edit, masks[one])
            ]
            donor = choose_donor(kind, _FACE, fit[:NEIGHBOURS], records, random)
            if donor is None:
                impossible.append(f"{edit} is impossible: {_reason(kind, records[_FACE])}")
                continue
            mask = edit_mask(edit if edit in EDITS else donor.edit, mask, masks[donor.face])
        return mask, impossible

    def _ranked(self, mask: np.ndarray, face: str) -> list[int]:
        """The donors, most similar first: by the mean IoU of the masks."""
        own = torch.from_numpy(resized(mask, min(len(mask), _COMPARED)))
        scores = {
            index: mean_iou(confusion(own, torch.from_numpy(other)))
            for index, (name, other) in enumerate(zip(self.masks, self._compared, strict=True))
            if not face or name != face_name(face)
        }
        return sorted(scores, key=lambda index: -scores[index])


def read_donors(path: Path, pipeline: EditingPipeline, seed: int = 0, aligned: bool = False) -> MaskDonors:
    """The donor in a file or the donors in a folder: masks, or pictures of faces, which are parsed.

    Args:
        aligned: pictures are aligned faces: they are not searched.
    Raises:
        PhotoError: nothing there, or a file that is neither; the message names it.
    """
    photos = find_photos([str(path)]).photos if path.is_dir() else [Photo(path, Path(path.name))]
    if not photos:
        raise PhotoError("no pictures in this folder")
    masks = {}
    for photo in photos:
        try:
            masks[face_name(photo.name.with_suffix("").as_posix())] = _donor(photo.path, pipeline, aligned)
        except ValueError as error:  # also of the aligner
            raise PhotoError(f"{printable(photo.name)}: {error}" if path.is_dir() else str(error)) from None
    return MaskDonors(masks, seed, trusted=not path.is_dir())


def _donor(path: Path, pipeline: EditingPipeline, aligned: bool) -> np.ndarray:
    editor = mask_editor(pipeline.editor)
    picture = stored_picture(read_file(path))
    try:
        mask = mask_in(picture)
    except MaskError:
        if resembles_mask(picture):
            raise
    else:
        return resized(not_empty(mask), editor.mask_side)
    source = source_of(path)
    face = pipeline.faces(source.picture, "largest", aligned or source.is_aligned)[0]
    image = to_tensor(face.picture)[None].to(pipeline.domain.device)
    return not_empty(editor.mask_of(image)[0].cpu().numpy().astype(np.uint8))


def _reason(kind: str, record: FaceRecord) -> str:
    if kind == "remove_glasses" and not record.wears_glasses:
        return "the face wears no glasses"
    if kind == "add_glasses" and record.wears_glasses:
        return "the face wears glasses already"
    return "no donor is fit for it"
