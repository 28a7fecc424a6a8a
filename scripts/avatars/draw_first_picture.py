#!/usr/bin/env python
"""Draw the first picture of README.md: four sample faces, and each attribute flipped by the shipped editor.

    python scripts/avatars/draw_first_picture.py
    python scripts/avatars/draw_first_picture.py --faces 2 5 8 10 -o output/first.png
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from PIL import Image, ImageDraw

import edit
from models.editors.base import AttributeEditor
from models.editors.loading import load_editor
from utils.failures import explain_failures
from utils.options import CommandParser, output_file, value_of
from utils.paths import ROOT, displayed
from utils.provenance import save_marked
from utils.ranges import Between
from utils.sheets import font

SAMPLES = ROOT / "pretrained/avatars/samples"
CHOSEN = (1, 2, 3, 7)  # both sexes, young and old, with and without glasses, three skins, straight and wavy hair
SIDE, GAP, HEADER, TEXT = 160, 8, 30, 17  # pixels: 1,184 × 702 fit a laptop's screen
INK, PAPER = (40, 40, 40), (255, 255, 255)


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Command line of draw_first_picture.py."""
    parser = CommandParser(__doc__)
    parser.add_argument(
        "--faces", nargs="+", type=value_of(Annotated[int, Between(1, 12)]), default=CHOSEN, metavar="N",
        help="sample faces, 1 to 12",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--output", type=output_file, default=ROOT / "results/avatars/edits.png", help="PNG to write"
    )
    return parser.parse_args(arguments)


def draw(rows: Sequence[Sequence[Path]], titles: Sequence[str]) -> Image.Image:
    """A row of pictures for each face under the titles of the columns, every picture enlarged to 160 × 160."""
    step = SIDE + GAP
    page = Image.new("RGB", (GAP + step * len(titles), HEADER + GAP // 2 + step * len(rows)), PAPER)
    pen, letters = ImageDraw.Draw(page), font(TEXT)
    for column, title in enumerate(titles):
        pen.text((GAP + column * step + SIDE // 2, HEADER // 2), title, INK, letters, anchor="mm")
        for row, paths in enumerate(rows):
            with Image.open(paths[column]) as picture:
                enlarged = picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
            page.paste(enlarged, (GAP + column * step, HEADER + row * step))
    return page


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: that of edit.py."""
    options = parse_arguments(arguments)
    names = [f"face-{number:02d}" for number in options.faces]
    editor = load_editor()[0]
    assert isinstance(editor, AttributeEditor)  # the shipped one is
    columns = ("input", "inversion", *editor.attributes)
    with tempfile.TemporaryDirectory() as folder:
        status = edit.main([*(str(SAMPLES / f"{name}.png") for name in names), "-o", folder, "--quiet"])
        if status:
            return status
        faces = Path(folder) / "faces"
        page = draw(
            [[next(faces.glob(f"{name}--{column}*.png")) for column in columns] for name in names],
            [column.replace("_", " ") for column in columns],
        )
    record = {"faces": names, "columns": list(columns)}
    save_marked(options.output, page, "Faces edited with SDFlow, one flipped attribute in each column", record)
    print(f"{page.width} × {page.height} pixels in {displayed(options.output)}")
    return 0


if __name__ == "__main__":
    explain_failures()
    raise SystemExit(main())
