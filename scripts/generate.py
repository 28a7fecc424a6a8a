#!/usr/bin/env python
"""Make faces of masks: S²-Flow's conditional generation. Each seed draws a style z from N(0, I).

    python scripts/generate.py --masks MASKS -o OUT                     eight faces of each mask
    python scripts/generate.py --masks MASKS --seeds 20:30 -o OUT       ten others
    python scripts/generate.py --masks MASKS -o OUT --grid mask-fixed   ten faces of each mask above the mask
    python scripts/generate.py --masks MASKS -o OUT --grid style-fixed  one style, and the mask after one edit each
    python scripts/generate.py --masks MASKS -o OUT --checkpoint S2FLOW --samples sample_z.pt    published styles

A mask and a seed give the same picture at every call, whatever else is made. OUT gets faces/NAME--seed0.png and so on,
which say how they were made, sheet.png and report.json: how well the mask that the face parser finds in each picture
agrees with the given one. Exit status: 0 all done, 1 some failed, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from utils.failures import explain_failures
from utils.options import CommandParser, add_device_option, add_editor_options, input_file, input_path, output_folder
from utils.paths import ROOT

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

SHIPPED = ROOT / "pretrained/avatars/s2flow.safetensors"
GRIDS = {"seeds": range(8), "mask-fixed": range(10), "style-fixed": range(1)}  # and their usual seeds
EDITS = ("smile", "add_glasses", "remove_glasses", "hair")  # of the grid of a fixed style, as published
_MOST = 1000  # seeds of a call


def seeds(text: str) -> range:
    """`type=` of `--seeds`: `3`, or `0:8` for 0 to 7."""
    first, colon, end = text.partition(":")
    try:
        found = range(int(first), int(end) if colon else int(first) + 1)
    except ValueError:
        found = range(0)
    if not found or found.start < 0 or len(found) > _MOST or found.stop > 1 << 63:
        raise argparse.ArgumentTypeError(f"'{text}': write FIRST:END, such as 0:8 for 0 to 7; at most {_MOST} of them")
    return found


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Command line of generate.py."""
    parser = CommandParser(__doc__)
    parser.add_argument(
        "--masks",
        type=input_path,
        required=True,
        metavar="FILE|FOLDER",
        help="masks: pictures of class numbers or of their colours, of any size; pictures of faces are parsed",
    )
    parser.add_argument("-o", "--output", type=output_folder, required=True, metavar="OUT", help="folder for results")
    parser.add_argument(
        "--seeds",
        type=seeds,
        metavar="FIRST:END",
        help="of the styles, END left out (default: 0:8; mask-fixed 0:10, style-fixed 0:1)",
    )
    parser.add_argument(
        "--samples",
        type=input_file,
        metavar="FILE",
        help="stored styles (N, styles, width), .pt or .npy, in place of drawn ones: --seeds are its rows",
    )
    parser.add_argument(
        "--grid",
        choices=GRIDS,
        default="seeds",
        help="what sheet.png shows: a row a mask and a column a seed; or one of S²-Flow's grids, pictures above and "
        "masks below: mask-fixed, each mask with all styles; style-fixed, each style with the mask after "
        f"{', '.join(EDITS)}, one each, whose donors are the other masks (default: %(default)s)",
    )
    add_editor_options(parser, "the shipped editor of masks of drawn faces")
    add_device_option(parser)
    options = parser.parse_args(arguments)
    options.seeds = options.seeds or GRIDS[options.grid]
    return options


if __name__ == "__main__":
    explain_failures()
    parse_arguments()  # --help and usage errors are reported before importing PyTorch

import torch
from PIL import Image
from tqdm import tqdm

from models.editing.generation import drawn_styles, generate, stored_styles
from models.editing.given_masks import face_name
from models.editing.mask_donors import MaskDonors, mask_in_file
from models.editing.studio import Studio
from models.editors.base import mask_editor
from models.parsing.masks import enlarged
from utils.failures import unwritable
from utils.files import write_text
from utils.images import to_pillow
from utils.output_names import NAME_LIMIT, output_names
from utils.paths import displayed
from utils.photo_files import find_photos
from utils.photos import Photo, printable
from utils.provenance import save_marked
from utils.sheets import SheetWriter

_CELL = 128  # smallest side of a shown picture


@dataclass(frozen=True)
class Wanted:
    """A picture to make.

    Attributes:
        label: of its file, after the mask's name.
        remark: an edit of the mask that is impossible.
    """

    label: str
    mask: np.ndarray
    style: Tensor
    remark: str = ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0 all done, 1 some failed, 2 wrong usage."""
    options = parse_arguments(arguments)
    same = ("semantic_encoder", "mapper", "domain", "weights", "device", "precision")
    try:
        checkpoint = options.checkpoint or SHIPPED
        studio = Studio.open(checkpoint, without=("encoder",), **{name: getattr(options, name) for name in same})
        mask_editor(studio.pipeline.editor)
        domain = studio.pipeline.domain
        styles = (
            drawn_styles(options.seeds, domain)
            if options.samples is None
            else stored_styles(options.samples, options.seeds, domain)
        )
        masks, failures = read_masks(options.masks, studio)
    except ValueError as error:  # of configs and weights, or another kind of editor
        say(str(error))
        return 2
    for failure in failures:
        say(failure)
    if not masks:
        say(f"{displayed(options.masks)}: no masks to make faces of")
        return 2
    try:
        entries, sheets = make_all(options, studio, masks, styles)
        report = {
            "editor": {key: studio.metadata.get(key) for key in ("file", "hash", "method", "step")},
            "domain": domain.name, "device": str(domain.device), "precision": domain.precision, "grid": options.grid,
            "samples": displayed(options.samples) if options.samples else None, "styles": list(styles),
            "sheets": [path.name for path in sheets], "masks": entries, "failed": failures,
        }  # fmt: skip
        write_text(options.output / "report.json", json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    except OSError as error:
        say(unwritable(error, options.output))
        return 1
    made = [picture for entry in entries for picture in entry["pictures"].values()]
    done = sum("output" in picture for picture in made)
    print(f"{done} of {len(made)} faces made. Results in {displayed(options.output)}: sheet.png, report.json")
    return 0 if done == len(made) and not failures else 1


def read_masks(place: Path, studio: Studio) -> tuple[dict[str, np.ndarray], list[str]]:
    """The masks (side, side) in a file or folder by the names of their results, and what is wrong with others."""
    found = find_photos([str(place)]).photos
    photos = [
        Photo(photo.path, photo.name.with_name(face_name(photo.name.stem) + photo.name.suffix)) for photo in found
    ]
    failures = []
    masks: dict[str, np.ndarray] = {}
    for photo, name in zip(photos, output_names(photos, NAME_LIMIT - 60), strict=True):
        try:
            masks[name.as_posix()] = mask_in_file(photo.path, studio.pipeline)
        except ValueError as error:  # no mask, and no face for the aligner
            failures.append(f"{printable(photo.path)}: {error}")
    return masks, failures


def make_all(
    options: argparse.Namespace, studio: Studio, masks: Mapping[str, np.ndarray], styles: Mapping[str, Tensor]
) -> tuple[list[dict[str, Any]], list[Path]]:
    """Make and write all pictures and the sheet; an entry of the report for each mask, and the pages of the sheet.

    Raises:
        OSError: one cannot be written.
    """
    titles = list(EDITS if options.grid == "style-fixed" else styles)
    titles = ["mask", *titles] if options.grid == "seeds" else titles
    sheet = SheetWriter(options.output, titles, cell=(_CELL, 256), description="Faces generated with SDFlow")
    donors, entries = MaskDonors(masks), []
    for name, mask in tqdm(masks.items(), unit="mask", leave=False):
        shown, made = enlarged(torch.from_numpy(mask), _CELL), {}
        for title, row in rows_of(options.grid, name, mask, styles, donors):
            pictures = []
            for wanted in row:
                made[wanted.label], picture = make(options.output, studio, name, wanted)
                pictures.append(picture)
            if options.grid == "seeds":
                sheet.add(name, [shown, *(picture or blank(shown) for picture in pictures)])
                continue
            sheet.add(title, [picture or blank(shown) for picture in pictures])
            sheet.add("", [enlarged(torch.from_numpy(wanted.mask), _CELL) for wanted in row])
        entries.append({"mask": name, "pictures": made})
    sheet.flush()
    sheet.remove_older()
    return entries, sheet.paths


def rows_of(
    grid: str, name: str, mask: np.ndarray, styles: Mapping[str, Tensor], donors: MaskDonors
) -> list[tuple[str, list[Wanted]]]:
    """What is made of a mask, in rows with their titles."""
    if grid != "style-fixed":
        return [(name, [Wanted(label, mask, style) for label, style in styles.items()])]
    edited = {edit: donors.edited([edit], mask, name) for edit in EDITS}
    return [
        (
            f"{name}, {label}",
            [Wanted(f"{edit}-{label}", other, style, "; ".join(said)) for edit, (other, said) in edited.items()],
        )
        for label, style in styles.items()
    ]


def make(output: Path, studio: Studio, name: str, wanted: Wanted) -> tuple[dict[str, Any], Image.Image | None]:
    """Make and write a picture: its entry of the report, and the picture unless it failed."""
    try:
        generated = generate(studio.pipeline, wanted.mask, wanted.style)
    except FloatingPointError as error:  # of the flow's solver
        say(f"{name}, {wanted.label}: {error}")
        return {"reason": str(error)}, None
    measured = {"mean_iou": round(generated.mean_iou, 4), "pixel_accuracy": round(generated.pixel_accuracy, 4)}
    remark = {"remark": wanted.remark} if wanted.remark else {}
    path = output / "faces" / f"{name}--{wanted.label}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = to_pillow(generated.picture)
    record = {
        "digest": hashlib.sha256(wanted.mask.tobytes()).hexdigest()[:16],
        "editor": studio.metadata["hash"],
        "label": wanted.label,
        "generated": True,
        "aligned": True,
        **measured,
    }
    save_marked(path, picture, f"Face generated with SDFlow: {wanted.label}", record)
    return {"output": printable(path.relative_to(output).as_posix()), **measured, **remark}, picture


def blank(picture: Image.Image) -> Image.Image:
    """A white cell of a sheet."""
    return Image.new("RGB", picture.size, "white")


def say(text: str) -> None:
    """A line on the standard error stream that leaves the progress bar intact."""
    tqdm.write(f"generate.py: {text}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
