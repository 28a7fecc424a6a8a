"""Tables of attribute values: CSV, TSV or JSON. Every error names file, line and column."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from utils.config import nearest
from utils.excerpts import excerpt, shortened
from utils.paths import displayed

TABLE_FORMS = (
    'a .csv or .tsv whose first column names the picture, or a .json such as {"a.png": {"Smiling": 1, "Male": 0}} or '
    '[{"picture": "a.png", "Smiling": 1, "Male": 0}]'
)
_LONGEST_REASON, _LONGEST_NAME = 400, 60  # characters of a message that may come from a file
MISSING = frozenset(("", "na", "n/a", "nan", "none", "null", "?"))  # how people write that a value is not known


class TableError(ValueError):
    """A table that cannot be used; the message names the file, the line and the column."""

    def __init__(self, path: Path, line: int | None, reason: str, column: str | None = None) -> None:
        place = [displayed(path)]
        if line is not None:
            place.append(f"line {line}")
        if column is not None:
            place.append(f"column '{shortened(column, _LONGEST_NAME)}'")
        super().__init__(f"{', '.join(place)}: {shortened(reason, _LONGEST_REASON)}")

    def __reduce__(self) -> tuple[type[ValueError], tuple[object, ...]]:
        return ValueError, self.args  # worker processes hand errors on


@dataclass(frozen=True)
class Row:
    """One picture of a table: its line, its name and its cells by column."""

    line: int
    name: str
    cells: Mapping[str, object]


@dataclass(frozen=True)
class AttributeTable:
    """Attribute values of named pictures.

    Attributes:
        path: the file it was read from.
        attributes: A names of attributes.
        names: N names of pictures as the file has them.
        values: (N, A) float32 in [0, 1]; NaN where a value is not known.
        remark: what a person should know of how it was read.
    """

    path: Path
    attributes: tuple[str, ...]
    names: tuple[str, ...]
    values: np.ndarray
    remark: str = ""


def read_text(path: Path) -> str:
    """Text of a table, UTF-8 with or without byte order mark.

    Raises:
        FileNotFoundError: no such file.
        TableError: no UTF-8, or not readable.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise FileNotFoundError(f"{displayed(path)}: no such table of attribute values") from None
    except UnicodeDecodeError as error:
        line = path.read_bytes().count(b"\n", 0, error.start) + 1
        raise TableError(path, line, "is not UTF-8; save the table as 'CSV UTF-8'") from error
    except OSError as error:
        raise TableError(path, None, f"cannot be read: {error.strerror or error}") from error


def check_columns(path: Path, line: int, columns: Sequence[str], attributes: Iterable[str]) -> None:
    """Refuse a header with a column twice or without one of the attributes.

    Raises:
        TableError: naming the column, or the attribute and the nearest column.
    """
    counts = Counter(columns)
    twice = next((name for name in columns if name and counts[name] > 1), None)  # '': spreadsheets leave such
    if twice is not None:
        raise TableError(path, line, "this column occurs twice", twice)
    for attribute in attributes:
        if attribute not in counts:
            raise TableError(path, line, f"no column for the attribute '{attribute}'{nearest(attribute, columns)}")


def collect(
    path: Path, rows: Iterable[Row], attributes: Sequence[str], value_of: Callable[[str, object], float]
) -> AttributeTable:
    """Rows as one table.

    Args:
        value_of: (attribute, cell) → value in [0, 1] or NaN; raises ValueError with the reason where it cannot.
    Raises:
        TableError: no rows, a picture twice, a cell that is no value, or no value at all.
    """
    lines: dict[str, int] = {}
    values = []
    for row in rows:
        if row.name in lines:
            name = shortened(row.name, _LONGEST_NAME)
            raise TableError(path, row.line, f"'{name}' is also in line {lines[row.name]}")
        lines[row.name] = row.line
        numbers = []
        for attribute in attributes:
            try:
                numbers.append(value_of(attribute, row.cells.get(attribute)))
            except ValueError as error:
                reason = f"{error}; picture '{shortened(row.name, _LONGEST_NAME)}'"
                raise TableError(path, row.line, reason, attribute) from None
        values.append(numbers)
    if not values:
        raise TableError(path, None, "has no row of values")
    table = np.array(values, dtype=np.float32)
    if np.isnan(table).all():
        raise TableError(path, None, "knows no value of any picture: all its cells are empty")
    return AttributeTable(path, tuple(attributes), tuple(lines), table)


def read_table(
    path: Path, attributes: Sequence[str], ranges: Mapping[str, Sequence[float]] | None = None
) -> AttributeTable:
    """A `.csv` (comma, semicolon or tab), `.tsv` or `.json` file.

    The first column names the picture, whatever it is called; the others are attributes, of which only the chosen ones
    are read. JSON is a list of objects, whose first key names the picture, an object {picture: {attribute: value}}, or
    the `dataset.json` of NVIDIA's dataset tool, {"labels": [[picture, [value, …]], …]} with as many values as
    `attributes`, in their order. Empty cells, `NA`, `nan`, `null`, `?` and absent keys are values that are not known.

    Args:
        attributes: the chosen columns, in order.
        ranges: attribute → its values' [lowest, highest], which become 0 and 1; the others lie in [0, 1] already.
    Raises:
        FileNotFoundError: no such file.
        TableError: unknown attribute, a cell that is no number in its range, a picture twice, damaged JSON.
    """
    limits = {name: (float(low), float(high)) for name, (low, high) in (ranges or {}).items()}
    for name, (low, high) in limits.items():
        if name not in attributes:
            raise TableError(
                path, None, f"ranges name '{name}', which is not an attribute here{nearest(name, attributes)}"
            )
        if not low < high:
            raise TableError(path, None, f"the range [{low:g}, {high:g}] is empty", name)

    def value_of(attribute: str, cell: object) -> float:
        return _number(cell, *limits.get(attribute, (0.0, 1.0)))

    suffix, remark = path.suffix.lower(), ""
    if suffix not in (".csv", ".tsv", ".txt", ".json"):
        raise TableError(path, None, "must be a .csv, .tsv or .json file")
    text = read_text(path)
    document = _document(path, text) if suffix == ".json" else None
    rows: Iterable[Row]
    if document is None:
        rows = _separated(path, text, attributes)
    elif isinstance(document, dict) and isinstance(document.get("labels", {}), list | None):
        rows = _dataset_tool_rows(path, document["labels"], attributes)
        remark = f"the numbers of each picture are taken as {', '.join(attributes)}, in this order"
    else:
        rows = _json(path, text, attributes)
    table = collect(path, rows, attributes, value_of)
    unknown = [name for name, column in zip(attributes, table.values.T, strict=True) if np.isnan(column).all()]
    remarks = [remark] if remark else []
    remarks += [f"no value of {', '.join(unknown)} is known"] if unknown else []
    return replace(table, remark="; ".join(remarks))


def _number(cell: object, low: float, high: float) -> float:
    if cell is None or isinstance(cell, str) and cell.strip().lower() in MISSING:
        return math.nan
    try:
        number = float(cell)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{excerpt(cell)} is not a number (leave the cell empty if the value is unknown)") from None
    if math.isnan(number):
        return number
    if not low <= number <= high:
        said = shortened(str(cell), _LONGEST_NAME)
        raise ValueError(f"{said} lies outside [{low:g}, {high:g}]; state the column's range (data.ranges)")
    return (number - low) / (high - low)


def separated_cells(path: Path, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Line and cells of each row with anything in it; quotes and blanks around cells are taken off.

    Raises:
        TableError: quotes that do not close, or a cell without end.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True, skipinitialspace=True)
    while True:
        try:
            cells = [cell.strip() for cell in next(reader)]
        except StopIteration:
            return
        except csv.Error as error:
            raise TableError(path, reader.line_num, f"cannot be read: {error}") from None
        if any(cells):
            yield reader.line_num, cells


def _separated(path: Path, text: str, attributes: Sequence[str]) -> Iterator[Row]:
    header_line = text.lstrip().partition("\n")[0]
    delimiter = "\t" if path.suffix.lower() == ".tsv" else max(",;\t", key=header_line.count)
    rows = separated_cells(path, text, delimiter)
    line, header = next(rows, (1, [""]))
    if header == [""]:
        return
    if len(header) == 1:
        raise TableError(path, line, f"has one column only; here {delimiter!r} separates columns")
    if header[0] in attributes:
        raise TableError(path, line, "the first column must name the picture", header[0])
    check_columns(path, line, header[1:], attributes)
    for line, cells in rows:
        if len(cells) != len(header):
            raise TableError(path, line, f"has {len(cells)} cells, but the header has {len(header)}")
        if not cells[0]:
            raise TableError(path, line, "names no picture", header[0])
        yield Row(line, cells[0], dict(zip(header[1:], cells[1:], strict=True)))


_SPACE = re.compile(r"\s*")


def _document(path: Path, text: str) -> dict[str, Any] | list[Any]:
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise TableError(path, error.lineno, f"is not valid JSON: {error.msg} (character {error.colno})") from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, thousands of brackets
        raise TableError(path, None, f"cannot be read: {error}") from None
    if not isinstance(document, dict | list):
        raise TableError(path, 1, f"must be a list of objects or an object of objects: {TABLE_FORMS}")
    return document


def _json(path: Path, text: str, attributes: Sequence[str]) -> Iterator[Row]:
    rows = list(_json_rows(path, text))
    columns = dict.fromkeys(column for row in rows for column in row.cells)
    check_columns(path, 1, list(columns), attributes)
    yield from rows


def _dataset_tool_rows(path: Path, labels: list[Any] | None, attributes: Sequence[str]) -> Iterator[Row]:
    """Entries of the `dataset.json` of NVIDIA's dataset tool: [picture, class] or [picture, list of numbers]."""
    if labels is None:
        raise TableError(path, None, f'its "labels" are null: no picture has a value; wanted is {TABLE_FORMS}')
    for number, entry in enumerate(labels, start=1):
        if not isinstance(entry, list) or len(entry) != 2 or not isinstance(entry[0], str) or not entry[0]:
            reason = f"entry {number} of its \"labels\" should be a picture and its numbers, is {excerpt(entry)}"
            raise TableError(path, None, reason)
        numbers = entry[1] if isinstance(entry[1], list) else [entry[1]]
        if len(numbers) != len(attributes):
            reason = f"'{shortened(entry[0], _LONGEST_NAME)}' has {_counted(entry[1])} in its \"labels\", but "
            reason += f"{len(attributes)} attributes are wanted; {TABLE_FORMS}"
            raise TableError(path, None, reason)
        yield Row(1, entry[0], dict(zip(attributes, numbers, strict=True)))


def _counted(label: object) -> str:
    return f"{len(label)} numbers" if isinstance(label, list) else f"a class ({excerpt(label)})"


def _json_rows(path: Path, text: str) -> Iterator[Row]:
    """Entries of a valid document with their lines, which the json module alone does not tell."""

    def entry_of(pairs: list[tuple[str, object]]) -> dict[str, object]:
        check_columns(path, line, [key for key, _ in pairs], ())
        return dict(pairs)

    decoder = json.JSONDecoder(object_pairs_hook=entry_of)

    def skipped(at: int) -> int:
        return _SPACE.match(text, at).end()  # type: ignore[union-attr]

    at, line, counted = skipped(0), 1, 0
    named = text[at] == "{"
    at = skipped(at + 1)
    while text[at] not in "]}":
        line, counted = line + text.count("\n", counted, at), at
        name: object = None
        if named:
            name, at = decoder.raw_decode(text, at)
            at = skipped(skipped(at) + 1)
        entry, at = decoder.raw_decode(text, at)
        if not isinstance(entry, dict):
            raise TableError(path, line, f"must be an object of attribute values, not {excerpt(entry)}: {TABLE_FORMS}")
        if not named:
            name = entry.pop(next(iter(entry), ""), None)
        if not isinstance(name, str) or not name:
            raise TableError(path, line, f"the first key must name the picture, not {excerpt(name)}")
        yield Row(line, name, entry)
        at = skipped(at)
        at = skipped(at + 1) if text[at] == "," else at
