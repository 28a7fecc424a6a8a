"""Configs: merging, overriding, building, and errors that name the file, the key and the nearest valid key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from utils.catalogues import Catalogue
from utils.config import ConfigError, Section, as_section, check_arguments, convert, load_config


class Engine:
    def __init__(self, power: float, cylinders: int = 4, fuel: str = "air", gears: tuple[int, ...] = (1, 2)) -> None:
        self.power, self.cylinders, self.fuel, self.gears = power, cylinders, fuel, gears


class Car:
    def __init__(self, owner: str, engine: dict[str, Any], seats: int | None = None) -> None:
        self.owner, self.seats = owner, seats
        self.engine = CATALOGUE.build(as_section(engine, "engine"))


class Tractor:
    def __init__(self, engine: dict[str, Any] | None) -> None:
        self.engine = CATALOGUE.build(as_section(engine or {}, "engine"))


KINDS = ("Engine", "Car", "Tractor")
CATALOGUE = Catalogue("machine", {kind.lower(): f"{__name__}:{kind}" for kind in KINDS})


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_base_files_merge_key_by_key_and_the_command_line_wins(tmp_path: Path) -> None:
    write(tmp_path, "base.yaml", "a: {x: 1, y: 2}\nb: [1, 2]\nc: keep")
    path = write(tmp_path, "top.yaml", "base: base.yaml\na: {y: 3}\nb: [5]")
    config = load_config(path, ["a.x=7", "d.e=1e-4", "f="])
    assert config.plain() == {"a": {"x": 7, "y": 3}, "b": [5], "c": "keep", "d": {"e": "1e-4"}, "f": None}


def test_another_name_drops_the_arguments_of_the_old_object(tmp_path: Path) -> None:
    write(tmp_path, "base.yaml", "part: {name: engine, power: 1.0, fuel: wood}")
    path = write(tmp_path, "top.yaml", "base: base.yaml\npart: {name: car, owner: Ada}")
    assert load_config(path).plain() == {"part": {"name": "car", "owner": "Ada"}}


def test_objects_are_built_with_numbers_of_the_annotated_type(tmp_path: Path) -> None:
    path = write(tmp_path, "c.yaml", "machine: {name: engine, power: 1e-4, gears: [3, 4]}")
    engine = CATALOGUE.build(load_config(path).section("machine"))
    assert engine.power == 1e-4 and engine.gears == (3, 4) and engine.cylinders == 4


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{name: engin, power: 1}", ["c.yaml: machine.name", "unknown machine 'engin'", "did you mean 'engine'"]),
        ("{power: 1}", ["c.yaml: machine", "needs 'name'"]),
        ("{name: engine, power: 1, cylinder: 3}", ["c.yaml: machine.cylinder", "did you mean 'cylinders'"]),
        ("{name: engine, power: much}", ["c.yaml: machine.power", "must be float", "'much'"]),
        ("{name: engine, power: 1, cylinders: 2.5}", ["c.yaml: machine.cylinders", "must be int"]),
        ("{name: engine, power: 1, cylinders: true}", ["c.yaml: machine.cylinders", "must be int"]),
        ("{name: engine}", ["c.yaml: machine", "needs the key 'power'"]),
        ("{name: car, owner: A, engine: {name: engine, powr: 1}}", ["c.yaml: machine.engine.powr", "'power'"]),
        ("{name: tractor, engine: {name: engine, powr: 1}}", ["c.yaml: machine.engine.powr", "'power'"]),
    ],
)
def test_errors_name_file_key_and_what_is_valid(tmp_path: Path, text: str, words: list[str]) -> None:
    path = write(tmp_path, "c.yaml", f"machine: {text}")
    with pytest.raises(ConfigError) as caught:
        CATALOGUE.build(load_config(path).section("machine"))
    for word in words:
        assert word in str(caught.value)


def test_an_override_is_blamed_on_the_command_line(tmp_path: Path) -> None:
    path = write(tmp_path, "c.yaml", "machine: {name: engine, power: 1}")
    with pytest.raises(ConfigError, match=r"command line: machine\.pwer"):
        CATALOGUE.build(load_config(path, ["machine.pwer=2"]).section("machine"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 1", "must hold sections, not list"),
        ("", "must hold sections, and is empty"),
        ("a: [", "cannot be read"),
        ("base: c.yaml", "circle"),
        (None, "no such config"),
    ],
)
def test_unusable_files_are_named(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "c.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(path)
    assert "c.yaml" in str(caught.value)


def test_a_missing_file_suggests_its_neighbour(tmp_path: Path) -> None:
    write(tmp_path, "avatars.yaml", "a: 1")
    with pytest.raises(ConfigError, match=r"did you mean 'avatars\.yaml'"):
        load_config(tmp_path / "avatar.yaml")


def test_convert_refuses_what_yaml_cannot_mean() -> None:
    assert convert({4: 128, 8: 64}, dict[int, int]) == {4: 128, 8: 64}
    assert convert(None, int | None) is None
    for value, kind in ((1.5, int), ("x", float), ([1], int), ({"a": 1}, list[int]), (3, str), (None, int)):
        with pytest.raises(TypeError):
            convert(value, kind)


def test_what_the_caller_supplies_cannot_be_configured() -> None:
    with pytest.raises(ConfigError, match="owner"):
        check_arguments(Section({"owner": "x", "engine": {}}, "car"), Car, given=("owner",))


def test_a_key_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    """Before: the second value was taken, and the first lost without a word."""
    (tmp_path / "c.yaml").write_text("training:\n  steps: 5\n  seed: 1\n  steps: 6\n")
    with pytest.raises(ConfigError, match="c.yaml: cannot be read as YAML in line 4, column 3: 'steps' occurs twice"):
        load_config(tmp_path / "c.yaml")
    (tmp_path / "c.yaml").write_text("a: &a {x: 1}\nb: &b {<<: *a, x: 2}\nc: {<<: *b, x: 3}\n")
    assert load_config(tmp_path / "c.yaml").plain()["c"] == {"x": 3}  # what is merged in may be overridden


@pytest.mark.parametrize("override", ["a..b=1", ".a=1", "a.=1", ".=1", "=1"])
def test_an_override_with_an_empty_key(tmp_path: Path, override: str) -> None:
    (tmp_path / "c.yaml").write_text("a: {b: 1}\n")
    with pytest.raises(ConfigError, match="is not of the form dotted.key=value"):
        load_config(tmp_path / "c.yaml", [override])


def test_a_config_in_another_encoding(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_bytes("a: 1\n".encode("utf-16"))
    with pytest.raises(ConfigError, match="c.yaml: cannot be read: it is not UTF-8; save it so"):
        load_config(tmp_path / "c.yaml")
