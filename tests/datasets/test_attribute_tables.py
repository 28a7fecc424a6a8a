"""Tables of attribute values: every form that is read, and errors that say where."""

from __future__ import annotations

import json
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
        ("t.json", '[{"p": "a", "Male": 1' + "0" * 400 + ', "Smiling": 1}]', r"'Male': 10*\.\.\.0* is not a number"),
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
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(TableError, match=r"folder.csv: cannot be read: "):
        read_table(tmp_path / "folder.csv", ATTRIBUTES)
    (tmp_path / "t.csv").write_bytes(b"file,Male,Smiling\na,1,1\nf\xfcr,0,0\n")
    with pytest.raises(TableError, match="line 3: is not UTF-8"):
        read_table(tmp_path / "t.csv", ATTRIBUTES)
    for ranges, message in (({"Mal": [0, 2]}, "did you mean 'Male'"), ({"Male": [1, 1]}, "column 'Male': the range")):
        with pytest.raises(TableError, match=message):
            read_table(write(tmp_path, "t.csv", CSV), ATTRIBUTES, ranges)


def test_the_labels_of_nvidias_dataset_tool(tmp_path: Path) -> None:
    path = write(tmp_path, "dataset.json", '{"labels": [["00000/a.png", [0.25, 1]], ["b.png", [null, 0]]]}')
    table = read_table(path, ATTRIBUTES)
    assert table.names == ("00000/a.png", "b.png")
    np.testing.assert_array_equal(table.values, np.array([[0.25, 1], [np.nan, 0]], dtype=np.float32))
    assert table.remark == "the numbers of each picture are taken as Smiling, Male, in this order"
    table = read_table(write(tmp_path, "dataset.json", '{"labels": [["a.png", 1], ["b.png", 0]]}'), ("Male",))
    assert table.values.tolist() == [[1], [0]]
    named = read_table(write(tmp_path, "t.json", '{"labels": {"Male": 1}, "b": {"Male": 0}}'), ("Male",))
    assert named.names == ("labels", "b") and not named.remark


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("null", r'its "labels" are null: no picture has a value; wanted is a .csv'),
        ('[["00000/a.png", 6]]', r"'00000/a.png' has a class \(6\) .* 2 attributes are wanted; a .csv .* such as"),
        ('[["a.png", [1, 2, 3]]]', r"'a.png' has 3 numbers"),
        ('[["a.png", [0, 2]]]', r"column 'Male': 2 lies outside .*; picture 'a.png'"),
        ('[["a.png", [0, 1]], 7]', r"entry 2 of its .* is 7"),
        ('[["a.png", [0, "x"]]]', r"'x' is not a number"),
        ('[["a.png", [0, 1]], ["a.png", [0, 1]]]', r"'a.png' is also"),
        ("[]", r"no row of values"),
    ],
)
def test_labels_that_are_no_attribute_values(tmp_path: Path, labels: str, message: str) -> None:
    with pytest.raises(TableError, match=message):
        read_table(write(tmp_path, "dataset.json", f'{{"labels": {labels}}}'), ATTRIBUTES)


LONG = "x" * 200_000
NAMES = [f"{number:08d}.png" for number in range(20_000)]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("dataset.json", json.dumps({"labels": [[name, 1] for name in NAMES]})),
        ("list.json", json.dumps([[name, 1] for name in NAMES])),
        ("lists.json", json.dumps([[name, [1, [2, [3]]]] for name in NAMES])),
        ("one.json", json.dumps([[NAMES]])),
        ("classes.json", json.dumps(dict.fromkeys(NAMES, 1))),
        ("columns.json", json.dumps({"labels": dict.fromkeys(NAMES[:3000], 1)})),
        ("string.json", json.dumps(LONG)),
        ("strings.json", json.dumps([LONG])),
        ("name.json", json.dumps([{"p": LONG, "Smiling": 2, "Male": 1}])),
        ("names.json", json.dumps([{"p": [LONG], "Smiling": 1, "Male": 1}])),
        ("key.json", json.dumps({"a": {LONG: 1}})),
        ("cell.json", json.dumps({"a": {"Smiling": LONG, "Male": 1}})),
        ("object.json", json.dumps({"a": {"Smiling": dict.fromkeys(NAMES, 1), "Male": 1}})),
        ("deep.json", '{"a": {"Male": 1, "Smiling": ' + '{"b": ' * 400 + "1" + "}" * 402),
        ("keys.json", '{"a": {"' + LONG + '": 1, "' + LONG + '": 1}}'),
        ("twice.json", json.dumps([{"p": LONG, "Smiling": 1, "Male": 1}] * 2)),
        ("broken.json", '{"a": ' + LONG),
        ("header.csv", ",".join(NAMES[:3000]) + "\n"),
        ("column.csv", "p," + LONG + "\n"),
        ("cell.csv", f"p,Smiling,Male\na,{LONG[:100_000]},1\n"),
        ("number.csv", "p,Smiling,Male\na," + "9" * 100_000 + ",1\n"),
        ("name.csv", f"p,Smiling,Male\n{LONG[:100_000]},7,1\n"),
        ("cells.csv", "p,Smiling,Male\n" + "a," * 100_000 + "\n"),
        ("long.csv", f"p,Smiling,Male\n{LONG},1,1\n"),
        ("quote.csv", 'p,Smiling,Male\n"' + LONG[:100_000]),
        ("text.tsv", LONG),
    ],
)
def test_no_error_quotes_more_than_a_little_of_the_file(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(TableError) as caught:
        read_table(write(tmp_path, name, text), ATTRIBUTES)
    assert len(str(caught.value)) < len(str(tmp_path)) + 560
