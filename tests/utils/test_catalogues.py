"""Names that stand for modules: a new class is a new file, and a wrong name is answered with the nearest one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from models.editors.base import Editor
from models.editors.catalogue import EDITORS
from training.method import Method
from training.methods import METHODS
from utils.catalogues import Modules
from utils.config import ConfigError, Section


class Tool:
    def __init__(self, size: int = 1) -> None:
        self.size = size


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Modules[Tool]:
    """The tools of a package with the modules `hammer`, `steel_hammer` (derived from it), `both` and `nails`."""
    monkeypatch.syspath_prepend(str(tmp_path))
    package = tmp_path / f"tools_of_{tmp_path.name}"
    package.mkdir()
    base = f"from {__name__} import Tool\n"
    texts = {
        "__init__": "",
        "hammer": f"{base}class Hammer(Tool): pass",
        "steel_hammer": f"from {package.name}.hammer import Hammer\nclass SteelHammer(Hammer): pass",
        "both": f"{base}class One(Tool): pass\nclass Two(Tool): pass",
        "nails": "LENGTH = 3",
    }
    for name, text in texts.items():
        (package / f"{name}.py").write_text(text)
    return Modules("tool", package.name, Tool, helpers=["nails"])


def test_a_module_is_found_by_its_name_and_no_other_is_imported(tools: Modules[Tool]) -> None:
    tool = tools.build(Section({"name": "hammer", "size": 3}, "tool"))
    assert type(tool).__name__ == "Hammer" and tool.size == 3
    assert f"{tools.package}.steel_hammer" not in sys.modules
    assert tools.find(Section({"name": "steel_hammer"})).__name__ == "SteelHammer"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "hamer"}, "tool.name: unknown tool 'hamer'; did you mean 'hammer'"),
        ({"name": "nails"}, "unknown tool 'nails'; valid: both, hammer, steel_hammer"),
        ({"name": "x.y"}, "unknown tool 'x.y'"),
        ({}, "tool: a tool needs 'name', one of both, hammer, steel_hammer"),
        ({"name": "hammer", "sise": 3}, "tool.sise: 'tool hammer' has no such key; did you mean 'size'"),
    ],
)
def test_wrong_sections_are_answered(tools: Modules[Tool], values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        tools.build(Section(values, "tool"))
    assert message in str(caught.value)


def test_a_module_of_two_classes_is_a_mistake_of_the_programmer(tools: Modules[Tool]) -> None:
    with pytest.raises(TypeError, match="both must define one subclass of Tool, not 2"):
        tools.load("both")


@pytest.mark.parametrize("name", EDITORS.names())
def test_every_editor_is_called_as_its_module(name: str) -> None:
    editor = EDITORS.load(name)
    assert issubclass(editor, Editor) and editor.name == name


@pytest.mark.parametrize("name", METHODS.names())
def test_every_method_stands_in_a_module_of_its_own(name: str) -> None:
    assert issubclass(METHODS.load(name), Method)


def test_names_in_shipped_files_and_configs() -> None:
    assert {"sdflow", "styleflow", "latent_transformer", "interfacegan", "adatrans", "linear"} <= set(EDITORS.names())
    methods = {"sdflow", "latent_classifier", "realnvp", "classifier", "identity", "stylegan2", "e4e"}
    assert methods <= set(METHODS.names())
