#!/usr/bin/env python
"""Export an editor with its domain, so that programs without PyTorch can edit faces: ONNX files and a description.

    python scripts/export_onnx.py -o output/export                                       the shipped editor
    python scripts/export_onnx.py -o output/export --checkpoint runs/mine --half         a run's; weights as float16
    python scripts/export_onnx.py -o output/export --programs                            torch.export programs as well
    python scripts/export_onnx.py -o output/browser --browser pretrained/avatars/samples a page for these faces

FOLDER receives a file for each network, for any number of faces at a time, pipeline.json, which says in what order they
are called and what is done to pictures, and edit_face.py, an example with NumPy and ONNX Runtime. The flow is solved in
a fixed number of equal steps; how far the codes then are from the adaptive solution is printed and kept in
pipeline.json. Every file is run and compared with PyTorch. --browser writes static files, a page on which the networks
run in the browser; it needs onnxruntime-web in the same folder, see scripts/export_parts. Needs the packages of the
extra 'export' (python scripts/set_up.py --with export). Exit status: 0 done, 1 a file cannot be written or differs from
PyTorch by more than 1e-4 (with --half, which rounds weights, by more than 5e-2), 2 wrong usage.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from typing import Annotated

from utils.failures import described, exit_status, explain_failures
from utils.options import CommandParser, add_editor_options, input_path, output_folder, value_of
from utils.ranges import Between

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
LARGEST_DIFFERENCE, WITH_HALF = 1e-4, 5e-2


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Command line of export_onnx.py."""
    parser = CommandParser(__doc__)
    parser.add_argument("-o", "--output", type=output_folder, required=True, metavar="FOLDER", help="is made if needed")
    parser.add_argument(
        "--steps", type=value_of(Annotated[int, Between(1, 100)]), default=4, metavar="N",
        help="equal steps in which the flow is solved, each way (default: 4)",
    )  # fmt: skip
    parser.add_argument("--half", action="store_true", help="keep weights as float16: half the size")
    parser.add_argument("--programs", action="store_true", help="also write what torch.export makes, as .pt2 files")
    parser.add_argument(
        "--browser", type=input_path, metavar="FACES",
        help="also write a page with a slider for each attribute, and these faces to choose from: pictures, cut out",
    )  # fmt: skip
    add_editor_options(parser, default="the shipped avatar editor", precision=False)
    options = parser.parse_args(arguments)
    if missing := [name for name in PACKAGES if importlib.util.find_spec(name) is None]:
        parser.error(f"not installed: {', '.join(missing)} (python scripts/set_up.py --with export)")
    return options


if __name__ == "__main__":
    explain_failures()
    parse_arguments()  # --help and usage errors are reported before importing PyTorch

import json
import shutil
from functools import partial
from pathlib import Path

from models.domain import Domain
from models.editing.aligners import build_aligner
from models.editing.alignment import AlignedFace
from models.editing.requests.base import RequestError
from models.editors.base import attribute_editor
from models.editors.loading import load_editor
from models.exporting.folder import DESCRIPTION, Form, export
from utils.files import write_atomically, write_text
from utils.paths import ROOT, displayed
from utils.photo_files import find_photos
from utils.photos import read_photo

PARTS = ROOT / "scripts/export_parts"


def write_page(folder: Path, faces: Sequence[AlignedFace]) -> None:
    """The page, its faces and their names.

    Raises:
        OSError: it cannot be written.
    """
    for source in (PARTS / "browser").iterdir():
        shutil.copyfile(source, folder / source.name)
    names = [f"faces/{number + 1}.png" for number in range(len(faces))]
    for name, face in zip(names, faces, strict=True):
        write_atomically(folder / name, partial(face.picture.save, format="PNG"))
    write_text(folder / "faces.json", json.dumps(names) + "\n")


def cut_faces(path: Path, domain: Domain) -> list[AlignedFace]:
    """The largest face of each picture.

    Raises:
        RequestError: there is no picture, or one shows no face or cannot be read.
    """
    found, aligner, faces = find_photos([str(path)]), build_aligner(domain), []
    if not found.photos:
        raise RequestError("; ".join(found.problems))
    for photo in found.photos:
        try:
            faces += aligner.faces(read_photo(photo.path), "largest")
        except ValueError as error:
            raise RequestError(f"{displayed(photo.path)}: {error}") from None
    return faces


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; exit status 0 done, 1 cannot be written or differs, 2 wrong usage."""
    options = parse_arguments(arguments)
    form = Form(options.steps, options.half, options.programs)
    try:
        editor, domain, metadata = load_editor(
            options.checkpoint, "cpu", options.semantic_encoder, options.domain, (), options.weights, options.mapper
        )
        faces = []
        if options.browser is not None:
            attribute_editor(editor)
            faces = cut_faces(options.browser, domain)
        description = export(editor, domain, metadata, options.output, form, tell=print)
        shutil.copyfile(PARTS / "edit_face.py", options.output / "edit_face.py")
        if options.browser is not None:
            write_page(options.output, faces)
    except (ValueError, FloatingPointError, OSError) as error:
        print(f"export_onnx.py: {described(error)}", file=sys.stderr)
        return exit_status(error)
    if flow := description["flow"]:
        distance = f"{flow['largest_error']:.0e}"
        print(f"the flow in {flow['steps']} steps: codes differ from the adaptive solution by at most {distance}")
    print(f"written to {displayed(options.output / DESCRIPTION)}")
    allowed = WITH_HALF if options.half else LARGEST_DIFFERENCE
    wrong = [name for name, file in description["files"].items() if not file["difference"] <= allowed]
    if wrong:
        print(f"export_onnx.py: differs from PyTorch by more than {allowed:g}: {', '.join(wrong)}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
