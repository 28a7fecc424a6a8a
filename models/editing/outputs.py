"""Files that a run of edits writes: their names, which are finished, and where each says that it comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from models.editing.records import ALIGNED, INPUT, INVERSION, LATENTS, MASK, Face, Job, Result, Settings
from models.editing.saved_latents import SUFFIX, save_latent
from utils.output_names import NAME_LIMIT, output_names
from utils.paths import displayed
from utils.photos import Photo, PhotoError, Photograph, is_jpeg, printable, read_file
from utils.provenance import read_mark, save_marked, save_marked_photograph
from utils.weights import WeightsError, load_weights

_UNEDITED = {
    INPUT: "aligned, not edited",
    ALIGNED: "aligned, not edited",
    INVERSION: "reproduced by the generator, not edited",
    MASK: "classes of the unedited face's pixels, to be painted in",
}
FOLDERS = ("faces", "photos", "aligned", "latents", "masks")  # of the results
_PLACES = {ALIGNED: ("aligned", ".png"), LATENTS: ("latents", SUFFIX), MASK: ("masks", ".png")}  # the others: faces
_OF_THE_RUN = {"input", "row", "status", "seconds", "edits"}  # entries of the report that a face's files do not repeat


class Outputs:
    """The files of a run. Each carries a record of its origin, by which a later run recognises it as finished.

    Args:
        folder: for all results.
        edits: label → description of each request, see `Request.described`.
        editor_hash: of the editor's file, see `load_editor`.
        selection: how faces are chosen in photographs; another choice gives other results.
    """

    def __init__(
        self,
        folder: Path,
        edits: Mapping[str, Mapping[str, str]],
        settings: Settings,
        editor_hash: str,
        selection: str,
    ) -> None:
        self.folder, self.edits, self.settings = folder, list(edits), settings
        self._asked = dict(edits)
        self.editor_hash, self.selection = editor_hash, selection
        extra = [ALIGNED] if settings.save_aligned else []
        extra += [LATENTS] if settings.save_latents else []
        extra += [MASK] if settings.save_masks else []
        self.labels = [INPUT, INVERSION, *self.edits, *extra]

    def jobs(self, photos: Sequence[Photo], codes: Mapping[Path, int]) -> list[Job]:
        """The inputs with the names that their results get.

        Args:
            codes: number of codes in each file of another project; each is an input of its own.
        """
        room = NAME_LIMIT - max(len(f"--face999-{label}{SUFFIX}") for label in self.labels)
        parts = [(photo, row, codes.get(photo.path, 1)) for photo in photos for row in range(codes.get(photo.path, 1))]
        named = [Photo(photo.path, _numbered(photo.name, row, count)) for photo, row, count in parts]
        jobs = []
        for (photo, row, count), name in zip(parts, output_names(named, room), strict=True):
            entry = {"input": printable(photo.path), "status": "not done", **({"row": row + 1} if count > 1 else {})}
            jobs.append(Job(photo, name, row, entry=entry))
        return jobs

    def face(self, job: Job, number: int, count: int) -> Face:
        """A face of an input (number from 1, of so many) with the files that it will become."""
        prefix = f"face{number}-" if number > 1 else ""
        outputs = {}
        for label in self.labels:
            if job.is_latent and label in (INPUT, ALIGNED):
                continue
            folder, suffix = _PLACES.get(label, ("faces", ".png"))
            stem = self.folder / folder / job.name
            outputs[label] = stem.with_name(f"{stem.name}--{prefix}{label}{suffix}")
        name = job.name.as_posix() + (f"--face{number}" if number > 1 else "")
        return Face(name, outputs, job.digest, entry={**job.entry, "face": number, "faces": count})

    def name_photographs(self, job: Job, data: bytes) -> None:
        """Fill in the photographs that an input with these bytes will become, if edits are pasted back."""
        if self.settings.paste and not job.is_latent:
            suffix = ".jpg" if is_jpeg(data) else ".png"
            stem = self.folder / "photos" / job.name
            job.pasted = {label: stem.with_name(f"{stem.name}--{label}{suffix}") for label in self.edits}

    def relative(self, paths: Mapping[str, Path]) -> dict[str, str]:
        """Paths below the folder, for the report."""
        return {label: printable(path.relative_to(self.folder).as_posix()) for label, path in paths.items()}

    def kept(self, job: Job) -> bool:
        """Whether all faces of an input are finished; if so they are filled in, and only pasting may be left to do.

        Raises:
            PhotoError: a file with the name of a result has another origin.
        """
        first = self.finished(self.face(job, 1, 1))
        self.finished_photographs(job)
        if not first:
            return False
        count = int(next(iter(first.values()))["face"]["faces"])
        faces = [self.face(job, number, count) for number in range(1, count + 1)]
        for face in faces:
            records = self.finished(face)
            if len(records) < len(face.outputs):
                return False
            face.entry.update(records[INVERSION]["face"], status="kept", outputs=self.relative(face.outputs))
            face.entry["edits"] = {label: records[label]["edit"] for label in self.edits}
        job.faces = faces
        if len(self.finished_photographs(job)) < len(job.pasted):
            job.data = read_file(job.photo.path)
        return True

    def finished(self, face: Face) -> dict[str, dict[str, Any]]:
        """Records of the face's results that exist, by label.

        Raises:
            PhotoError: a file of that name has another origin.
        """
        return {
            label: _record(path, self._origin(face.digest, label))
            for label, path in face.outputs.items()
            if path.exists()
        }

    def finished_photographs(self, job: Job) -> set[str]:
        """Labels of the photographs that exist and are not to be recomputed.

        Raises:
            PhotoError: a file of that name has another origin.
        """
        if self.settings.overwrite:
            return set()
        present = {label for label, path in job.pasted.items() if path.exists()}
        for label in present:
            _record(job.pasted[label], self._photograph_origin(job, label))
        return present

    def write(self, face: Face, result: Result) -> None:
        """Write the results of a face that are not finished.

        Raises:
            OSError: one cannot be written.
        """
        measured = {key: value for key, value in face.entry.items() if key not in _OF_THE_RUN}
        for label, path in face.outputs.items():
            if label in face.finished:
                continue
            record = {**self._origin(face.digest, label), "face": measured, "edit": face.entry["edits"].get(label)}
            record |= {"asked": self._asked[label]} if label in self._asked else {}
            if result.saved is not None and label == LATENTS:
                metadata = {**result.saved.metadata, **record, "input": face.entry["input"]}
                save_latent(path, replace(result.saved, metadata=metadata), result.codes)
            else:
                description = f"Face {_UNEDITED.get(label, f'edited with SDFlow: {label}')}"
                save_marked(path, result.pictures[label], description, {**record, "aligned": True})

    def write_photograph(self, job: Job, label: str, photograph: Photograph, faces: int) -> None:
        """Write a photograph in which so many faces were edited.

        Raises:
            OSError: it cannot be written.
        """
        record = {**self._photograph_origin(job, label), "faces": faces, "asked": self._asked[label]}
        description = f"Photograph with {faces} face(s) edited with SDFlow: {label}"
        save_marked_photograph(job.pasted[label], photograph, description, record, self.settings.keep_gps)

    def _origin(self, digest: str, label: str) -> dict[str, Any]:
        return {"digest": digest, "editor": self.editor_hash, "label": label, "selection": self.selection}

    def _photograph_origin(self, job: Job, label: str) -> dict[str, Any]:
        return {
            **self._origin(job.digest, label),
            "paste": self.settings.paste,
            "keep_gps": self.settings.keep_gps,
        }


def _numbered(name: Path, row: int, count: int) -> Path:
    return name.with_name(f"{name.stem}-{row + 1}{name.suffix}") if count > 1 else name


def _record(path: Path, origin: Mapping[str, Any]) -> dict[str, Any]:
    """The record of a result of this origin.

    Raises:
        PhotoError: the file has another origin, or no record.
    """
    try:
        record = load_weights(path)[1] if path.suffix == SUFFIX else read_mark(path) or {}
    except WeightsError:
        record = {}
    if any(record.get(key) != value for key, value in origin.items()):
        raise PhotoError(
            f"{displayed(path)} exists and was not made from this photo with this editor and these options; "
            f"--overwrite replaces it"
        )
    return record
