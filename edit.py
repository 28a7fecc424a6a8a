#!/usr/bin/env python
"""Edit faces: picture files, folders or patterns in, edited pictures out.

    python edit.py pretrained/avatars/samples -o output/edits                     each attribute flipped, one by one
    python edit.py PHOTOS -o OUT --set Smiling=1 --set Eyeglasses=0               both at once, in one picture
    python edit.py PHOTOS -o OUT --flip Male                                      to the other side, whichever it is
    python edit.py PHOTOS -o OUT --set Smiling=1 --sweep Young=-0.2:1.2:7         seven ages of the smiling face
    python edit.py PHOTOS -o OUT --checkpoint runs/sdflow-avatars --flip Young    with your own editor
    python edit.py PHOTOS -o OUT --checkpoint prior-0010000 --semantic-encoder labeldist-0010000    SDFlow's own files
    python edit.py PHOTOS -o OUT --save-latents                                   then, without photos or encoder:
    python edit.py OUT/latents -o MORE --sweep Smiling=0:1:5
    python edit.py latents.pt projected_w.npz -o OUT --set Smiling=1              codes of e4e, PTI, NVIDIA …
    python edit.py PHOTOS -o OUT --checkpoint S2FLOW --mask MASKS --style BLACK:0.5    a mask for each, and a style
    python edit.py PHOTOS -o OUT --checkpoint ID_SWAP --identity FILE             the person in FILE in each photograph

OUT gets faces/NAME--input.png (the aligned face), faces/NAME--inversion.png (what the generator makes of it unedited),
faces/NAME--EDIT.png, sheet.png with all of them side by side, and report.json with what was measured. Where faces are
cut out of photographs, photos/NAME--EDIT is the photograph with all its edited faces pasted back, a JPEG or PNG as it
was; the second face of a photograph is NAME--face2-EDIT. Finished pictures are kept when the command runs again, so
that a stopped one goes on. One process at a time may write into OUT. Exit status: 0 all done, 1 some failed or stopped,
2 wrong usage.
"""

from __future__ import annotations

import argparse
import errno
import io
import json
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from models.editing.face_choice import Only, face_choice
from models.editing.requests import add_request_options, parse_requests, request_settings
from models.editing.requests.base import RequestError
from utils.failures import explain_failures
from utils.options import CommandParser, add_device_option, add_editor_options, not_empty


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Command line of edit.py."""
    parser = CommandParser(__doc__, prog="edit.py")
    parser.add_argument(
        "photos",
        nargs="+",
        type=not_empty,
        metavar="PHOTOS",
        help="picture files, folders, patterns ('a/*.jpg'), or latent codes: saved ones, .pt, .npy, .npz",
    )
    parser.add_argument("-o", "--output", required=True, type=not_empty, metavar="OUT", help="folder for the results")
    add_editor_options(parser, "the shipped editor of drawn faces")
    add_request_options(parser)
    photographs = parser.add_argument_group("photographs", "for domains that cut faces out of photographs")
    photographs.add_argument(
        "--faces",
        type=face_choice,
        default="all",
        metavar="WHICH",
        help="all, largest, a number (so many, those found with the highest score first), or such as only-2: the "
        "second of these alone (default: all)",
    )
    photographs.add_argument(
        "--detector",
        choices=("hog", "cnn"),
        help="hog: fast, with the CNN where it finds nothing; cnn: also heads turned to the side, slow on a CPU "
        "(default: hog)",
    )
    photographs.add_argument(
        "--smallest-face",
        type=int,
        metavar="PIXELS",
        help="height of the smallest face to search for (default: hog 80, in small pictures 40; cnn 80 in a copy of "
        "1024 pixels); smaller ones take more time",
    )
    photographs.add_argument("--aligned", action="store_true", help="the pictures are aligned faces: do not search")
    photographs.add_argument(
        "--paste",
        choices=("difference", "crop", "none"),
        help="what is pasted into the photograph: the change that the edit makes, the edited face, or nothing "
        "(default: difference if the domain cuts faces out of photographs)",
    )
    photographs.add_argument("--keep-gps", action="store_true", help="keep the GPS position in the photograph")
    photographs.add_argument(
        "--save-aligned", action="store_true", help="write the aligned faces to OUT/aligned, to be edited again"
    )
    parser.add_argument(
        "--save-latents", action="store_true", help="write the latent codes to OUT/latents, to be edited again"
    )
    parser.add_argument(
        "--save-masks",
        action="store_true",
        help="write the masks of the inversions to OUT/masks, to be painted in: PNG of class numbers in colours (for "
        "editors whose domain has a face parser)",
    )
    parser.add_argument("--batch-size", type=int, default=16, metavar="N", help="faces at once (default: %(default)s)")
    add_device_option(parser)
    parser.add_argument("--overwrite", action="store_true", help="recompute existing results")
    parser.add_argument(
        "--force", action="store_true", help="edit even if the picture does not look like a face of this domain"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    options = parser.parse_intermixed_args(arguments)
    for option, value in (("--detector", options.detector), ("--smallest-face", options.smallest_face)):
        if options.aligned and value is not None:
            parser.error(f"argument {option}: pictures that are --aligned are not searched")
    if options.batch_size < 1:
        parser.error(f"argument --batch-size: {options.batch_size} is less than 1")
    options.output = Path(options.output)
    return options


if __name__ == "__main__":
    explain_failures()
    parse_arguments()  # --help and usage errors are reported before importing PyTorch, which takes two seconds

from tqdm import tqdm

from models.editing.identity_grid import write_identity_grid
from models.editing.outputs import FOLDERS
from models.editing.paste_back import PasteMode
from models.editing.pipeline import EditingPipeline
from models.editing.records import Job, Settings
from models.editing.report import edit_report
from models.editing.run import EditRun
from models.editing.saved_latents import LATENT_SUFFIXES
from models.editing.studio import Studio
from utils.devices import keep_freed_memory
from utils.failures import unwritable
from utils.files import remove_litter, write_text
from utils.locks import only_writer
from utils.paths import displayed
from utils.photo_files import SUFFIXES, find_photos
from utils.photos import Photo, printable


class Stopped(KeyboardInterrupt):
    """The process was asked to end by a signal; the message is its name."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0 all done, 1 some failed, 2 wrong usage."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    options = parse_arguments(arguments)
    keep_freed_memory()
    with stopping_on_signals():
        try:
            found = find_photos(options.photos, options.output, SUFFIXES | LATENT_SUFFIXES)
            if not any(os.path.lexists(photo.path) for photo in found.photos):
                missing = [f"{printable(photo.path)}: there is no such file" for photo in found.photos]
                raise RequestError("; ".join([*found.problems, *missing]))
            studio = open_studio(options, found.photos)
            pipeline = studio.pipeline
            requests, settings = parse_requests(options, pipeline), settings_of(options, pipeline)
            check_output(options.output)
            with only_writer(options.output, "edit.py"):
                remove_litter(options.output)
                for folder in FOLDERS:
                    remove_litter(options.output / folder, recursive=True)
                for remark in [*found.problems, *found.remarks()]:
                    say(remark)
                run = EditRun(studio, requests, options.output, settings)
                said = request_settings(options, pipeline) | {"passed_over": dict(found.passed_over)}
                done = edit_and_report(run, found.photos, said, options.quiet, options.identity_grid)
            return 0 if done and not found.problems else 1
        except ValueError as error:  # of configs, weights and requests, or another process writes into the folder
            say(str(error))
            return 2
        except OSError as error:
            say(unwritable(error, options.output))
            return 1
        except KeyboardInterrupt as stop:
            say(f"stopped{f' by {stop}' if str(stop) else ''} before anything was edited")
            return 1


def edit_and_report(
    run: EditRun, photos: Sequence[Photo], settings: dict[str, Any], quiet: bool, with_grid: bool
) -> bool:
    """Edit everything, write report.json and say what it holds; returns whether all is done."""
    jobs = run.jobs(photos)
    stopped = edit_all(run, jobs, quiet)
    report, folder = edit_report(run, jobs, settings), run.outputs.folder
    files = list(report["sheets"])
    try:
        if with_grid and write_identity_grid(folder / "grid.png", jobs, run.requests):
            files.append("grid.png")
        write_text(folder / "report.json", json.dumps(report, indent=1, ensure_ascii=False) + "\n")
        files.append("report.json")
    except OSError as error:
        say(unwritable(error, folder))
    if stopped:
        say(stopped)
    counts = ", ".join(f"{count} {status}" for status, count in report["counts"].items())
    print(f"{len(jobs)} photos: {counts}. Results in {displayed(folder)}: {', '.join(files)}".removesuffix(": "))
    return not stopped and "report.json" in files and set(report["counts"]) <= {"edited", "kept"}


@contextmanager
def stopping_on_signals() -> Iterator[None]:
    """Let SIGTERM, and SIGHUP of a closed terminal, end the command as Ctrl-C does: with a report."""

    def stop(number: int, _: Any) -> None:
        for other in before:
            signal.signal(other, signal.SIG_IGN)  # once is enough: the report is being written
        raise Stopped(signal.Signals(number).name)

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.getsignal(number) for number in numbers}
        before = {number: handler for number, handler in before.items() if handler is signal.SIG_DFL}  # not of nohup
    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def open_studio(options: argparse.Namespace, photos: Sequence[Photo]) -> Studio:
    """The editor with all that it needs.

    Raises:
        ValueError: an option, a weight file or a config that cannot be used.
    """
    only_latents = all(photo.path.suffix.lower() in LATENT_SUFFIXES for photo in photos)
    same = (
        "semantic_encoder", "mapper", "domain", "weights", "device", "precision", "detector", "smallest_face",
        "batch_size",
    )  # fmt: skip
    return Studio.open(
        options.checkpoint,
        without=("encoder",) if only_latents else (),
        **{name: getattr(options, name) for name in same},
    )


def settings_of(options: argparse.Namespace, pipeline: EditingPipeline) -> Settings:
    """The options of a run; by default edits are pasted back if the domain cuts faces out of photographs.

    Raises:
        RequestError: an option that has no effect here.
        ConfigError, WeightsError: masks are asked for, but the domain has no face parser.
    """
    cuts = pipeline.aligner.cuts_photographs
    if isinstance(options.faces, Only) and options.faces.number > 1 and (options.aligned or not cuts):
        whole = "with --aligned" if options.aligned else f"in domain {pipeline.domain.name}"
        raise RequestError(f"--faces {options.faces}: {whole}, pictures are taken whole, as one face each")
    modes: dict[str, PasteMode | None] = {"difference": "difference", "crop": "crop", "none": None}
    paste = options.paste or ("difference" if cuts else "none")
    if options.keep_gps and modes[paste] is None:
        raise RequestError("--keep-gps: no photographs are written here (--paste difference or crop writes them)")
    if options.save_masks:
        _ = pipeline.domain.parser  # where there is none, that is said before the work
    names = ("aligned", "keep_gps", "save_aligned", "save_latents", "save_masks", "overwrite", "force", "batch_size")
    own = {name: getattr(options, name) for name in names}
    return Settings(choice=options.faces, paste=modes[paste], **own)


def check_output(output: Path) -> None:
    """Find out before the work whether results can be written.

    Raises:
        RequestError: no folder can have this name.
        OSError: it cannot be written.
    """
    try:
        (output / "faces").mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output):
            pass
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP):
            raise RequestError(f"cannot write to {displayed(output)}: {error.strerror}") from None
        error.filename = str(output)
        raise


def edit_all(run: EditRun, jobs: Sequence[Job], quiet: bool) -> str:
    """Edit all inputs and report problems as they occur; returns why the run stopped early, or an empty text."""
    try:
        with tqdm(total=len(jobs), unit="photo", disable=quiet) as bar, closing(run.finished(jobs)) as batches:
            for batch in batches:
                for problem in batch.problems:
                    say(problem)
                bar.update(len(batch.jobs))
    except KeyboardInterrupt as stop:
        by = f"stopped by {stop}" if isinstance(stop, Stopped) else "interrupted"
        return f"{by}; finished pictures are kept: run the same command again to continue"
    except OSError as error:
        return f"{unwritable(error, run.outputs.folder)}; once it can be, run the same command again to continue"
    return ""


def say(text: str) -> None:
    """A line on the standard error stream that leaves the progress bar intact."""
    tqdm.write(f"edit.py: {text}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
