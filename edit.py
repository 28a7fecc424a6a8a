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
import io
import json
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from utils.options import add_device_option, add_editor_options


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
    add_editor_options(parser, "the shipped editor of drawn faces")
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
    add_device_option(parser)
    parser.add_argument("--overwrite", action="store_true", help="make pictures anew that are there already")
    parser.add_argument("--force", action="store_true", help="edit pictures too that are no face the editor knows")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    options = parser.parse_intermixed_args(arguments)
    if options.batch_size < 1:
        parser.error(f"argument --batch-size: {options.batch_size} is less than 1")
    return options


if __name__ == "__main__":
    parse_arguments()  # --help and slips of the pen are answered before PyTorch is read, which takes two seconds

from tqdm import tqdm

from models.domain import Domain
from models.editing.alignment import Aligner, FaceChoice, build_aligner
from models.editing.paste_back import PasteMode
from models.editing.pipeline import EditingPipeline
from models.editing.records import Job, Settings
from models.editing.requests import RequestError, describe, parse_requests
from models.editing.run import EditRun, batches
from models.editing.saved_latents import SUFFIX
from models.editors.loading import load_editor
from utils.config import ConfigError
from utils.devices import keep_freed_memory, pick_device
from utils.files import write_text
from utils.paths import displayed
from utils.photos import SUFFIXES, find_photos
from utils.weights import WeightsError


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


def edit_all(run: EditRun, jobs: Sequence[Job], quiet: bool) -> str:
    """Process all inputs, the next batch being read meanwhile; returns why the run stopped early, or nothing."""
    portions = list(batches(jobs, run.settings.batch_size))
    with tqdm(total=len(jobs), unit="photo", disable=quiet) as bar, ThreadPoolExecutor(1) as reader:
        try:
            reading = reader.submit(run.prepare, portions[0])
            for number, batch in enumerate(portions, start=1):
                reading.result()
                if number < len(portions):
                    reading = reader.submit(run.prepare, portions[number])
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


def _aligner(options: argparse.Namespace, domain: Domain) -> Aligner:
    """The domain's aligner, with the detector that was asked for.

    Raises:
        RequestError: it detects nothing.
    """
    aligner = build_aligner(domain)
    if options.detector and not aligner.cuts_photographs:
        raise RequestError(f"--detector: no faces are searched for here, the domain {domain.name} takes pictures whole")
    return build_aligner(domain, detector=options.detector) if options.detector else aligner


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
        "precision": domain.precision,
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
    keep_freed_memory()
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
        domain.precision = options.precision or domain.precision
        requests = parse_requests(
            editor.attributes, options.set, options.flip, options.sweep, options.strength, options.each
        )
        pipeline = EditingPipeline(domain, editor, _aligner(options, domain))
        _check_output(options.output)
        run = EditRun(pipeline, metadata, requests, options.output, _settings(options, pipeline))
    except (RequestError, ConfigError, WeightsError, ValueError) as error:
        print(f"edit.py: {error}", file=sys.stderr)
        return 2
    for problem in empty:
        _say(problem)
    jobs = run.jobs(photos)
    stopped = edit_all(run, jobs, options.quiet)
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
