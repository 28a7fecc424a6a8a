"""One run of edits over photographs or saved latents, batch by batch."""

from __future__ import annotations

import errno
import hashlib
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from PIL import Image
from torch import Tensor

from models.editing.alignment import ALIGNED_ALREADY, AlignedFace, AlignerMissing, AlignmentError, Frame
from models.editing.paste_back import paste_back
from models.editing.pipeline import Edited, EditingPipeline, Inversion
from models.editing.records import ALIGNED, INPUT, INVERSION, LATENTS, Face, Job, Result, Settings
from models.editing.requests import Request
from models.editing.saved_latents import SUFFIX, SavedLatent, load_latent, save_latent
from utils.images import to_pillow, to_tensor
from utils.output_names import NAME_LIMIT, output_names
from utils.paths import displayed
from utils.photos import Photo, PhotoError, decode_photo, is_jpeg, open_photograph, printable, read_file
from utils.provenance import mark_of, read_mark, save_marked, save_marked_photograph
from utils.sheets import SheetWriter
from utils.weights import WeightsError, load_weights

_MEASURED = (
    *("face", "faces", "box", "score", "detector", "frame", "remark", "warning"),
    *("reconstruction_distance", "identity_of_inversion", "semantics", "semantics_of_inversion"),
)
_FULL = {errno.ENOSPC, errno.EROFS, getattr(errno, "EDQUOT", errno.ENOSPC)}


class OutputFull(OSError):
    """Nothing more can be written to the output folder."""


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
            for chunk in batches(group, self.settings.batch_size):
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
        saved = self._latent(inversion, index) if self.settings.save_latents else None
        return Result({INPUT: photo, ALIGNED: photo, INVERSION: to_pillow(inversion.picture[index])}, saved)

    def _latent(self, inversion: Inversion, index: int) -> SavedLatent:
        metadata = {"domain": self.pipeline.domain.name, "fingerprints": self.metadata["fingerprints"]}
        return SavedLatent(
            inversion.latent[index],
            inversion.semantics[index],
            inversion.embedding[index],
            float(inversion.distance[index]),
            {**metadata, "attributes": list(self.attributes), "editor": self.editor_hash},
        )

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
            if result.saved is not None and label == LATENTS:
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
        try:
            present = self._pasted(job)
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


def batches(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    """The items in portions of this size; the last one may be smaller."""
    return (items[start : start + size] for start in range(0, len(items), size))
