"""From files to faces that can be computed."""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from models.editing.alignment import ALIGNED_ALREADY, AlignedFace, AlignerMissing, AlignmentError
from models.editing.foreign_latents import as_saved, read_codes
from models.editing.outputs import Outputs
from models.editing.pipeline import EditingPipeline
from models.editing.records import Face, Job, Settings
from models.editing.saved_latents import load_latent
from utils.images import to_tensor
from utils.paths import displayed
from utils.photos import Photo, PhotoError, decode_photo, read_file
from utils.provenance import mark_of
from utils.weights import WeightsError


class Reader:
    """Reads photos and saved latents and finds the faces, in a thread of its own beside the networks.

    Args:
        generator: fingerprint of the domain's generator, to which saved latents must belong.
    Attributes:
        stopping: set when reading is to end.
        missing: what the aligner lacks, once that is known.
    """

    def __init__(self, pipeline: EditingPipeline, outputs: Outputs, settings: Settings, generator: str) -> None:
        self.pipeline, self.outputs, self.settings, self.generator = pipeline, outputs, settings, generator
        self.stopping = threading.Event()
        self.missing = ""
        self._codes: tuple[Path, str, Tensor] | None = None  # path, digest and codes of the file read last

    def count_codes(self, photos: Sequence[Photo]) -> dict[Path, int]:
        """Number of codes in each file of another project; files that cannot be read are reported when they are."""
        counts = {}
        for photo in photos:
            if Job(photo, photo.name).is_foreign_latent:
                with contextlib.suppress(WeightsError):
                    counts[photo.path] = len(read_codes(photo.path, self.pipeline.domain))
        return counts

    def read(self, jobs: Sequence[Job]) -> None:
        """Fill in the faces of a batch, unless its results are finished; what fails is written into the entries."""
        for job in jobs:
            if self.stopping.is_set():
                return
            began = time.monotonic()
            try:
                self._read(job)
            except AlignerMissing as error:
                self.missing = str(error)
                job.fail(self.missing)
            except (PhotoError, AlignmentError) as error:
                job.fail(str(error))
            except WeightsError as error:
                job.fail(str(error).removeprefix(f"{displayed(job.photo.path)}: "))
            except (RuntimeError, MemoryError) as error:  # the face detector's
                job.fail(f"cannot be aligned: {error}")
            for entry in job.entries():
                entry["seconds"] = round((time.monotonic() - began) / len(job.entries()), 3)

    def _read(self, job: Job) -> None:
        if job.is_foreign_latent:
            self._read_code(job)
            return
        data = read_file(job.photo.path)
        job.digest = hashlib.sha256(data).hexdigest()[:16]
        self.outputs.name_photographs(job, data)
        if not self.settings.overwrite and self.outputs.kept(job):
            return
        if job.is_latent:
            face = self.outputs.face(job, 1, 1)
            face.saved = load_latent(job.photo.path, self.pipeline.domain, self.generator)
            job.faces = [face]
        else:
            job.faces = self._found(job, data)
            job.data = data if job.pasted else b""
        self._note_finished(job)

    def _read_code(self, job: Job) -> None:
        """A code out of a file of another project, which is read once for all its codes."""
        if self._codes is None or self._codes[0] != job.photo.path:
            digest = hashlib.sha256(read_file(job.photo.path)).hexdigest()[:16]
            self._codes = job.photo.path, digest, read_codes(job.photo.path, self.pipeline.domain)
        _, digest, codes = self._codes
        job.digest = f"{digest}-{job.row}"
        if not self.settings.overwrite and self.outputs.kept(job):
            return
        face = self.outputs.face(job, 1, 1)
        face.saved = as_saved(codes[job.row], self.pipeline.domain)
        job.faces = [face]
        self._note_finished(job)

    def _note_finished(self, job: Job) -> None:
        if not self.settings.overwrite:
            for face in job.faces:
                face.finished = set(self.outputs.finished(face))

    def _found(self, job: Job, data: bytes) -> list[Face]:
        """The faces of a photo, aligned."""
        picture = decode_photo(data) if job.pasted else decode_photo(data, self.pipeline.aligner.enough)
        ours = bool((mark_of(data) or {}).get("aligned"))
        found = self.pipeline.faces(picture, self.settings.choice, self.settings.aligned or ours)
        if ours:
            found = [replace(found[0], remark=ALIGNED_ALREADY)]
        faces = [_aligned(self.outputs.face(job, i, len(found)), one) for i, one in enumerate(found, start=1)]
        if self.settings.aligned and not ours:
            with contextlib.suppress(AlignerMissing):  # without it the picture is used as it is
                if doubt := self.pipeline.aligner.doubt(picture):
                    faces[0].entry["warning"] = f"given as aligned, but {doubt}"
        return faces


def _aligned(face: Face, found: AlignedFace) -> Face:
    """The face with its picture and what the aligner knows of it."""
    face.image = to_tensor(found.picture)
    names = ("box", "score", "detector", "smallest_face", "remark")
    known: dict[str, Any] = {name: getattr(found, name) for name in names}
    face.entry.update({key: value for key, value in known.items() if value})
    face.entry["frame"] = found.frame.numbers()
    return face
