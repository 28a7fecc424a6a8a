"""One run of edits over photographs or saved latents, batch by batch."""

from __future__ import annotations

import errno
import time
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from PIL import Image

from models.editing.alignment import Frame
from models.editing.computing import FaceEditor
from models.editing.outputs import Outputs
from models.editing.paste_back import PasteMode, paste_back
from models.editing.reading import Reader
from models.editing.records import INPUT, INVERSION, Face, Job, Settings
from models.editing.requests.base import Request
from models.editing.studio import Studio
from utils.failures import unwritable
from utils.images import to_tensor
from utils.photos import Photo, PhotoError, open_photograph, printable
from utils.sheets import SheetWriter
from utils.weights import WeightsError

_FULL = {errno.ENOSPC, errno.EROFS, getattr(errno, "EDQUOT", errno.ENOSPC)}


class OutputFull(OSError):
    """Nothing more can be written to the output folder."""


@dataclass(frozen=True)
class Finished:
    """A batch of inputs that the run has dealt with.

    Attributes:
        problems: what failed in it and what to beware of, one line each.
    """

    jobs: Sequence[Job]
    problems: Sequence[str]


class EditRun:
    """Everything that one call of the command does; holds no more than two batches of photos.

    Args:
        folder: for the results.
    """

    def __init__(
        self,
        studio: Studio,
        requests: Sequence[Request],
        folder: Path,
        settings: Settings,
    ) -> None:
        self.studio, self.requests, self.settings = studio, list(requests), settings
        pipeline, metadata = studio.pipeline, studio.metadata
        selection, aligner = "", pipeline.aligner
        if aligner.cuts_photographs:
            smallest = getattr(aligner, "smallest_face", None)
            found = f"{settings.choice} {getattr(aligner, 'detector', '')}" + (f" {smallest}" if smallest else "")
            selection = "aligned" if settings.aligned else found
        asked = {request.label: request.described() for request in self.requests}
        self.outputs = Outputs(folder, asked, settings, metadata["hash"], selection)
        self.sheet = SheetWriter(folder, ["photo", "inversion", *(request.title for request in self.requests)])
        self._reader = Reader(pipeline, self.outputs, settings, metadata["fingerprints"]["generator"])
        self._editor = FaceEditor(pipeline, self.requests, settings, metadata)
        self._missing_told = False

    def jobs(self, photos: Sequence[Photo]) -> list[Job]:
        """The inputs with the names that their results get; each code in a file of another project is one."""
        return self.outputs.jobs(photos, self._reader.count_codes(photos))

    def finished(self, jobs: Sequence[Job]) -> Generator[Finished, None, None]:
        """Edit all inputs, the next batch being read while one is computed; each batch is given out when it is done.

        Raises:
            OutputFull: nothing more can be written.
        """
        portions = list(batches(jobs, self.settings.batch_size))
        with ThreadPoolExecutor(1) as thread:
            try:
                reading = thread.submit(self._reader.read, portions[0])
                for number, batch in enumerate(portions, start=1):
                    reading.result()
                    if number < len(portions):
                        reading = thread.submit(self._reader.read, portions[number])
                    self.process(batch)
                    yield Finished(batch, self._problems(batch))
                self.sheet.flush()
                self.sheet.remove_older()
            finally:
                self._reader.stopping.set()

    def process(self, jobs: Sequence[Job]) -> None:
        """Edit a batch that was read; whatever goes wrong with a face is written into its entry.

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
            if job.data and self.settings.paste:
                self._paste(job, self.settings.paste)
            job.data = b""
            for face in job.faces:
                if face.is_done:
                    self._show(job, face)

    def _problems(self, jobs: Sequence[Job]) -> list[str]:
        """What to tell of a batch; that the aligner is missing once in a run, not for each photo."""
        problems = []
        for entry in (entry for job in jobs for entry in job.entries()):
            name = f"{entry['input']} (face {entry['face']})" if entry.get("faces", 1) > 1 else entry["input"]
            name += f" (row {entry['row']})" if "row" in entry else ""
            if entry["status"] == "failed" and entry["reason"] == self._reader.missing:
                problems += [] if self._missing_told else [self._reader.missing]
                self._missing_told = True
            elif entry["status"] == "failed":
                problems.append(f"{name}: {entry['reason']}")
            else:
                warnings = [entry["warning"]] if "warning" in entry else []
                warnings += [edit["warning"] for edit in entry.get("edits", {}).values() if "warning" in edit][:1]
                problems += [f"{name}: warning: {warning}" for warning in warnings]
        return problems

    def _edit(self, faces: Sequence[Face]) -> None:
        """Invert, check, edit and write aligned faces; a batch that fails as a whole is tried in halves."""
        began = time.monotonic()
        try:
            results = self._editor.compute(faces)
        except (
            RuntimeError,
            AssertionError,
            FloatingPointError,
            MemoryError,
            WeightsError,
        ) as error:  # out of memory, the solver cannot follow a face, or a saved code is damaged
            if len(faces) == 1:
                faces[0].fail(str(error) if isinstance(error, WeightsError) else f"cannot be computed: {error}")
                return
            middle = len(faces) // 2
            self._edit(faces[:middle])
            self._edit(faces[middle:])
            return
        share = (time.monotonic() - began) / len(faces)
        for face, result in results:
            face.entry["seconds"] = round(face.entry["seconds"] + share, 3)
            try:
                self.outputs.write(face, result)
            except OSError as error:
                face.fail(unwritable(error, face.outputs[INVERSION]))
                if error.errno in _FULL:
                    raise OutputFull(error.errno, error.strerror, error.filename) from error
            else:
                face.entry.update(status="edited", outputs=self.outputs.relative(face.outputs))

    def _paste(self, job: Job, mode: PasteMode) -> None:
        """Write the photograph once for each edit, with all faces that were edited."""
        faces = [face for face in job.faces if face.is_done]
        if not faces:
            return
        began = time.monotonic()
        try:
            present = self.outputs.finished_photographs(job)
            photograph = open_photograph(job.data)
            for label in job.pasted:
                if label in present:
                    continue
                changed = replace(photograph, own=photograph.own.copy())
                for face in faces:
                    frame = Frame.of(face.entry["frame"])
                    with Image.open(face.outputs[label]) as edited, Image.open(face.outputs[INVERSION]) as inversion:
                        paste_back(changed, frame, edited, inversion, mode)
                self.outputs.write_photograph(job, label, changed, len(faces))
        except (OSError, PhotoError, ValueError, MemoryError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            for face in faces:
                face.fail(f"cannot be pasted back: {reason}")
            if isinstance(error, OSError) and error.errno in _FULL:
                raise OutputFull(error.errno, error.strerror, error.filename) from error
            return
        for face in faces:
            face.entry["photographs"] = self.outputs.relative(job.pasted)
            face.entry["seconds"] = round(face.entry["seconds"] + (time.monotonic() - began) / len(faces), 3)

    def _show(self, job: Job, face: Face) -> None:
        """Put a finished face on the sheet; its pictures are read back, so that kept ones are there as well."""
        number = face.entry["face"]
        name = printable(job.photo.name) + (f", face {number}" if number > 1 else "")
        labels = [INVERSION if job.is_latent else INPUT, INVERSION, *self.outputs.edits]
        try:
            pictures = [Image.open(face.outputs[label]).convert("RGB") for label in labels]
            if above := self._pictured(face, pictures[1]):
                self.sheet.add(name, above)
            self.sheet.add("" if above else name, pictures)
        except OSError as error:
            raise OutputFull(error.errno, error.strerror or str(error), error.filename or "the sheet") from error

    def _pictured(self, face: Face, inversion: Image.Image) -> list[Image.Image]:
        """What the requests change of a face, as pictures above the columns of the sheet; none where words say it."""
        pipeline, blank = self.studio.pipeline, Image.new("RGB", inversion.size, "white")
        unedited = to_tensor(inversion)[None].to(pipeline.domain.device)
        found = [request.pictured(unedited, face.name, pipeline.editor) for request in self.requests]
        first = next(filter(None, found), None)
        return [] if first is None else [blank, first[0], *(pair[1] if pair else blank for pair in found)]


_Item = TypeVar("_Item")


def batches(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    """The items in portions of this size; the last one may be smaller."""
    return (items[start : start + size] for start in range(0, len(items), size))
