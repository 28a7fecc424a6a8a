"""The notebook is that of scripts/tour.py, was run whole, runs, and fetches the project where it is missing."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scripts.checks import run_tour
from utils.config import load_config
from utils.paths import ROOT

for package in ("nbclient", "ipykernel", "jupytext"):
    pytest.importorskip(package, reason=f'not installed: {package} (pip install ".[notebook]")')
nbformat = pytest.importorskip("nbformat")  # of nbclient

if TYPE_CHECKING:
    from nbformat import NotebookNode

STEPS = load_config(ROOT / "configs/sdflow/avatars_tour.yaml")["training"]["steps"]


@pytest.fixture(scope="module")
def committed() -> NotebookNode:
    return nbformat.read(run_tour.NOTEBOOK, as_version=4)


def contents(notebook: NotebookNode) -> list[tuple[str, str]]:
    return [(cell.cell_type, cell.source) for cell in notebook.cells]


def code(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def shown(notebook: NotebookNode) -> list[list[str]]:
    """What kinds of things each code cell shows."""
    kinds = {"display_data": lambda output: min(output.data), "stream": lambda output: output.name}
    return [[kinds[output.output_type](output) for output in cell.outputs] for cell in code(notebook)]


def test_the_notebook_is_that_of_the_source(committed: NotebookNode) -> None:
    assert contents(committed) == contents(run_tour.tour()), "python scripts/checks/run_tour.py writes it again"
    nbformat.validate(committed)


def test_the_outputs_are_small_and_of_one_whole_run(committed: NotebookNode) -> None:
    assert run_tour.NOTEBOOK.stat().st_size < 1_000_000
    cells = code(committed)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    kinds = [kind for cell in shown(committed) for kind in cell]
    assert kinds.count("image/png") >= 10 and set(kinds) == {"image/png", "text/markdown", "stdout"}
    assert re.search(rf"\b{STEPS} steps on", json.dumps(committed)), "the outputs are those of the quick run"


def test_its_links_lead_somewhere(committed: NotebookNode) -> None:
    targets = [target for _, text in contents(committed) for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)]
    assert len(targets) > 10
    for target in targets:
        assert (run_tour.NOTEBOOK.parent / target).exists(), target


def test_it_runs_from_start_to_end(
    committed: NotebookNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SDFLOW_TOUR_QUICK", "1")
    for name in ("TMPDIR", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR"):  # nothing outside is read or written
        monkeypatch.setenv(name, str(tmp_path))
    notebook = run_tour.tour()
    run_tour.run(notebook)
    assert shown(notebook) == shown(committed)


def hosted(folder: Path, repository: str) -> subprocess.CompletedProcess[str]:
    """The first cell where the project is not there. pip only says what it would do, and looks nothing up."""
    first = code(run_tour.tour())[0].source
    source = first.replace('REPOSITORY = ""', f"REPOSITORY = {repository!r}")
    assert not repository or source != first
    pip = {"PIP_DRY_RUN": "1", "PIP_NO_DEPS": "1", "PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0"}
    environment = {**os.environ, **pip}
    words = [sys.executable, "-c", f"{source}\nprint(os.getcwd(), sys.path[0])"]
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_a_hosted_notebook_fetches_and_installs_the_project(tmp_path: Path) -> None:
    source, place = tmp_path / "source", tmp_path / "place"
    place.mkdir()
    commands = ("train.py", "edit.py", "evaluate.py")
    for name in ("pyproject.toml", "README.md", "LICENSE", "models/editing/studio.py", *commands):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-C", str(source)]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "all"]):
        subprocess.run([*git, *words], check=True)
    result = hosted(place, str(source))
    assert result.returncode == 0, result.stderr
    assert result.stdout.split()[-2:] == [str(place / "sdflow")] * 2
    assert (place / "sdflow/models/editing/studio.py").is_file()


def test_a_hosted_notebook_without_an_address_says_so(tmp_path: Path) -> None:
    result = hosted(tmp_path, "")
    assert result.returncode == 1 and result.stderr.startswith("The project is not here")
    assert not any(tmp_path.iterdir())


def test_in_a_checkout_nothing_is_fetched(tmp_path: Path) -> None:
    result = hosted(ROOT / "scripts", str(tmp_path / "nowhere"))
    assert result.returncode == 0 and result.stdout.split() == [str(ROOT)] * 2
