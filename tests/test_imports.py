"""Dependencies point one way: scripts and commands → training → criteria, datasets → models → utils, without circles.

Read from the source, so that imports inside functions and those for type annotations alone count as well.
"""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from utils.paths import ROOT

ALLOWED = {  # folder → the folders that its modules may import from
    "utils": {"utils"},
    "models": {"models", "utils"},
    "criteria": {"criteria", "models", "utils"},
    "datasets": {"datasets", "models", "utils"},
    "training": {"training", "criteria", "datasets", "models", "utils"},
}
COMMANDS = ("train", "edit", "evaluate")
Graph = dict[str, set[str]]  # module → modules that it imports


def import_graph(root: Path, folders: tuple[str, ...] = (*ALLOWED, "scripts")) -> Graph:
    """The imports among the modules of these folders and the commands beside them."""
    files = [path for folder in folders for path in sorted((root / folder).rglob("*.py"))]
    files += [path for name in COMMANDS if (path := root / f"{name}.py").is_file()]
    modules = {".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path for path in files}
    return {name: imported(path, set(modules)) - {name} for name, path in modules.items()}


def imported(path: Path, modules: set[str]) -> set[str]:
    """Those of the modules that a file imports; of a package alone where it imports what is defined there."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{path}: relative import"
            members = (f"{node.module}.{alias.name}" for alias in node.names)
            names |= {member if member in modules else node.module for member in members}
    return names & modules


def circle(graph: Graph) -> list[str]:
    """Modules that import each other in a ring, or none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def upward(graph: Graph) -> list[str]:
    """Imports of what stands higher, as `importer → imported`."""
    return [
        f"{module} → {target}"
        for module, targets in graph.items()
        for target in sorted(targets)
        if target.partition(".")[0] not in ALLOWED.get(module.partition(".")[0], {*ALLOWED, "scripts", *COMMANDS})
    ]


@pytest.fixture(scope="module")
def graph() -> Graph:
    return import_graph(ROOT)


def test_no_modules_import_each_other(graph: Graph) -> None:
    assert len(graph) > 200 and "models.editing.run" in graph["edit"]
    assert circle(graph) == []


def test_no_import_points_upwards(graph: Graph) -> None:
    assert upward(graph) == []


def test_hidden_imports_are_found(tmp_path: Path) -> None:
    files = {
        "models/__init__.py": "",
        "models/one.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from models.two import Two\n",
        "models/two.py": "def two():\n    from models import one\n    import training.loop\n",
        "training/loop.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    found = import_graph(tmp_path)
    assert set(circle(found)) == {"models.one", "models.two"}
    assert upward(found) == ["models.two → training.loop"]
