"""Requests for masks: `--mask` and `--mask-edit`, with `--donors` or `--donor`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from models.editing.requests.base import Goal, Request, RequestError, as_label, as_name
from models.editing.requests.kind import RequestKind
from utils.options import not_empty

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image
    from torch import Tensor

    from models.editing.given_masks import GivenMasks
    from models.editing.inversion import Inversion
    from models.editing.mask_donors import MaskDonors
    from models.editing.pipeline import EditingPipeline
    from models.editors.base import Editor

EDITS = (
    "smile", "nose", "brows", "hair", "remove_glasses", "add_glasses", "add_reading_glasses", "add_other_glasses",
)  # fmt: skip
_SHOWN = 128  # smallest side of a mask on a sheet


@dataclass(frozen=True)
class MaskRequest(Request):
    """Another mask for each face: one that is given, or the face's own, and automatic edits of it.

    The face's own mask is that of the generator's picture.

    Attributes:
        given: masks in place of the faces' own.
        edits: names of automatic edits, in their order; those that are impossible for a face are left out and told.
        donors: whose parts the edits take.
    """

    given: GivenMasks | None = None
    edits: tuple[str, ...] = ()
    donors: MaskDonors | None = None

    @property
    def label(self) -> str:  # type: ignore[override]
        parts = []
        if self.given is not None:
            parts.append("-".join(filter(None, ("mask", as_name(self.given.name), self.given.digest))))
        if self.donors is not None:
            parts.append(f"{'+'.join(self.edits)}-{self.donors.digest}")
        return as_label(",".join(parts))

    @property
    def title(self) -> str:
        given = [f"mask {self.given.name}".rstrip()] if self.given is not None else []
        return ",".join([*given, *self.edits])

    def described(self) -> dict[str, str]:
        given = {"mask": self.given.name or self.given.digest} if self.given is not None else {}
        return given | ({"mask edits": ", ".join(self.edits)} if self.edits else {})

    def resolve(self, faces: Inversion, editor: Editor) -> Goal:
        import torch

        from models.editors.base import mask_editor
        from utils.photos import PhotoError

        parser = mask_editor(editor)
        masks = parser.mask_of(faces.picture)
        failures, remarks = [""] * len(faces), [""] * len(faces)
        for index, name in enumerate(faces.names):
            try:
                mask, impossible = self.target(masks[index], name)
            except PhotoError as error:
                failures[index] = str(error)
                continue
            remarks[index] = "; ".join(impossible)
            masks[index] = torch.from_numpy(mask).to(masks)
        return Goal(faces.rest, parser.condition_of(masks), failures, remarks)

    def pictured(self, unedited: Tensor, face: str, editor: Editor) -> tuple[Image.Image, Image.Image]:
        import torch

        from models.editors.base import mask_editor
        from models.parsing.masks import enlarged

        own = mask_editor(editor).mask_of(unedited)[0]
        return enlarged(own, _SHOWN), enlarged(torch.from_numpy(self.target(own, face)[0]), _SHOWN)

    def target(self, own: Tensor, face: str) -> tuple[np.ndarray, list[str]]:
        """The mask (side, side) uint8 that a face with this mask gets, and a sentence for each edit that is impossible.

        Raises:
            PhotoError: it has no given mask that can be used.
        """
        mask = self.given.of(face) if self.given is not None else own.cpu().numpy().astype("uint8")
        return (mask, []) if self.donors is None else self.donors.edited(self.edits, mask, face)


class MaskRequests(RequestKind):
    """Masks for faces; all options together are one edit."""

    name: ClassVar[str] = "mask"
    title: ClassVar[str] = "mask requests"
    joins: ClassVar[bool] = True

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        group = parser.add_argument_group(
            "masks",
            "for editors of face masks; all of these together are one edit, with --style as well; the sheet shows them",
        )
        group.add_argument(
            "--mask",
            type=not_empty,
            metavar="FILE|FOLDER",
            help="the mask that the faces get: a picture of class numbers or of their colours, of any size; in a "
            "folder the one with the photo's name, such as those of --save-masks",
        )
        group.add_argument(
            "--mask-edit",
            action="append",
            default=[],
            choices=EDITS,
            metavar="NAME",
            help=f"put a part of a donor's mask on the face's: {', '.join(EDITS)}; may be given several times",
        )
        group.add_argument(
            "--mask-steps",
            action="store_true",
            help="an edit for each step on the way: the first --mask-edit, the first two, and so on",
        )
        group.add_argument(
            "--donors",
            type=not_empty,
            metavar="FOLDER",
            help="masks or pictures of faces: one of the ten most similar that are fit is chosen for each face",
        )
        group.add_argument("--donor", type=not_empty, metavar="FILE", help="mask or picture of one face to take from")
        group.add_argument(
            "--donor-seed", type=int, default=0, metavar="N", help="of the choice among donors (default: %(default)s)"
        )

    def parse(self, options: argparse.Namespace, pipeline: EditingPipeline) -> Sequence[MaskRequest]:
        if options.donors is not None and options.donor is not None:
            raise RequestError("--donors and --donor at once; choose one")
        option, place = ("--donor", options.donor) if options.donor is not None else ("--donors", options.donors)
        if options.mask_edit and place is None:
            raise RequestError(
                f"--mask-edit {options.mask_edit[0]}: --donors FOLDER or --donor FILE must say whose part is taken"
            )
        if place is not None and not options.mask_edit:
            raise RequestError(f"{option}: --mask-edit must say what is taken: {', '.join(EDITS)}")
        if options.mask_steps and len(options.mask_edit) < 2:
            raise RequestError("--mask-steps: are those between several --mask-edit, and there are none")
        if not 0 <= options.donor_seed < 1 << 32:
            raise RequestError(f"--donor-seed {options.donor_seed}: must be a whole number from 0 to {(1 << 32) - 1}")
        if options.donor_seed and options.donors is None:
            raise RequestError("--donor-seed: is of the choice among --donors, and none are given")
        if options.mask is None and place is None:
            return []
        given = None if options.mask is None else _given_masks(Path(options.mask), pipeline)
        donors = None if place is None else _donors(option, Path(place), options, pipeline)
        edits = tuple(options.mask_edit)
        steps = range(1, len(edits) + 1) if options.mask_steps else (len(edits),)
        return [MaskRequest(given, edits[:step], donors) for step in steps]

    def settings(self, options: argparse.Namespace) -> dict[str, Any]:
        places = {"mask": options.mask, "donors": options.donors, "donor": options.donor}
        named = {name: place for name, place in places.items() if place is not None}
        seed = {"donor_seed": options.donor_seed} if options.donors is not None else {}
        return named | seed | ({"mask_steps": True} if options.mask_steps else {})


KIND = MaskRequests()


def _given_masks(place: Path, pipeline: EditingPipeline) -> GivenMasks:
    from models.editing.given_masks import MaskFolder, OneMask
    from models.editors.base import mask_editor
    from utils.photos import PhotoError

    side = mask_editor(pipeline.editor).mask_side
    try:
        return MaskFolder.read(place, side) if place.is_dir() else OneMask.read(place, side)
    except PhotoError as error:
        raise RequestError(f"--mask {place}: {error}") from None


def _donors(option: str, place: Path, options: argparse.Namespace, pipeline: EditingPipeline) -> MaskDonors:
    from models.editing.mask_donors import read_donors
    from utils.photos import PhotoError

    if option == "--donors" and not place.is_dir():
        raise RequestError(f"--donors {place}: this is no folder; --donor FILE takes a part of one face")
    if option == "--donor" and place.is_dir():
        raise RequestError(f"--donor {place}: this is a folder; --donors FOLDER chooses among its faces")
    try:
        return read_donors(place, pipeline, options.donor_seed, options.aligned)
    except PhotoError as error:
        raise RequestError(f"{option} {place}: {error}") from None
