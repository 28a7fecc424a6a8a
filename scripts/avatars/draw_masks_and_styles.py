#!/usr/bin/env python
"""Draw what S²-Flow can do: edits of the mask, one after the other, of the style, of both, and its two grids.

    python scripts/avatars/draw_masks_and_styles.py                  figure.png and row.png in results/avatars/s2flow
    python scripts/avatars/draw_masks_and_styles.py --seed 1 -o OUT  other faces

The shipped editor edits drawn faces that no network has seen. None is chosen by hand: the faces come in an order drawn
from the seed, and each row takes the next for which its edit is possible.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import utils  # noqa: F401 (before PyTorch, see utils/threads.py)

# isort: split
import numpy as np
import torch
from PIL import Image, ImageChops, ImageDraw, ImageOps
from torch import Tensor

from datasets.avatar_edits import AvatarEdits
from datasets.avatars import AvatarFaces
from models.editing.generation import drawn_styles, generate
from models.editing.mask_donors import MaskDonors
from models.editing.studio import Face, Studio
from models.parsing.donors import FaceRecord
from models.parsing.masks import enlarged
from utils.failures import explain_failures
from utils.images import to_pillow
from utils.options import CommandParser, output_folder, value_of
from utils.paths import ROOT, displayed
from utils.provenance import save_marked
from utils.ranges import Whole
from utils.sheets import font

SHIPPED = ROOT / "pretrained/avatars/s2flow.safetensors"
COUNT = 60  # drawn faces; all give parts of their masks
TRUE = ("hair length", "glasses", "head turned", "one feature")
AUTOMATIC = ("add_glasses", "hair", "smile", "remove_glasses")
SEQUENCE = ("smile", "hair", "add_glasses", "brows")
GRID = ("smile", "hair", "add_glasses", "nose")
SHARE = 0.7  # of the other's style in the joint edit
CONTRAST = 3  # of differences
SIDE, GAP, LINE, BETWEEN = 120, 5, 20, 30  # pixels: of a picture, between two, a line of text, between two blocks
INK, FAINT, PAPER = (40, 40, 40), (110, 110, 110), (255, 255, 255)


@dataclass(frozen=True)
class Block:
    """Rows of pictures under a title and the titles of the columns; a row's label, if any, stands above it."""

    title: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Image.Image]]]

    @property
    def height(self) -> int:
        return 2 * LINE + GAP + sum(SIDE + GAP + (LINE if label else 0) for label, _ in self.rows)

    def draw(self, page: Image.Image, left: int, top: int) -> None:
        """Put it on a page."""
        pen, step = ImageDraw.Draw(page), SIDE + GAP
        pen.text((left, top), self.title, INK, font(16))
        for column, title in enumerate(self.columns):
            pen.text(
                (left + column * step + SIDE // 2, top + LINE + GAP + LINE // 2), title, INK, font(14), anchor="mm"
            )
        top += 2 * LINE + GAP
        for label, pictures in self.rows:
            if label:
                pen.text((left, top + 1), label, FAINT, font(13))
                top += LINE
            for column, picture in enumerate(pictures):
                page.paste(picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS), (left + column * step, top))
            top += SIDE + GAP


def drawn_page(bands: Sequence[Sequence[Block]]) -> Image.Image:
    """A page of bands below each other, each of blocks side by side; ten columns wide."""
    step = SIDE + GAP
    height = BETWEEN // 2 + sum(max(block.height for block in band) + BETWEEN // 2 for band in bands)
    page, top = Image.new("RGB", (10 * step + BETWEEN + GAP, height), PAPER), BETWEEN // 2
    for band in bands:
        left = GAP
        for block in band:
            block.draw(page, left, top)
            left += len(block.columns) * step + BETWEEN
        top += max(block.height for block in band) + BETWEEN // 2
    return page


class Gallery:
    """The rows of the figure.

    Args:
        seed: of the order of the faces, of parts taken from other masks, and of random styles.
    """

    def __init__(self, studio: Studio, seed: int) -> None:
        self.studio, self.seed = studio, seed
        self.drawn = AvatarFaces(COUNT, split="test", correlation=0.0, masks=True)
        self.edits = AvatarEdits(self.drawn, seed)
        self.order = [int(index) for index in np.random.default_rng(seed).permutation(COUNT)]
        masks = {str(number): self.drawn[number]["mask"].numpy().astype(np.uint8) for number in range(COUNT)}
        self.donors = MaskDonors(masks, seed)
        self.used: set[int] = set()

    def unused(self) -> Iterator[tuple[int, Face]]:
        """Faces that no row shows yet, with their numbers."""
        for number in self.order:
            if number not in self.used:
                yield number, self.studio.find(self.drawn[number]["image"], aligned=True)[0]

    def next(self) -> tuple[int, Face]:
        """The next face."""
        number, face = next(self.unused())
        self.used.add(number)
        return number, face

    def next_fit(self, edits: Sequence[str], added: bool = False) -> tuple[Face, list[np.ndarray]]:
        """The next face for which all these automatic edits are possible, and its mask after each.

        A face that smiles already is not fit for a smile, though the edit would be possible.

        Args:
            added: the edits are done one after the other, not one each.
        Raises:
            ValueError: there is none.
        """
        for number, face in self.unused():
            if "smile" in edits and FaceRecord.of_mask(face.mask).smile:
                continue
            steps = [edits[: step + 1] if added else edits[step : step + 1] for step in range(len(edits))]
            edited = [self.donors.edited(step, face.mask, str(number)) for step in steps]
            if not any(impossible for _, impossible in edited):
                self.used.add(number)
                return face, [mask for mask, _ in edited]
        raise ValueError(f"none of {COUNT} faces is fit for {', '.join(edits)}; another seed has others")

    def true_edits(self) -> Block:
        """Edits to the mask of the face as it would be drawn."""
        rows = []
        for kind in TRUE:
            number, face = self.next()
            case = self.edits.edited(kind, number)[1]
            target = self.edits.masks(kind)[number].numpy()
            rows.append((f"{kind}, {case}".rstrip(", "), edit_row(face, target)))
        return Block("The mask of the face drawn anew", EDIT_COLUMNS, rows)

    def automatic_edits(self) -> Block:
        """Edits to masks with a part of another face's."""
        rows = []
        for edit in AUTOMATIC:
            face, [target] = self.next_fit([edit])
            rows.append((spoken(edit), edit_row(face, target)))
        return Block("Automatic edits: a part of another face's mask", EDIT_COLUMNS, rows)

    def sequence(self) -> Block:
        """Edits of one mask added one after the other: masks above, pictures below."""
        face, masks = self.next_fit(SEQUENCE, added=True)
        pictures = [face.inversion, *(face.edit(mask=mask).picture for mask in masks)]
        titles = ["source", *(f"+ {spoken(edit)}" for edit in SEQUENCE)]
        return Block("One edit after the other", titles, [("", shown_masks([face.mask, *masks])), ("", pictures)])

    def joint(self) -> Block:
        """A face with another mask, with the style of the face whose style is furthest from its own, and with both."""
        face, (_, target) = self.next_fit(("smile", "hair"), added=True)
        others = [other for _, other in self.unused()]
        self.studio.invert(others)
        other = max(others, key=lambda one: float((one.inverted.rest - face.inverted.rest).norm()))
        style = (other, SHARE)
        made = [face.edit(mask=target), face.edit(style=style), face.edit(mask=target, style=style)]
        pictures = [face.inversion, other.inversion, *(edit.picture for edit in made)]
        masks = [face.mask, other.mask, target, face.mask, target]
        titles = ("source", "other face", "edited mask", f"{SHARE:.0%} of its style", "both: joint edit")
        return Block("Mask and style together", titles, [("", shown_masks(masks)), ("", pictures)])

    def styles(self) -> list[Block]:
        """Faces on the way to the style of another, and the other beside them."""
        shares, walks, others = torch.linspace(0, 1, 9).tolist(), [], []
        for _ in range(2):
            (_, face), (_, other) = self.next(), self.next()
            walks.append(("", [face.edit(style=(other, share)).picture for share in shares]))
            others.append(("", [other.inversion]))
        titles = [f"{100 * share:g} %" for share in shares]
        walk = Block("Towards the style of another face, the mask as it is", titles, walks)
        return [walk, Block("", ["the other face"], others)]

    def mask_fixed(self) -> Block:
        """Masks with random styles."""
        seeds, rows = range(self.seed, self.seed + 4), []
        styles = drawn_styles(seeds, self.studio.pipeline.domain)
        for _ in range(2):
            _, face = self.next()
            rows.append(("", [*shown_masks([face.mask]), *(self.generated(face.mask, z) for z in styles.values())]))
        return Block("Mask fixed, styles drawn at random", ["mask", *(f"seed {seed}" for seed in seeds)], rows)

    def style_fixed(self) -> Block:
        """One random style with a mask and after one edit of it each: masks above, pictures below."""
        (style,) = drawn_styles([self.seed], self.studio.pipeline.domain).values()
        face, edited = self.next_fit(GRID)
        masks = [face.mask, *edited]
        rows = [("", shown_masks(masks)), ("", [self.generated(mask, style) for mask in masks])]
        return Block("Style fixed, one edit of the mask each", ["mask", *map(spoken, GRID)], rows)

    def generated(self, mask: np.ndarray, style: Tensor) -> Image.Image:
        """The face of a mask in a style (L, D)."""
        return to_pillow(generate(self.studio.pipeline, mask, style).picture)


EDIT_COLUMNS = ("source", "mask", "edited mask", "result", f"{CONTRAST}-fold difference")


def spoken(edit: str) -> str:
    """The name of an edit as a title."""
    return edit.replace("_", " ")


def edit_row(face: Face, target: np.ndarray) -> list[Image.Image]:
    """Source, mask, edited mask, result, difference."""
    result = face.edit(mask=target).picture
    return [face.inversion, *shown_masks([face.mask, target]), result, difference(face.inversion, result)]


def shown_masks(masks: Sequence[np.ndarray]) -> list[Image.Image]:
    """Masks in their colours, with sharp edges at the size of the page."""
    return [enlarged(torch.from_numpy(mask), SIDE).resize((SIDE, SIDE), Image.Resampling.NEAREST) for mask in masks]


def difference(one: Image.Image, other: Image.Image) -> Image.Image:
    """Where two pictures differ: white where they are equal, darker the more they differ."""
    grey = ImageChops.difference(one, other).convert("L")
    return ImageOps.invert(grey.point(lambda value: min(255, CONTRAST * value))).convert("RGB")


def main(arguments: Sequence[str] | None = None) -> None:
    """Write `figure.png` and `row.png`."""
    options = parse_arguments(arguments)
    gallery = Gallery(Studio.open(SHIPPED), options.seed)
    true, automatic = gallery.true_edits(), gallery.automatic_edits()
    bands = [
        [true, automatic],
        [gallery.sequence(), gallery.joint()],
        gallery.styles(),
        [gallery.mask_fixed(), gallery.style_fixed()],
    ]
    first = [Block(block.title, block.columns, block.rows[:1]) for block in (true, automatic)]
    record = {"seed": options.seed, "editor": gallery.studio.metadata["hash"]}
    for name, page in (("figure.png", drawn_page(bands)), ("row.png", drawn_page([first]))):
        path = options.output / name
        save_marked(path, page, "Drawn faces edited by mask and by style with S²-Flow", record)
        print(f"{page.width} × {page.height} pixels in {displayed(path)}")


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Command line of draw_masks_and_styles.py."""
    parser = CommandParser(__doc__)
    parser.add_argument("--seed", type=value_of(Whole), default=0, metavar="N", help="of everything (default: 0)")
    parser.add_argument(
        "-o", "--output", type=output_folder, default=ROOT / "results/avatars/s2flow", metavar="OUT",
        help="folder for the pictures (default: results/avatars/s2flow)",
    )  # fmt: skip
    return parser.parse_args(arguments)


if __name__ == "__main__":
    explain_failures()
    main()
