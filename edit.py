#!/usr/bin/env python
"""Edit attributes of faces: a file, a folder or a pattern of pictures in, edited pictures out.

    python edit.py pretrained/avatars/samples -o output/edits                     each attribute flipped, one by one
    python edit.py PHOTOS -o OUT --set Smiling=1 --set Eyeglasses=0               both at once, in one picture
    python edit.py PHOTOS -o OUT --flip Male                                      to the other side, whichever it is
    python edit.py PHOTOS -o OUT --set Smiling=1 --sweep Young=-0.2:1.2:7         seven ages of the smiling face
    python edit.py PHOTOS -o OUT --checkpoint runs/sdflow-avatars --flip Young    with an editor of your own
    python edit.py PHOTOS -o OUT --checkpoint prior-0010000 --semantic-encoder labeldist-0010000    SDFlow's published
    python edit.py PHOTOS -o OUT --save-latents                                   then, without photos or encoder:
    python edit.py OUT/latents -o MORE --sweep Smiling=0:1:5

OUT gets faces/NAME--input.png (the aligned face), faces/NAME--inversion.png (what the generator makes of it unedited),
faces/NAME--EDIT.png, sheet.png with all of them side by side, and report.json with what was measured. Where faces are
cut out of photographs, photos/NAME--EDIT is the photograph with all its edited faces pasted back, a JPEG or PNG as it
was; the second face of a photograph is NAME--face2-EDIT. Finished pictures are kept when the command runs again. Exit
status: 0 all done, 1 some failed, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import errno
import hashlib
import io
import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from models.alignment import (
    ALIGNED_ALREADY,
    AlignedFace,
    AlignerMissing,
    AlignmentError,
    FaceChoice,
    Frame,
    build_aligner,
)
from models.editors.checkpoint import load_editor
from models.editors.requests import Request, RequestError, describe, parse_requests
from models.paste_back import PasteMode, paste_back
from models.pipeline import Edited, EditingPipeline, Inversion
from models.saved_latents import SUFFIX, SavedLatent, load_latent, save_latent
from utils.config import ConfigError
from utils.devices import DEVICE_CHOICES, pick_device
from utils.files import write_text
from utils.images import to_pillow, to_tensor
from utils.marks import mark_of, read_mark, save_marked, save_marked_photograph
from utils.output_names import NAME_LIMIT, output_names
from utils.paths import displayed
from utils.photos import (
    SUFFIXES,
    Photo,
    PhotoError,
    decode_photo,
    find_photos,
    is_jpeg,
    open_photograph,
    printable,
    read_file,
)
from utils.sheets import SheetWriter
from utils.weights import WeightsError, load_weights

INPUT, INVERSION, ALIGNED, LATENTS = "input", "inversion", "aligned", "latents"
_MEASURED = (
    *("face", "faces", "box", "score", "detector", "frame", "remark", "warning"),
    *("reconstruction_distance", "identity_of_inversion", "semantics", "semantics_of_inversion"),
)
_FULL = {errno.ENOSPC, errno.EROFS, getattr(errno, "EDQUOT", errno.ENOSPC)}


class OutputFull(OSError):
    """Nothing more can be written to the output folder."""


@dataclass(frozen=True)
class Settings:
    """How a run treats photos and results, as the command line says.

    Attributes:
        choice: which faces of a photograph are edited.
        aligned: the pictures are aligned faces already.
        paste: how edits come back into the photographs; None: they do not.
        batch_size: faces that are computed at once.
    """

    choice: FaceChoice = "all"
    aligned: bool = False
    paste: PasteMode | None = None
    keep_gps: bool = False
    save_aligned: bool = False
    save_latents: bool = False
    overwrite: bool = False
    force: bool = False
    batch_size: int = 16


@dataclass
class Face:
    """One face on its way through the run.

    Attributes:
        outputs: label → file; the labels are `input`, `inversion`, those of the requests, `aligned`, `latents`.
        finished: labels whose files are there from an earlier run.
        image: aligned face (3, S, S), while it waits to be computed.
        saved: its saved code, where no photo is given.
        entry: what the report says of it.
    """

    outputs: dict[str, Path]
    digest: str = ""
    finished: set[str] = field(default_factory=set)
    image: Tensor | None = None
    saved: SavedLatent | None = None
    entry: dict[str, Any] = field(default_factory=dict)

    def fail(self, reason: str) -> None:
        """Record why the face is not edited."""
        self.entry.update(status="failed", reason=reason)


@dataclass
class Job:
    """One input: a photo with its faces, or one saved code.

    Attributes:
        name: of its results, without suffix.
        data: bytes of the file, while edits are to be pasted into the photograph.
        pasted: label → file of the photograph with this edit.
        faces: empty until they are found.
        entry: what the report says where no face was found.
    """

    photo: Photo
    name: Path
    digest: str = ""
    data: bytes = b""
    pasted: dict[str, Path] = field(default_factory=dict)
    faces: list[Face] = field(default_factory=list)
    entry: dict[str, Any] = field(default_factory=dict)

    @property
    def is_latent(self) -> bool:
        """Whether it is a file of saved latents."""
        return self.photo.path.suffix.lower() == SUFFIX

    def entries(self) -> list[dict[str, Any]]:
        """What the report says of it: one entry a face, or one where none was found."""
        return [face.entry for face in self.faces] or [self.entry]


@dataclass
class Result:
    """What was computed of one face, by label."""

    pictures: dict[str, Image.Image]
    saved: SavedLatent
    codes: dict[str, Tensor]


def face_choice(text: str) -> FaceChoice:
    """`all`, `largest` or a number from 1."""
    if text in ("all", "largest"):
        return "all" if text == "all" else "largest"
    if text.isdecimal() and int(text) >= 1:
        return int(text)
    raise argparse.ArgumentTypeError(f"'{text}' is neither all, nor largest, nor a number from 1")


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Command line of edit.py."""
    parser = argparse.ArgumentParser(
        prog="edit.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "photos",
        nargs="+",
        metavar="PHOTOS",
        help="picture files, folders, patterns ('a/*.jpg'), or latents saved earlier",
    )
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="OUT", help="folder for the results")
    parser.add_argument(
        "--checkpoint", metavar="RUN", help="run folder or editor file (default: the shipped editor of drawn faces)"
    )
    parser.add_argument(
        "--semantic-encoder",
        metavar="FILE",
        help="for a --checkpoint that is a flow alone, as SDFlow publishes it: the semantic encoder it belongs to",
    )
    parser.add_argument(
        "--domain", metavar="CONFIG", help="domain of these two (default: FFHQ, configs/domains/ffhq.yaml)"
    )
    wanted = parser.add_argument_group(
        "what to edit", "all --set and --flip together are one edit; values may leave [0, 1]"
    )
    wanted.add_argument("--set", action="append", default=[], metavar="ATTRIBUTE=VALUE", help="1 present, 0 absent")
    wanted.add_argument("--flip", action="append", default=[], metavar="ATTRIBUTE", help="turn to the other side")
    wanted.add_argument(
        "--sweep", action="append", default=[], metavar="ATTRIBUTE=FIRST:LAST:COUNT", help="one picture for every value"
    )
    wanted.add_argument(
        "--each", action="store_true", help="flip each attribute in a picture of its own (default if nothing is asked)"
    )
    wanted.add_argument(
        "--strength", type=float, default=0.2, help="how far a flip goes beyond 0 or 1 (default: %(default)s)"
    )
    photographs = parser.add_argument_group("photographs", "for editors whose faces are cut out of photographs")
    photographs.add_argument(
        "--faces",
        type=face_choice,
        default="all",
        metavar="WHICH",
        help="all, largest, or a number: that many, the surest first (default: all)",
    )
    photographs.add_argument(
        "--detector",
        choices=("hog", "cnn"),
        help="hog: fast, the CNN where it finds nothing; cnn: also heads turned far, slow on a CPU (default: hog)",
    )
    photographs.add_argument("--aligned", action="store_true", help="the pictures are aligned faces: search for none")
    photographs.add_argument(
        "--paste",
        choices=("difference", "crop", "none"),
        help="into the photograph: what the edit changed, the edited face itself, or nothing (default: difference "
        "where faces are cut out of photographs)",
    )
    photographs.add_argument("--keep-gps", action="store_true", help="leave in the photograph where it was taken")
    photographs.add_argument(
        "--save-aligned", action="store_true", help="write the aligned faces to OUT/aligned, to be given again"
    )
    parser.add_argument("--save-latents", action="store_true", help="write the latent codes to OUT/latents")
    parser.add_argument("--batch-size", type=int, default=16, metavar="N", help="faces at once (default: %(default)s)")
    parser.add_argument("--device", default="auto", help=f"one of {', '.join(DEVICE_CHOICES)} (default: auto)")
    parser.add_argument("--overwrite", action="store_true", help="make pictures anew that are there already")
    parser.add_argument("--force", action="store_true", help="edit pictures too that are no face the editor knows")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    options = parser.parse_intermixed_args(arguments)
    if options.batch_size < 1:
        parser.error(f"argument --batch-size: {options.batch_size} is less than 1")
    return options


class EditRun:
    """Everything that one call of the command does, batch by batch; no more than two batches of photos are held.

    Args:
        metadata: the editor's, as `load_editor` gives it.
    """

    def __init__(
        self,
        pipeline: EditingPipeline,
        metadata: dict[str, Any],
        requests: Sequence[Request],
        output: Path,
        settings: Settings,
    ) -> None:
        self.pipeline, self.metadata, self.requests = pipeline, metadata, list(requests)
        self.output, self.settings = output, settings
        self.editor_hash: str = metadata["hash"]
        self.attributes = pipeline.editor.attributes
        self.stopping = threading.Event()
        self.missing = ""  # what the aligner lacks, once it is known
        self.missing_told = False
        extra = [ALIGNED] if settings.save_aligned else []
        extra += [LATENTS] if settings.save_latents else []
        self.labels = [INPUT, INVERSION, *(request.label for request in self.requests), *extra]
        self.sheet = SheetWriter(output, ["photo", "inversion", *(request.title for request in self.requests)])
        self.selection = ""  # results of another choice of faces are other results
        if pipeline.aligner.cuts_photographs:
            detector = getattr(pipeline.aligner, "detector", "")
            self.selection = "aligned" if settings.aligned else f"{settings.choice} {detector}"

    def jobs(self, photos: Sequence[Photo]) -> list[Job]:
        """The inputs with the names that their results get."""
        room = NAME_LIMIT - max(len(f"--face999-{label}{SUFFIX}") for label in self.labels)
        return [
            Job(photo, name, entry={"input": printable(photo.path), "status": "not done"})
            for photo, name in zip(photos, output_names(photos, room), strict=True)
        ]

    def _face(self, job: Job, number: int, count: int, aligned: AlignedFace | None = None) -> Face:
        """A face of an input, with the files that it will become."""
        prefix = f"face{number}-" if number > 1 else ""
        outputs = {}
        for label in self.labels:
            if job.is_latent and label in (INPUT, ALIGNED):
                continue
            folder, suffix = {ALIGNED: ("aligned", ".png"), LATENTS: ("latents", SUFFIX)}.get(label, ("faces", ".png"))
            stem = self.output / folder / job.name
            outputs[label] = stem.with_name(f"{stem.name}--{prefix}{label}{suffix}")
        face = Face(outputs, job.digest, entry={**job.entry, "face": number, "faces": count})
        if aligned is not None:
            face.image = to_tensor(aligned.picture)
            known = {"box": aligned.box, "score": aligned.score, "detector": aligned.detector, "remark": aligned.remark}
            face.entry.update({key: value for key, value in known.items() if value})
            face.entry["frame"] = aligned.frame.numbers()
        return face

    def prepare(self, jobs: Sequence[Job]) -> None:
        """Read a batch and find its faces, unless the results are there already; may run beside `process`."""
        for job in jobs:
            if self.stopping.is_set():
                return
            began = time.monotonic()
            try:
                self._prepare(job)
            except AlignerMissing as error:
                self.missing = str(error)
                self._fail(job, self.missing)
            except (PhotoError, AlignmentError) as error:
                self._fail(job, str(error))
            except WeightsError as error:
                self._fail(job, str(error).removeprefix(f"{displayed(job.photo.path)}: "))
            except (RuntimeError, MemoryError) as error:  # the face detector's
                self._fail(job, f"cannot be aligned: {error}")
            for entry in job.entries():
                entry["seconds"] = round((time.monotonic() - began) / len(job.entries()), 3)

    @staticmethod
    def _fail(job: Job, reason: str) -> None:
        job.faces, job.data = [], b""
        job.entry.update(status="failed", reason=reason)

    def _prepare(self, job: Job) -> None:
        data = read_file(job.photo.path)
        job.digest = hashlib.sha256(data).hexdigest()[:16]
        if self.settings.paste and not job.is_latent:
            suffix = ".jpg" if is_jpeg(data) else ".png"
            for label in (request.label for request in self.requests):
                stem = self.output / "photos" / job.name
                job.pasted[label] = stem.with_name(f"{stem.name}--{label}{suffix}")
        if not self.settings.overwrite and self._kept(job):
            return
        if job.is_latent:
            face = self._face(job, 1, 1)
            generator = self.metadata["fingerprints"]["generator"]
            face.saved = load_latent(job.photo.path, self.pipeline.domain, generator)
            job.faces = [face]
        else:
            job.faces = self._found(job, data)
            job.data = data if job.pasted else b""
        if not self.settings.overwrite:
            for face in job.faces:
                face.finished = set(self._finished(face))

    def _found(self, job: Job, data: bytes) -> list[Face]:
        """The faces of a photo, aligned."""
        picture = decode_photo(data) if job.pasted else decode_photo(data, self.pipeline.aligner.enough)
        ours = bool((mark_of(data) or {}).get("aligned"))
        found = self.pipeline.faces(picture, self.settings.choice, self.settings.aligned or ours)
        if ours:
            found = [replace(found[0], remark=ALIGNED_ALREADY)]
        faces = [self._face(job, number, len(found), one) for number, one in enumerate(found, start=1)]
        if self.settings.aligned and not ours and (doubt := self.pipeline.aligner.doubt(picture)):
            faces[0].entry["warning"] = doubt
        return faces

    def _kept(self, job: Job) -> bool:
        """Whether all of an input's faces are there from an earlier run; then only pasting may be left to do.

        Raises:
            PhotoError: a file of a result's name is none of this input and these options.
        """
        first = self._finished(self._face(job, 1, 1))
        self._pasted(job)
        if not first:
            return False
        count = int(next(iter(first.values()))["face"]["faces"])
        faces = [self._face(job, number, count) for number in range(1, count + 1)]
        for face in faces:
            marks = self._finished(face)
            if len(marks) < len(face.outputs):
                return False
            face.entry.update(marks[INVERSION]["face"], status="kept", outputs=self._relative(face.outputs))
            face.entry["edits"] = {request.label: marks[request.label]["edit"] for request in self.requests}
        job.faces = faces
        if len(self._pasted(job)) < len(job.pasted):
            job.data = read_file(job.photo.path)
        return True

    def _finished(self, face: Face) -> dict[str, dict[str, Any]]:
        """Records of the face's results that are there already, by label.

        Raises:
            PhotoError: a file of that name was not made from this photo by this editor.
        """
        return {
            label: self._mark(path, self._origin(face.digest, label))
            for label, path in face.outputs.items()
            if path.exists()
        }

    def _pasted(self, job: Job) -> set[str]:
        """Labels of the photographs that are there already.

        Raises:
            PhotoError: a file of that name was not made from this photo by this editor.
        """
        if self.settings.overwrite:
            return set()
        present = {label for label, path in job.pasted.items() if path.exists()}
        for label in present:
            self._mark(job.pasted[label], self._pasted_origin(job, label))
        return present

    def _origin(self, digest: str, label: str) -> dict[str, Any]:
        return {"digest": digest, "editor": self.editor_hash, "label": label, "selection": self.selection}

    def _pasted_origin(self, job: Job, label: str) -> dict[str, Any]:
        ways = {"paste": self.settings.paste, "keep_gps": self.settings.keep_gps}
        return {**self._origin(job.digest, label), **ways}

    @staticmethod
    def _mark(path: Path, origin: dict[str, Any]) -> dict[str, Any]:
        """The record of a result of this origin.

        Raises:
            PhotoError: the file has another one, or none.
        """
        try:
            mark = load_weights(path)[1] if path.suffix == SUFFIX else read_mark(path) or {}
        except WeightsError:
            mark = {}
        if {key: mark.get(key) for key in origin} != origin:
            raise PhotoError(
                f"{displayed(path)} exists and is no result of this photo, editor and options; --overwrite replaces it"
            )
        return mark

    def process(self, jobs: Sequence[Job]) -> None:
        """Edit a prepared batch; whatever goes wrong with a face is written into its entry.

        Raises:
            OutputFull: nothing more can be written.
        """
        waiting = [face for job in jobs for face in job.faces]
        for group in ([f for f in waiting if f.image is not None], [f for f in waiting if f.saved is not None]):
            for chunk in _batches(group, self.settings.batch_size):
                self._edit(chunk)
                for face in chunk:
                    face.image = face.saved = None
        for job in jobs:
            if job.data:
                self._paste(job)
                job.data = b""
            for face in job.faces:
                if face.entry["status"] in ("edited", "kept"):
                    self._show(job, face)

    def _edit(self, faces: Sequence[Face]) -> None:
        """Invert, check, edit and write aligned faces; a batch that fails as a whole is tried in halves."""
        began = time.monotonic()
        try:
            results = self._compute(faces)
        except (RuntimeError, AssertionError) as error:  # out of memory, or the solver cannot follow a face
            if len(faces) == 1:
                faces[0].fail(f"cannot be computed: {error}")
                return
            middle = len(faces) // 2
            self._edit(faces[:middle])
            self._edit(faces[middle:])
            return
        share = (time.monotonic() - began) / len(faces)
        for face, result in results:
            face.entry["seconds"] = round(face.entry["seconds"] + share, 3)
            try:
                self._write(face, result)
            except OSError as error:
                face.fail(f"cannot be written: {error.strerror or error}")
                if error.errno in _FULL:
                    raise OutputFull(error.strerror) from error

    def _inverted(self, faces: Sequence[Face]) -> Inversion:
        saved = [face.saved for face in faces if face.saved is not None]
        if saved:
            return self.pipeline.restore(saved, self.editor_hash)
        return self.pipeline.invert(torch.stack([face.image for face in faces if face.image is not None]))

    def _compute(self, faces: Sequence[Face]) -> list[tuple[Face, Result]]:
        """What comes of all faces that may be edited; fills their entries."""
        inversion = self._inverted(faces)
        for index, face in enumerate(faces):
            self._measure_inversion(face, inversion, index)
        chosen = [index for index, face in enumerate(faces) if face.entry["status"] != "failed"]
        if not chosen:
            return []
        inversion, faces = inversion.rows(chosen), [faces[index] for index in chosen]
        results = [self._result(inversion, index) for index in range(len(faces))]
        for request in self.requests:
            edited = self.pipeline.edit(inversion, request.targets)
            finite = edited.finite().tolist()
            for index, face in enumerate(faces):
                if not finite[index]:
                    face.fail(f"{request.label}: the result is no picture; choose values nearer to [0, 1]")
                    continue
                face.entry["edits"][request.label] = self._measure_edit(edited, index)
                results[index].pictures[request.label] = to_pillow(edited.picture[index])
                results[index].codes[request.label] = edited.latent[index]
        return [pair for pair in zip(faces, results, strict=True) if pair[0].entry["status"] != "failed"]

    def _result(self, inversion: Inversion, index: int) -> Result:
        """The unedited part of a face's result."""
        photo = to_pillow(inversion.image[index])
        metadata = {"domain": self.pipeline.domain.name, "fingerprints": self.metadata["fingerprints"]}
        saved = SavedLatent(
            inversion.latent[index],
            inversion.semantics[index],
            inversion.embedding[index],
            float(inversion.distance[index]),
            {**metadata, "attributes": list(self.attributes), "editor": self.editor_hash},
        )
        return Result({INPUT: photo, ALIGNED: photo, INVERSION: to_pillow(inversion.picture[index])}, saved, {})

    def _measure_inversion(self, face: Face, inversion: Inversion, index: int) -> None:
        distance = float(inversion.distance[index])
        face.entry.update(
            status="not done",
            reconstruction_distance=_rounded(distance),
            identity_of_inversion=_rounded(inversion.identity()[index]),
            semantics=self._by_name(inversion.semantics[index]),
            semantics_of_inversion=self._by_name(inversion.semantics_of_inversion[index]),
            edits={},
        )
        foreign = self.pipeline.foreign(distance)
        if foreign and not self.settings.force:
            face.fail(f"{foreign} (--force edits it all the same)")
        elif foreign:
            face.entry["warning"] = "; ".join([*filter(None, [face.entry.get("warning")]), foreign])

    def _measure_edit(self, edited: Edited, index: int) -> dict[str, Any]:
        return {
            "wanted": self._by_name(edited.wanted[index]),
            "semantics": self._by_name(edited.semantics[index]),
            "identity": _rounded(edited.identity[index]),
            "identity_to_inversion": _rounded(edited.identity_to_inversion[index]),
        }

    def _by_name(self, values: Tensor) -> dict[str, float]:
        return {name: _rounded(value) for name, value in zip(self.attributes, values, strict=True)}

    def _write(self, face: Face, result: Result) -> None:
        """Write what is not finished; each file carries what a later run needs in order to keep it."""
        measured = {key: face.entry[key] for key in _MEASURED if key in face.entry}
        aligned = "aligned, not edited"
        what = {INPUT: aligned, ALIGNED: aligned, INVERSION: "reproduced by the generator, not edited"}
        for label, path in face.outputs.items():
            if label in face.finished:
                continue
            record = {**self._origin(face.digest, label), "face": measured, "edit": face.entry["edits"].get(label)}
            if label == LATENTS:
                metadata = {**result.saved.metadata, **record, "input": face.entry["input"]}
                save_latent(path, replace(result.saved, metadata=metadata), result.codes)
            else:
                description = f"Face {what.get(label, f'edited with SDFlow: {label}')}"
                save_marked(path, result.pictures[label], description, {**record, "aligned": True})
        face.entry.update(status="edited", outputs=self._relative(face.outputs))

    def _relative(self, outputs: dict[str, Path]) -> dict[str, str]:
        return {label: printable(path.relative_to(self.output).as_posix()) for label, path in outputs.items()}

    def _paste(self, job: Job) -> None:
        """Write the photograph once for each edit, with all faces that were edited."""
        faces = [face for face in job.faces if face.entry["status"] in ("edited", "kept")]
        if not faces or self.settings.paste is None:
            return
        began = time.monotonic()
        present = self._pasted(job)
        try:
            photograph = open_photograph(job.data)
            for label, path in job.pasted.items():
                if label in present:
                    continue
                changed = replace(photograph, own=photograph.own.copy())
                for face in faces:
                    frame = Frame.of(face.entry["frame"])
                    with Image.open(face.outputs[label]) as edited, Image.open(face.outputs[INVERSION]) as inversion:
                        paste_back(changed, frame, edited, inversion, self.settings.paste)
                record = {**self._pasted_origin(job, label), "faces": len(faces)}
                description = f"Photograph with {len(faces)} face(s) edited with SDFlow: {label}"
                save_marked_photograph(path, changed, description, record, self.settings.keep_gps)
        except (OSError, PhotoError, ValueError, MemoryError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            for face in faces:
                face.fail(f"cannot be pasted back: {reason}")
            if isinstance(error, OSError) and error.errno in _FULL:
                raise OutputFull(error.strerror) from error
            return
        for face in faces:
            face.entry["photographs"] = self._relative(job.pasted)
            face.entry["seconds"] = round(face.entry["seconds"] + (time.monotonic() - began) / len(faces), 3)

    def _show(self, job: Job, face: Face) -> None:
        """Put a finished face on the sheet; its pictures are read back, so that kept ones stand there as well."""
        number = face.entry["face"]
        name = printable(job.photo.name) + (f", face {number}" if number > 1 else "")
        labels = [INVERSION if job.is_latent else INPUT, INVERSION, *(request.label for request in self.requests)]
        try:
            pictures = [Image.open(face.outputs[label]).convert("RGB") for label in labels]
            self.sheet.add(name, pictures)
        except OSError as error:
            raise OutputFull(f"the sheet cannot be written: {error.strerror or error}") from error


def _rounded(value: float | Tensor) -> float:
    return round(float(value), 5)


_Item = TypeVar("_Item")


def _batches(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _say(text: str) -> None:
    tqdm.write(f"edit.py: {text}", file=sys.stderr)


def _check_output(output: Path) -> None:
    """Find out before the work whether results can be written.

    Raises:
        RequestError: they cannot.
    """
    try:
        (output / "faces").mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output):
            pass
    except OSError as error:
        raise RequestError(f"cannot write to {displayed(output)}: {error.strerror or error}") from None


def _edit_all(run: EditRun, jobs: Sequence[Job], quiet: bool) -> str:
    """Process all inputs, the next batch being read meanwhile; returns why the run stopped early, or nothing."""
    batches = list(_batches(jobs, run.settings.batch_size))
    with tqdm(total=len(jobs), unit="photo", disable=quiet) as bar, ThreadPoolExecutor(1) as reader:
        try:
            reading = reader.submit(run.prepare, batches[0])
            for number, batch in enumerate(batches, start=1):
                reading.result()
                if number < len(batches):
                    reading = reader.submit(run.prepare, batches[number])
                run.process(batch)
                _tell_problems(run, batch)
                bar.update(len(batch))
            run.sheet.flush()
            run.sheet.remove_older()
        except KeyboardInterrupt:
            return "interrupted; the same command goes on where it stopped"
        except OSError as error:
            return f"the output folder takes no more: {error.strerror or error}"
        finally:
            run.stopping.set()
    return ""


def _tell_problems(run: EditRun, jobs: Sequence[Job]) -> None:
    """Say what failed and what to beware of; that the aligner is missing once, not for each photo."""
    for entry in (entry for job in jobs for entry in job.entries()):
        name = f"{entry['input']} (face {entry['face']})" if entry.get("faces", 1) > 1 else entry["input"]
        if entry["status"] == "failed" and entry["reason"] != run.missing:
            _say(f"{name}: {entry['reason']}")
        elif entry["status"] == "failed" and not run.missing_told:
            _say(run.missing)
            run.missing_told = True
        elif "warning" in entry:
            _say(f"{name}: warning: {entry['warning']}")


def _settings(options: argparse.Namespace, pipeline: EditingPipeline) -> Settings:
    """The options that concern a run; edits are pasted back where faces are cut out of photographs."""
    modes: dict[str, PasteMode | None] = {"difference": "difference", "crop": "crop", "none": None}
    paste = options.paste or ("difference" if pipeline.aligner.cuts_photographs else "none")
    names = ("aligned", "keep_gps", "save_aligned", "save_latents", "overwrite", "force", "batch_size")
    own = {name: getattr(options, name) for name in names}
    return Settings(choice=options.faces, paste=modes[paste], **own)


def _report(options: argparse.Namespace, run: EditRun, jobs: Sequence[Job]) -> dict[str, Any]:
    domain = run.pipeline.domain
    entries = [entry for job in jobs for entry in job.entries()]
    statuses = [entry["status"] for entry in entries]
    return {
        "editor": {key: run.metadata.get(key) for key in ("file", "hash", "method", "step")},
        "domain": domain.name,
        "reconstruction_limit": domain.reconstruction_limit,
        "device": str(domain.device),
        "edits": {r.label: {name: describe(target) for name, target in r.targets.items()} for r in run.requests},
        "strength": options.strength,
        "forced": options.force,
        "paste": run.settings.paste,
        "counts": {status: statuses.count(status) for status in sorted(set(statuses))},
        "sheets": [path.name for path in run.sheet.paths],
        "faces": entries,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0 all done, 1 some failed, 2 wrong usage."""
    sys.stdout.reconfigure(errors="backslashreplace") if isinstance(sys.stdout, io.TextIOWrapper) else None
    options = parse_arguments(arguments)
    try:
        photos, empty = find_photos(options.photos, options.output, SUFFIXES | {SUFFIX})
        if not photos:
            raise RequestError("; ".join(empty))
        only_latents = all(photo.path.suffix.lower() == SUFFIX for photo in photos)
        editor, domain, metadata = load_editor(
            options.checkpoint,
            pick_device(options.device),
            options.semantic_encoder,
            options.domain,
            without=("encoder",) if only_latents else (),
        )
        requests = parse_requests(
            editor.attributes, options.set, options.flip, options.sweep, options.strength, options.each
        )
        _check_output(options.output)
        detector = {"detector": options.detector} if options.detector else {}
        pipeline = EditingPipeline(domain, editor, build_aligner(domain, **detector))
        run = EditRun(pipeline, metadata, requests, options.output, _settings(options, pipeline))
    except (RequestError, ConfigError, WeightsError, ValueError) as error:
        print(f"edit.py: {error}", file=sys.stderr)
        return 2
    for problem in empty:
        _say(problem)
    jobs = run.jobs(photos)
    stopped = _edit_all(run, jobs, options.quiet)
    report = _report(options, run, jobs)
    try:
        write_text(options.output / "report.json", json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    except OSError as error:
        stopped = stopped or f"the report cannot be written: {error.strerror or error}"
    if stopped:
        _say(stopped)
    counts = ", ".join(f"{count} {status}" for status, count in report["counts"].items())
    files = ", ".join([*report["sheets"], "report.json"])
    print(f"{len(jobs)} photos: {counts}. Results in {displayed(options.output)}: {files}")
    done = set(report["counts"]) <= {"edited", "kept"}
    return 0 if done and not stopped and not empty else 1


if __name__ == "__main__":
    sys.exit(main())
