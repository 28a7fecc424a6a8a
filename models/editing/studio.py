"""Editing faces from Python: pictures in, faces, edits and edited photographs out.

    >>> studio = Studio.open()                                                  # the shipped editor of drawn faces
    >>> [face] = studio.find("pretrained/avatars/samples/face-01.png")
    >>> edit = face.edit(Smiling=1, Young=0.2)
    >>> edit.picture.size, edit.attributes["Smiling"] > 0.5, edit.identity > 0.5
    ((64, 64), True, True)

Everything here may be called from several threads at once, after `Studio.prepare()` was called in one of them. The
results are views of tensors and pictures that no method changes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias, get_args

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from models.domain import PARTS
from models.editing.aligners import searching_aligner
from models.editing.alignment import AlignedFace, AlignmentError, Frame
from models.editing.asked import Asked, request_of
from models.editing.face_alignment import Detector
from models.editing.face_choice import FaceChoice, check_face_choice
from models.editing.given_masks import AnyMask
from models.editing.inversion import Edited, Inversion
from models.editing.measures import measured_edit, measured_inversion
from models.editing.paste_back import PasteMode, paste_back
from models.editing.pipeline import EditingPipeline
from models.editing.requests.attributes import sweep_values
from models.editing.requests.base import Request, RequestError
from models.editing.sources import AnyPicture, Source, source_of
from models.editing.wanted import Wanted, number_of
from models.editors.base import AttributeEditor
from models.editors.loading import load_editor
from utils.devices import pick_device
from utils.images import to_pillow, to_tensor
from utils.options import PRECISIONS, Precision
from utils.provenance import save_marked

Style = tuple["Face | AnyPicture", float]  # whose, and how far towards it
Identity: TypeAlias = "Face | AnyPicture | tuple[Face | AnyPicture, float]"  # whose, and how far


class ForeignFace(AlignmentError):
    """The picture does not look like a face of the editor's domain; `force=True` edits it anyway."""


class Studio:
    """An editor with everything that it needs to edit pictures.

    Args:
        pipeline: domain, editor and aligner.
        metadata: the editor's, see `load_editor`.
        batch_size: faces that are computed at once.
    """

    def __init__(self, pipeline: EditingPipeline, metadata: Mapping[str, Any], batch_size: int = 16) -> None:
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"batch_size: must be a whole number from 1, not {batch_size!r:.60}")
        self.pipeline, self.metadata, self.batch_size = pipeline, dict(metadata), batch_size

    @classmethod
    def open(
        cls,
        checkpoint: str | Path | None = None,
        *,
        semantic_encoder: str | Path | None = None,
        mapper: str | Path | None = None,
        domain: str | Path | None = None,
        device: str = "auto",
        precision: Precision | None = None,
        detector: Detector | None = None,
        smallest_face: int | None = None,
        batch_size: int = 16,
        without: Collection[str] = (),
        weights: str | Path | None = None,
    ) -> Studio:
        """The studio of an editor; the arguments are the options of edit.py.

            >>> Studio.open(device="cpu").requests
            ('attributes',)

        Args:
            checkpoint: run folder, editor file or `hf:OWNER/NAME[/FILE][@REVISION]`; by default the shipped editor of
                drawn faces.
            semantic_encoder, domain: for a checkpoint that is a flow alone, as SDFlow publishes it.
            mapper: for one that is a swap encoder alone; by default the one beside it.
            device: `auto`, `cuda`, `cuda:1`, `cpu` or `mps`.
            precision: of generator and encoder; by default the domain's.
            detector: that searches photographs for faces; by default the domain's.
            smallest_face: height in pixels of the smallest face to search for.
            without: parts of the domain that will not be used: their files need not be there.
            weights: folder of the domain's weight files.
        Raises:
            WeightsError: missing or damaged file, or one of another domain.
            ValueError: an argument that does not fit, among them a detector where pictures are not searched.
        """
        places = {
            "checkpoint": checkpoint, "semantic_encoder": semantic_encoder, "mapper": mapper, "domain": domain,
            "weights": weights,
        }  # fmt: skip
        for name, place in places.items():
            _check_type(name, place, (str, Path, type(None)), "the name of a file or folder")
        _check_type("device", device, str, "the name of a device")
        if not isinstance(without, list | tuple | set | frozenset) or not set(without) <= set(PARTS):
            raise ValueError(f"without: must be a collection of {', '.join(PARTS)}, not {without!r:.60}")
        editor, built, metadata = load_editor(
            checkpoint, pick_device(device), semantic_encoder, domain, without, weights, mapper
        )
        if precision not in (None, *PRECISIONS):
            raise ValueError(f"precision: must be one of {', '.join(PRECISIONS)}, not {precision!r:.60}")
        built.precision = precision or built.precision
        aligner = searching_aligner(built, detector=detector, smallest_face=smallest_face)
        return cls(EditingPipeline(built, editor, aligner), metadata, batch_size)

    @property
    def requests(self) -> tuple[str, ...]:
        """Kinds of request that the editor takes, see `models.editing.requests`."""
        return self.pipeline.editor.requests

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of the attributes that can be edited; none where the editor's condition is something else."""
        editor = self.pipeline.editor
        return editor.attributes if isinstance(editor, AttributeEditor) else ()

    def prepare(self) -> None:
        """Load and build now what is otherwise loaded at the first edit: before several threads share the studio, or
        before somebody waits. Takes as long as the edit of one face."""
        side = self.pipeline.domain.image_side
        with torch.no_grad():
            inversion = self.pipeline.invert(torch.zeros(1, 3, side, side))
            picture = self.pipeline.domain.synthesise_full(inversion.latent)
            editor = self.pipeline.editor
            editor.move(inversion.rest, inversion.condition, inversion.condition)
            editor.read(inversion.latent, self.pipeline.domain.resized(picture))

    def find(self, picture: AnyPicture, faces: FaceChoice = "all", aligned: bool = False) -> list[Face]:
        """The faces of a picture, highest score first; they are inverted together when they are first needed.

            >>> import numpy as np
            >>> noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
            >>> Studio.open().find(noise)[0].foreign
            'does not look like a face of this domain: ...'

        Args:
            picture: file, bytes of a file, Pillow picture, array (H, W[, 3 or 4]) or tensor (3, H, W) in [−1, 1].
            faces: `all`, `largest`, a number (so many), or `Only(number)`.
            aligned: the picture is an aligned face: it is not searched.
        Raises:
            PhotoError: the picture cannot be read.
            AlignmentError: it is too small or shows no face.
            ValueError: `faces` is none of these.
        """
        check_face_choice(faces)
        aligner = self.pipeline.aligner
        source = source_of(picture, 1 << 30 if aligner.cuts_photographs else aligner.enough)
        found = self.pipeline.faces(source.picture, faces, aligned or source.is_aligned)
        return [Face(self, source, one, number) for number, one in enumerate(found, start=1)]

    def invert(self, faces: Sequence[Face]) -> None:
        """Invert those faces that are not inverted yet, in batches: faster than one by one."""
        _check_type("faces", faces, (list, tuple), "a list of faces, as find gives them")
        for face in faces:
            self._check_own("faces", face, "a list of faces, as find gives them")
        for chunk in _chunks([face for face in faces if face._inverted is None], self.batch_size):
            inversion = self.pipeline.invert(torch.stack([to_tensor(face.picture) for face in chunk]))
            for index, face in enumerate(chunk):
                face._inverted = inversion.rows([index])

    def _check_own(self, name: str, face: object, wanted: str) -> None:
        """Refuse what is no face, and a face that a studio with another editor found.

        Raises:
            RequestError: saying what it should be.
        """
        _check_type(name, face, Face, wanted)
        if isinstance(face, Face) and face.studio.pipeline is not self.pipeline:
            raise RequestError(f"{name}: this face was found by another studio; find it with this one")

    def edit(
        self,
        faces: Sequence[Face],
        asked: Asked | None = None,
        /,
        *,
        mask: AnyMask | None = None,
        style: Style | None = None,
        identity: Identity | None = None,
        force: bool = False,
        **targets: Wanted,
    ) -> list[Edit]:
        """The same edit of several faces, in batches.

            >>> studio = Studio.open()
            >>> faces = [face for n in (1, 2) for face in studio.find(f"pretrained/avatars/samples/face-0{n}.png")]
            >>> [round(edit.wanted["Smiling"]) for edit in studio.edit(faces, Smiling=1)]
            [1, 1]

        Args:
            asked: a request, or attribute → what is wanted of it.
            mask: that the faces get, of editors of masks: a file, a Pillow picture, or an array (H, H) of class
                numbers or (H, H, 3) of their colours; nearest pixels are taken where the editor's masks have another
                side.
            style: a face or a picture, and how far to go towards its style, 0 to 1.5; of editors of masks. With a mask
                it is one edit of both.
            identity: whose the faces get, of editors of identities: a face, a picture, or "random:SEED" for one that
                nobody has; or a pair of it and how far to go there, 0 to 1.
            force: edit pictures that do not look like faces of this domain.
            targets: attribute → value (0 absent, 1 present, may leave [0, 1]), "flip" or a target.
        Raises:
            ForeignFace: a picture does not look like a face of this domain.
            RequestError: nothing is asked for, or something that the editor does not take.
            PhotoError: the mask or the other picture cannot be used.
        """
        request = self.request(asked, mask=mask, style=style, identity=identity, **targets)
        self.invert(faces)
        if not force and (foreign := next((face.foreign for face in faces if face.foreign), None)):
            raise ForeignFace(foreign)
        edits = []
        for chunk in _chunks(faces, self.batch_size):
            try:
                edited = self.pipeline.edit(Inversion.joined([face.inverted for face in chunk]), request)
            except FloatingPointError as error:  # of a flow's solver
                raise RequestError(f"{request.label}: {error}; choose a target nearer to the face") from None
            edits += [Edit(face, request, edited.row(index)) for index, face in enumerate(chunk)]
        for edit in edits:
            if failure := edit.result.failure(0):
                raise RequestError(f"{request.label}: {failure}")
        return edits

    def request(
        self,
        asked: Asked | None = None,
        /,
        *,
        mask: AnyMask | None = None,
        style: Style | None = None,
        identity: Identity | None = None,
        **targets: Wanted,
    ) -> Request:
        """The request that the arguments of `edit` stand for.

        Raises:
            RequestError: nothing is asked for, or something that the editor does not take.
            PhotoError: the mask or the other picture cannot be used.
        """
        others = {"mask": mask, "style": style, "identity": identity}
        return request_of(self.pipeline, asked, targets, others, self._given_face)

    def _given_face(self, name: str, given: Any) -> Inversion:
        """The inversion of a face that a keyword is given: one of this studio, or the largest in a picture."""
        if isinstance(given, Face):
            self._check_own(name, given, "a face or a picture")
            return given.inverted
        return self.find(given, "largest")[0].inverted


@dataclass(eq=False)
class Face:
    """One face of a picture.

    Attributes:
        source: the picture.
        found: where the face lies, and the aligned square.
        number: among those found, from 1.
    """

    studio: Studio
    source: Source
    found: AlignedFace
    number: int = 1
    _inverted: Inversion | None = field(default=None, repr=False)

    @property
    def picture(self) -> Image.Image:
        """The aligned face, S × S."""
        return self.found.picture

    @property
    def frame(self) -> Frame:
        """Where the aligned square lies in the picture, rounded as in reports: pasting agrees with edit.py's."""
        return Frame.of(self.found.frame.numbers())

    @property
    def inverted(self) -> Inversion:
        """Its code and what is known of it, with one row."""
        if self._inverted is None:
            self.studio.invert([self])
        assert self._inverted is not None
        return self._inverted

    @cached_property
    def inversion(self) -> Image.Image:
        """What the generator makes of the face unedited, R × R."""
        return to_pillow(self.inverted.picture[0])

    @property
    def attributes(self) -> dict[str, float]:
        """What the editor estimates from the picture, by name: 0 absent, 1 present."""
        return self.studio.pipeline.editor.named(self.inverted.condition[0])

    @property
    def attributes_of_inversion(self) -> dict[str, float]:
        """The same from the inversion, to which edits are compared: what the inversion misses is no edit's fault."""
        return self.studio.pipeline.editor.named(self.inverted.condition_of_inversion[0])

    @cached_property
    def mask(self) -> np.ndarray:
        """The class (H, H) uint8 of each pixel of the inversion, see `models.parsing.palette`; edits of a mask begin
        with it.

            >>> studio = Studio.open(domain="configs/domains/avatars.yaml")
            >>> [face] = studio.find("pretrained/avatars/samples/face-02.png")
            >>> face.mask.shape, face.mask.dtype
            ((64, 64), dtype('uint8'))

        Raises:
            ConfigError, WeightsError: the domain has no face parser.
        """
        return _class_numbers(self.studio, self.inverted.picture)

    @property
    def foreign(self) -> str | None:
        """Why this does not look like a face of the editor's domain; None if it does."""
        return self.studio.pipeline.foreign(float(self.inverted.distance[0]))

    @property
    def identity(self) -> float:
        """Cosine between the identity embeddings of face and inversion."""
        return float(self.inverted.identity()[0])

    def edit(
        self,
        asked: Asked | None = None,
        /,
        *,
        mask: AnyMask | None = None,
        style: Style | None = None,
        identity: Identity | None = None,
        force: bool = False,
        **targets: Wanted,
    ) -> Edit:
        """The face with other attributes, or with another mask, style or identity, see `Studio.edit`.

            >>> [face] = Studio.open().find("pretrained/avatars/samples/face-02.png")
            >>> edit = face.edit({"Smiling": "flip"}, Young=1)
            >>> edit.request.label
            'Smiling=flip0.2,Young=1'
        """
        return self.studio.edit([self], asked, mask=mask, style=style, identity=identity, force=force, **targets)[0]

    def sweep(
        self,
        attribute: str,
        first: float = -0.2,
        last: float = 1.2,
        count: int = 7,
        *,
        force: bool = False,
        **targets: Wanted,
    ) -> list[Edit]:
        """Edits in which one attribute goes from a value to another in equal steps.

            >>> [face] = Studio.open().find("pretrained/avatars/samples/face-01.png")
            >>> [edit.wanted["Smiling"] for edit in face.sweep("Smiling", 0, 1, 3)]
            [0.0, 0.5, 1.0]

        Args:
            count: number of edits, 2 or more.
            targets: the same in all of them.
        """
        _check_type("attribute", attribute, str, "a name")
        values = sweep_values(number_of("first", first), number_of("last", last), count)
        if attribute in targets:
            raise RequestError(f"attribute '{attribute}' is swept and set at once; choose one")
        return [self.edit({**targets, attribute: value}, force=force) for value in values]


@dataclass(eq=False)
class Edit:
    """An edited face.

    Attributes:
        face: unedited.
        request: what was asked for.
        result: what was computed, with one row.
    """

    face: Face
    request: Request
    result: Edited

    @cached_property
    def picture(self) -> Image.Image:
        """The edited face, R × R with the generator's side R."""
        return to_pillow(self.result.picture[0])

    @cached_property
    def photograph(self) -> Image.Image:
        """The whole photograph with the edit pasted back, upright, at full size; as `pasted()`."""
        return self.pasted()

    def pasted(self, mode: PasteMode = "difference") -> Image.Image:
        """The whole photograph with the edit pasted back; computed at each call.

        Args:
            mode: `difference` adds the change between inversion and edit, `crop` puts the edited face over it.
        """
        if mode not in get_args(PasteMode):
            raise ValueError(f"mode: must be one of {', '.join(get_args(PasteMode))}, not {mode!r:.60}")
        photograph = self.face.source.photograph()
        photograph = replace(photograph, own=photograph.own.copy())
        paste_back(photograph, self.face.frame, self.picture, self.face.inversion, mode)
        return photograph.own

    @property
    def latent(self) -> Tensor:
        """The edited code (L, D)."""
        return self.result.latent[0]

    @property
    def wanted(self) -> dict[str, float]:
        """The attribute values that were asked for, by name; of attributes without a target the estimates."""
        return self.face.studio.pipeline.editor.named(self.result.target[0])

    @property
    def attributes(self) -> dict[str, float]:
        """What the editor estimates from the edited picture, by name."""
        return self.face.studio.pipeline.editor.named(self.result.condition[0])

    @cached_property
    def mask(self) -> np.ndarray:
        """The class (H, H) uint8 of each pixel of the edited face, as `Face.mask`."""
        return _class_numbers(self.face.studio, self.result.picture)

    @property
    def moved(self) -> dict[str, float]:
        """Change of each attribute without a target, from the inversion to the edit: what else moved."""
        asked = self.request.described()
        before = self.face.attributes_of_inversion
        return {name: value - before[name] for name, value in self.attributes.items() if name not in asked}

    @property
    def identity(self) -> float:
        """Cosine between the identity embeddings of the edited face and the photograph's."""
        return float(self.result.identity[0])

    def identity_to(self, other: Face) -> float:
        """Cosine between the identity embeddings of the edited face and of another face's photograph."""
        self.face.studio._check_own("other", other, "a face")
        return float((self.result.embedding * other.inverted.embedding).sum())

    def save(self, path: str | Path) -> None:
        """Write the edited face as PNG that states how it was edited.

        Raises:
            OSError: it cannot be written.
        """
        _check_type("path", path, (str, Path), "the name of a file")
        studio, editor = self.face.studio, self.face.studio.pipeline.editor
        record = {
            "editor": studio.metadata["hash"],
            "label": self.request.label,
            "asked": self.request.described(),
            "face": measured_inversion(self.face.inverted, 0, editor),
            "edit": measured_edit(self.result, 0, editor, self.request),
            "aligned": True,
        }
        save_marked(Path(path), self.picture, f"Face edited with SDFlow: {self.request.label}", record)


def _class_numbers(studio: Studio, picture: Tensor) -> np.ndarray:
    mask: np.ndarray = studio.pipeline.masks(picture)[0].cpu().numpy().astype(np.uint8)
    return mask


def _check_type(name: str, value: object, kind: type | tuple[type, ...], wanted: str) -> None:
    """Refuse an argument that is of none of these types.

    Raises:
        RequestError: saying what it should be.
    """
    if not isinstance(value, kind):
        raise RequestError(f"{name}: must be {wanted}, not {value!r:.60}")


def _chunks(faces: Sequence[Face], size: int) -> Iterator[Sequence[Face]]:
    return (faces[start : start + size] for start in range(0, len(faces), size))
