"""Tables of attribute values: every form that is read, and errors that say where."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from datasets.attribute_table import TableError, read_table

ATTRIBUTES = ("Smiling", "Male")
CSV = "file,notes,Male,Smiling\na.png,x,1,0.25\nsub/b.png,\"says, much\",0,\n"


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_bytes(text.encode("utf-8"))
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", CSV),
        ("t.csv", "\ufeff" + CSV.replace("\n", "\r\n")),
        ("t.csv", CSV.replace('"says, much"', "says much").replace(",", ";")),
        ("t.tsv", CSV.replace('"says, much"', "says much").replace(",", "\t").replace("0\t\n", "0\tNA\n")),
        ("t.csv", "\n" + CSV.replace("1,0.25", " 1 , 0.25 ").replace("0,\n", "0,NaN\n\n")),
        ("t.csv", "\nfile;Male;Smiling;;\na.png;1;0.25;;\nsub/b.png;0;;;\n"),  # columns that a spreadsheet left
        ("t.json", '{"a.png": {"Male": true, "Smiling": 0.25}, "sub/b.png": {"Male": 0, "Smiling": null}}'),
        ("t.json", '[{"id": "a.png", "Male": 1, "Smiling": "0.25"},\n {"id": "sub/b.png", "Male": false}]'),
    ],
)
def test_every_form_says_the_same(tmp_path: Path, name: str, text: str) -> None:
    table = read_table(write(tmp_path, name, text), ATTRIBUTES)
    assert table.names == ("a.png", "sub/b.png") and table.attributes == ATTRIBUTES
    np.testing.assert_array_equal(table.values, np.array([[0.25, 1], [np.nan, 0]], dtype=np.float32))


def test_a_column_in_other_units_is_scaled(tmp_path: Path) -> None:
    path = write(tmp_path, "t.csv", "p,Smiling,Male\na,60,-1\nb,10,1\n")
    found = read_table(path, ATTRIBUTES, {"Smiling": [10, 110], "Male": [-1, 1]})
    np.testing.assert_array_equal(found.values, np.array([[0.5, 0], [0, 1]], dtype=np.float32))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.csv", CSV.replace("0.25", "often"), r"t\.csv, line 2, column 'Smiling': 'often' is not a number"),
        ("t.csv", CSV.replace("0.25", "2"), r"line 2, column 'Smiling': 2 lies outside \[0, 1\]"),
        ("t.csv", CSV.replace("0.25", "inf"), r"line 2, column 'Smiling': inf lies outside"),
        ("t.csv", CSV.replace("says, much", "two\nlines").replace("0,\n", "x,\n"), "line 4, column 'Male'"),
        ("t.csv", CSV.replace("sub/b", "a"), r"line 3: 'a.png' is also in line 2"),
        ("t.csv", CSV.replace("sub/b.png", ""), r"line 3, column 'file': names no picture"),
        ("t.csv", CSV.replace(",0.25", ""), r"line 2: has 3 cells, but the header has 4"),
        ("t.csv", CSV.replace(",Smiling", ",Smilling"), r"line 1: no column for the attribute 'Smiling'; did you mean"),
        ("t.csv", CSV.replace("notes", "Male"), r"line 1, column 'Male': this column occurs twice"),
        ("t.csv", CSV + 'c.png,"', r"line 4: cannot be read"),
        ("t.csv", "Smiling,Male\n1,1\n", r"line 1, column 'Smiling': the first column must name the picture"),
        ("t.tsv", CSV, r"line 1: has one column only; here '\\t' separates columns"),
        ("t.csv", CSV.replace("0.25", "1.0000001"), r"line 2, column 'Smiling': 1.0000001 lies outside"),
        ("t.csv", "file,Male,Smiling\n", r"t\.csv: has no row of values"),
        ("t.csv", "", r"t\.csv: has no row of values"),
        ("t.xlsx", CSV, r"must be a \.csv, \.tsv or \.json file"),
        ("t.json", '{"a.png": {"Male": 1,\n "Smiling": 1},\n "b.png": {"Smiling": "x"}}', r"line 3, column 'Smiling'"),
        ("t.json", '[{"p": "a",\n "Male": 1, "Smilin": 1}]', r"did you mean 'Smilin'"),
        ("t.json", '[{"p": "a", "Male": 1, "Smiling": 1},\n 7]', r"line 2: must be an object"),
        ("t.json", '[{"Male": 1, "Smiling": 1}]', r"line 1: the first key must name the picture, not 1"),
        ("t.json", '[{"p": "a"},\n {"p" "b"}]', r"t\.json, line 2: is not valid JSON: .*character 7"),
        ("t.json", '{"a": {"Male": 1, "Smiling": 1},\n "a": {"Male": 0}}', r"line 2: 'a' is also in line 1"),
        ("t.json", "3", r"must be a list"),
        ("t.json", '[{"p": "a", "Male": 1, "Smiling": 1,\n"Male": 0}]', r"column 'Male': this column occurs twice"),
        ("t.json", '[{"p": "a", "Male": 1' + "0" * 400 + ', "Smiling": 1}]', r"line 1, column 'Male': 10* is no"),
        ("t.json", "[" * 100_000, r"t\.json: cannot be read: .*recursion"),
        ("t.json", '[{"p": "a", "Male": ' + "9" * 5000 + "}]", r"t\.json: cannot be read: .*5000 digits"),
    ],
)
def test_errors_name_file_line_and_column(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(TableError, match=message) as caught:
        read_table(write(tmp_path, name, text), ATTRIBUTES)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_files_that_are_no_tables(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such table"):
        read_table(tmp_path / "none.csv", ATTRIBUTES)
    (tmp_path / "t.csv").write_bytes(b"file,Male,Smiling\na,1,1\nf\xfcr,0,0\n")
    with pytest.raises(TableError, match="line 3: is not UTF-8"):
        read_table(tmp_path / "t.csv", ATTRIBUTES)
    for ranges, message in (({"Mal": [0, 2]}, "did you mean 'Male'"), ({"Male": [1, 1]}, "column 'Male': the range")):
        with pytest.raises(TableError, match=message):
            read_table(write(tmp_path, "t.csv", CSV), ATTRIBUTES, ranges)
