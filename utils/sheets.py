"""Sheets of pictures side by side, with labels that can be read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from utils.provenance import save_marked

_GAP = 6
_TEXT = 15
_SMALLEST_TEXT = 9
_INK, _PAPER = (40, 40, 40), (255, 255, 255)
_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def font(size: int) -> _Font:
    """Pillow's own font, so that sheets look alike everywhere."""
    return ImageFont.load_default(size)


def _drawable(text: str, letters: _Font) -> str:
    """The text without what a bitmap font (a Pillow without FreeType) cannot draw."""
    if isinstance(letters, ImageFont.FreeTypeFont):
        return text
    return text.encode("latin-1", "replace").decode("latin-1")


def _fitted(text: str, width: int) -> tuple[str, _Font]:
    """The text and the largest font it fits the width with; cut in the middle where none does."""
    for size in range(_TEXT, _SMALLEST_TEXT - 1, -1):
        letters = font(size)
        if letters.getlength(_drawable(text, letters)) <= width:
            return _drawable(text, letters), letters
    text = _drawable(text, letters)
    keep = len(text)
    while keep > 3 and letters.getlength(_shortened(text, keep)) > width:
        keep -= 1
    return _shortened(text, keep), letters


def _shortened(text: str, keep: int) -> str:
    return text if keep >= len(text) else f"{text[: keep // 2]}...{text[len(text) - keep + keep // 2 + 3 :]}"


class SheetWriter:
    """Writes rows of pictures to `sheet.png`, then `sheet-2.png` and so on; holds one page at a time.

    Args:
        folder: where the sheets go.
        titles: labels of the columns; a comma starts a new line.
        rows: rows on a page.
        cell: smallest and largest side of a shown picture; others are enlarged or reduced.
        description: for the mark of the pages.
    """

    def __init__(
        self,
        folder: Path,
        titles: Sequence[str],
        rows: int = 20,
        cell: tuple[int, int] = (128, 256),
        description: str = "Faces edited with SDFlow",
    ) -> None:
        self.folder, self.titles, self.rows_per_page, self.cell_limits = folder, list(titles), rows, cell
        self.description = description
        self.paths: list[Path] = []
        self._rows: list[tuple[str, list[Image.Image]]] = []
        self._side = 0

    def add(self, label: str, pictures: Sequence[Image.Image]) -> None:
        """A row with one picture a column; the label (the file's name) stands above it.

        Raises:
            OSError: a full page cannot be written.
        """
        if not self._side:
            smallest, largest = self.cell_limits
            self._side = max(smallest, min(largest, max(picture.width for picture in pictures)))
        size = (self._side, self._side)
        shown = [p if p.size == size else p.resize(size, Image.Resampling.BICUBIC) for p in pictures]
        self._rows.append((label, shown))
        if len(self._rows) == self.rows_per_page:
            self.flush()

    def flush(self) -> None:
        """Write the rows that wait, if any.

        Raises:
            OSError: the page cannot be written.
        """
        if not self._rows:
            return
        number = len(self.paths) + 1
        path = self.folder / ("sheet.png" if number == 1 else f"sheet-{number}.png")
        page = self._page()
        self._rows = []
        save_marked(path, page, self.description, {"titles": list(self.titles)})
        self.paths.append(path)

    def remove_older(self) -> None:
        """Delete further pages of a longer earlier run."""
        number = len(self.paths) + 1
        while number > 1 and (stale := self.folder / f"sheet-{number}.png").is_file():
            stale.unlink()
            number += 1

    def _page(self) -> Image.Image:
        side, step, line = self._side, self._side + _GAP, _TEXT + 4
        lines = [title.split(",") for title in self.titles]
        header = _GAP + line * max(len(parts) for parts in lines)
        row_height = line + side + _GAP
        page = Image.new("RGB", (_GAP + step * len(lines), header + row_height * len(self._rows)), _PAPER)
        draw = ImageDraw.Draw(page)
        for column, parts in enumerate(lines):
            for number, part in enumerate(parts):
                text, letters = _fitted(part, side)
                draw.text((_GAP + column * step, _GAP + number * line), text, _INK, letters)
        for index, (label, pictures) in enumerate(self._rows):
            top = header + index * row_height
            text, letters = _fitted(label, page.width - 2 * _GAP)
            draw.text((_GAP, top), text, _INK, letters)
            for column, picture in enumerate(pictures):
                page.paste(picture, (_GAP + column * step, top + line))
        return page
