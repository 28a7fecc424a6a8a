#!/usr/bin/env python
"""Edit attributes of faces: a file, a folder or a pattern of pictures in, edited pictures out.

    python edit.py pretrained/avatars/samples -o output/edits                     each attribute flipped, one by one
    python edit.py PHOTOS -o OUT --set Smiling=1 --set Eyeglasses=0               both at once, in one picture
    python edit.py PHOTOS -o OUT --flip Male                                      to the other side, whichever it is
    python edit.py PHOTOS -o OUT --set Smiling=1 --sweep Young=-0.2:1.2:7         seven ages of the smiling face
    python edit.py PHOTOS -o OUT --checkpoint runs/sdflow-avatars --flip Young    with an editor of your own
    python edit.py PHOTOS -o OUT --checkpoint prior-0010000 --semantic-encoder labeldist-0010000    SDFlow's published

OUT gets faces/NAME--input.png (the aligned face), faces/NAME--inversion.png (what the generator makes of it unedited),
faces/NAME--EDIT.png, sheet.png with all of them side by side, and report.json with what was measured. Finished pictures
are kept when the command runs again. Exit status: 0 all done, 1 some failed, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import errno
import hashlib
import io
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from models.alignment import AlignmentError
from models.editors.checkpoint import load_editor
from models.editors.requests import Request, RequestError, describe, parse_requests
from models.pipeline import Edited, EditingPipeline, Inversion
from utils.config import ConfigError
from utils.devices import DEVICE_CHOICES, pick_device
from utils.files import write_text
from utils.images import to_pillow
from utils.marks import read_mark, save_marked
from utils.output_names import NAME_LIMIT, output_names
from utils.paths import displayed
from utils.photos import Photo, PhotoError, decode_photo, find_photos, printable, read_file
from utils.sheets import SheetWriter
from utils.weights import WeightsError

INPUT, INVERSION = "input", "inversion"
_MEASURED = ("reconstruction_distance", "identity_of_inversion", "semantics", "semantics_of_inversion", "warning")
_FULL = {errno.ENOSPC, errno.EROFS, getattr(errno, "EDQUOT", errno.ENOSPC)}


class OutputFull(OSError):
    """Nothing more can be written to the output folder."""


@dataclass
class Face:
    """One photo on its way through the run.

    Attributes:
        outputs: label → file; the labels are `input`, `inversion` and those of the requests.
        finished: labels whose files are there from an earlier run.
        entry: what the report says of it.
    """

    photo: Photo
    outputs: dict[str, Path]
    digest: str = ""
    finished: set[str] = field(default_factory=set)
    image: Tensor | None = None
    entry: dict[str, Any] = field(default_factory=dict)

    def fail(self, reason: str) -> None:
        """Record why the face is not edited."""
        self.entry.update(status="failed", reason=reason)


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Command line of edit.py."""
    parser = argparse.ArgumentParser(
        prog="edit.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("photos", nargs="+", metavar="PHOTOS", help="picture files, folders, or patterns ('a/*.jpg')")
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
    """Everything that one call of the command does, batch by batch; no more than a batch of photos is held."""

    def __init__(
        self,
        pipeline: EditingPipeline,
        editor_hash: str,
        requests: Sequence[Request],
        output: Path,
        overwrite: bool = False,
        force: bool = False,
    ) -> None:
        self.pipeline, self.editor_hash, self.requests = pipeline, editor_hash, list(requests)
        self.output, self.overwrite, self.force = output, overwrite, force
        self.attributes = pipeline.editor.attributes
        self.labels = [INPUT, INVERSION, *(request.label for request in self.requests)]
        self.sheet = SheetWriter(output, ["photo", "inversion", *(request.title for request in self.requests)])

    def faces(self, photos: Sequence[Photo]) -> list[Face]:
        """The photos with the files that they will become."""
        faces = []
        room = NAME_LIMIT - max(len(f"--{label}.png") for label in self.labels)
        for photo, name in zip(photos, output_names(photos, room), strict=True):
            stem = self.output / "faces" / name
            outputs = {label: stem.with_name(f"{stem.name}--{label}.png") for label in self.labels}
            faces.append(Face(photo, outputs, entry={"input": printable(photo.path), "status": "not done"}))
        return faces

    def process(self, faces: Sequence[Face]) -> None:
        """Edit a batch; whatever goes wrong with a face is written into its entry.

        Raises:
            OutputFull: nothing more can be written.
        """
        for face in faces:
            began = time.monotonic()
            self._prepare(face)
            face.entry["seconds"] = round(time.monotonic() - began, 3)
        self._edit([face for face in faces if face.image is not None])
        for face in faces:
            face.image = None
            if face.entry["status"] in ("edited", "kept"):
                self._show(face)

    def _prepare(self, face: Face) -> None:
        """Read and align a photo, unless its results are there already."""
        try:
            data = read_file(face.photo.path)
            face.digest = hashlib.sha256(data).hexdigest()[:16]
            marks = {} if self.overwrite else self._finished(face)
            if len(marks) == len(face.outputs):
                self._keep(face, marks)
            else:
                face.finished = set(marks)
                face.image = self.pipeline.align(decode_photo(data, self.pipeline.aligner.enough))
        except (PhotoError, AlignmentError) as error:
            face.fail(str(error))
        except (RuntimeError, MemoryError) as error:  # the face detector's
            face.fail(f"cannot be aligned: {error}")

    def _finished(self, face: Face) -> dict[str, dict[str, Any]]:
        """Records of the face's results that are there already, by label.

        Raises:
            PhotoError: a file of that name was not made from this photo by this editor.
        """
        marks = {}
        for label, path in face.outputs.items():
            if path.exists():
                mark = read_mark(path) or {}
                if [mark.get(key) for key in ("digest", "editor", "label")] != [face.digest, self.editor_hash, label]:
                    raise PhotoError(
                        f"{displayed(path)} exists and is no result of this photo and editor; --overwrite replaces it"
                    )
                marks[label] = mark
        return marks

    def _keep(self, face: Face, marks: dict[str, dict[str, Any]]) -> None:
        face.entry.update(marks[INPUT]["face"], status="kept", outputs=self._relative(face))
        face.entry["edits"] = {request.label: marks[request.label]["edit"] for request in self.requests}

    def _edit(self, faces: Sequence[Face]) -> None:
        """Invert, check, edit and write aligned faces; a batch that fails as a whole is tried in halves."""
        if not faces:
            return
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
        for face, row in results:
            face.entry["seconds"] = round(face.entry["seconds"] + share, 3)
            try:
                self._write(face, row)
            except OSError as error:
                face.fail(f"cannot be written: {error.strerror or error}")
                if error.errno in _FULL:
                    raise OutputFull(error.strerror) from error

    def _compute(self, faces: Sequence[Face]) -> list[tuple[Face, dict[str, Image.Image]]]:
        """The pictures of all faces that may be edited, by label; fills their entries."""
        inversion = self.pipeline.invert(torch.stack([face.image for face in faces if face.image is not None]))
        for index, face in enumerate(faces):
            self._measure_inversion(face, inversion, index)
        chosen = [index for index, face in enumerate(faces) if face.entry["status"] != "failed"]
        if not chosen:
            return []
        inversion, faces = inversion.rows(chosen), [faces[index] for index in chosen]
        unedited = zip(inversion.image, inversion.picture, strict=True)
        pictures = [{INPUT: to_pillow(image), INVERSION: to_pillow(inverted)} for image, inverted in unedited]
        for request in self.requests:
            edited = self.pipeline.edit(inversion, request.targets)
            finite = edited.finite().tolist()
            for index, face in enumerate(faces):
                if not finite[index]:
                    face.fail(f"{request.label}: the result is no picture; choose values nearer to [0, 1]")
                    continue
                face.entry["edits"][request.label] = self._measure_edit(edited, index)
                pictures[index][request.label] = to_pillow(edited.picture[index])
        return [(face, row) for face, row in zip(faces, pictures, strict=True) if face.entry["status"] != "failed"]

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
        if foreign and not self.force:
            face.fail(f"{foreign} (--force edits it all the same)")
        elif foreign:
            face.entry["warning"] = foreign

    def _measure_edit(self, edited: Edited, index: int) -> dict[str, Any]:
        return {
            "wanted": self._by_name(edited.wanted[index]),
            "semantics": self._by_name(edited.semantics[index]),
            "identity": _rounded(edited.identity[index]),
            "identity_to_inversion": _rounded(edited.identity_to_inversion[index]),
        }

    def _by_name(self, values: Tensor) -> dict[str, float]:
        return {name: _rounded(value) for name, value in zip(self.attributes, values, strict=True)}

    def _write(self, face: Face, pictures: dict[str, Image.Image]) -> None:
        """Write what is not finished; each picture carries what a later run needs in order to keep it."""
        measured = {key: face.entry[key] for key in _MEASURED if key in face.entry}
        for label, picture in pictures.items():
            if label in face.finished:
                continue
            what = {INPUT: "aligned, not edited", INVERSION: "reproduced by the generator, not edited"}
            origin = {"digest": face.digest, "editor": self.editor_hash, "label": label}
            record = {**origin, "face": measured, "edit": face.entry["edits"].get(label)}
            save_marked(face.outputs[label], picture, f"Face {what.get(label, f'edited with SDFlow: {label}')}", record)
        face.entry.update(status="edited", outputs=self._relative(face))

    def _relative(self, face: Face) -> dict[str, str]:
        return {label: printable(path.relative_to(self.output).as_posix()) for label, path in face.outputs.items()}

    def _show(self, face: Face) -> None:
        """Put a finished face on the sheet; its pictures are read back, so that kept ones stand there as well."""
        try:
            pictures = [Image.open(face.outputs[label]).convert("RGB") for label in self.labels]
            self.sheet.add(printable(face.photo.name), pictures)
        except OSError as error:
            raise OutputFull(f"the sheet cannot be written: {error.strerror or error}") from error


def _rounded(value: float | Tensor) -> float:
    return round(float(value), 5)


def _batches(faces: Sequence[Face], size: int) -> Iterator[Sequence[Face]]:
    return (faces[start : start + size] for start in range(0, len(faces), size))


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


def _edit_all(run: EditRun, faces: Sequence[Face], batch_size: int, quiet: bool) -> str:
    """Process all faces; returns why the run stopped early, or nothing."""
    with tqdm(total=len(faces), unit="face", disable=quiet) as bar:
        try:
            for batch in _batches(faces, batch_size):
                run.process(batch)
                for face in batch:
                    if face.entry["status"] == "failed":
                        _say(f"{face.entry['input']}: {face.entry['reason']}")
                bar.update(len(batch))
            run.sheet.flush()
            run.sheet.remove_older()
        except KeyboardInterrupt:
            return "interrupted; the same command goes on where it stopped"
        except OSError as error:
            return f"the output folder takes no more: {error.strerror or error}"
    return ""


def _report(
    options: argparse.Namespace, run: EditRun, metadata: dict[str, Any], faces: Sequence[Face]
) -> dict[str, Any]:
    domain = run.pipeline.domain
    statuses = [face.entry["status"] for face in faces]
    return {
        "editor": {key: metadata.get(key) for key in ("file", "hash", "method", "step")},
        "domain": domain.name,
        "reconstruction_limit": domain.reconstruction_limit,
        "device": str(domain.device),
        "edits": {r.label: {name: describe(target) for name, target in r.targets.items()} for r in run.requests},
        "strength": options.strength,
        "forced": options.force,
        "counts": {status: statuses.count(status) for status in sorted(set(statuses))},
        "sheets": [path.name for path in run.sheet.paths],
        "faces": [face.entry for face in faces],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0 all done, 1 some failed, 2 wrong usage."""
    sys.stdout.reconfigure(errors="backslashreplace") if isinstance(sys.stdout, io.TextIOWrapper) else None
    options = parse_arguments(arguments)
    try:
        photos, empty = find_photos(options.photos, leave_out=options.output)
        if not photos:
            raise RequestError("; ".join(empty))
        editor, domain, metadata = load_editor(
            options.checkpoint, pick_device(options.device), options.semantic_encoder, options.domain
        )
        requests = parse_requests(
            editor.attributes, options.set, options.flip, options.sweep, options.strength, options.each
        )
        _check_output(options.output)
        pipeline = EditingPipeline(domain, editor)
        run = EditRun(pipeline, metadata["hash"], requests, options.output, options.overwrite, options.force)
    except (RequestError, ConfigError, WeightsError, ValueError) as error:
        print(f"edit.py: {error}", file=sys.stderr)
        return 2
    for problem in empty:
        _say(problem)
    faces = run.faces(photos)
    stopped = _edit_all(run, faces, options.batch_size, options.quiet)
    report = _report(options, run, metadata, faces)
    try:
        write_text(options.output / "report.json", json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    except OSError as error:
        stopped = stopped or f"the report cannot be written: {error.strerror or error}"
    if stopped:
        _say(stopped)
    counts = ", ".join(f"{count} {status}" for status, count in report["counts"].items())
    files = ", ".join([*report["sheets"], "report.json"])
    print(f"{len(faces)} photos: {counts}. Results in {displayed(options.output)}: {files}")
    done = set(report["counts"]) <= {"edited", "kept"}
    return 0 if done and not stopped and not empty else 1


if __name__ == "__main__":
    sys.exit(main())
