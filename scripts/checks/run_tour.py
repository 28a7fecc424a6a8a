#!/usr/bin/env python
"""Run scripts/tour.py as a notebook and write scripts/tour.ipynb, with everything that it shows.

    python scripts/checks/run_tour.py        a few minutes; needs the packages of the extra `notebook`
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from utils.failures import explain_failures
from utils.files import write_text
from utils.options import CommandParser
from utils.paths import ROOT, displayed

if TYPE_CHECKING:
    from nbformat import NotebookNode

SOURCE = ROOT / "scripts/tour.py"
NOTEBOOK = SOURCE.with_suffix(".ipynb")
LIMIT = 1800  # seconds of a cell; the training takes longest


def tour() -> NotebookNode:
    """The notebook that the source stands for, not yet run."""
    import jupytext

    notebook = jupytext.read(SOURCE, fmt="py:percent")
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:02d}"  # they would be random, and differ at each call
    return notebook


def run(notebook: NotebookNode) -> None:
    """Run all cells in a process of this Python, in the folder of the notebook, and put what they show into it.

    Raises:
        CellExecutionError: a cell failed; the message has its traceback.
    """
    from nbclient import NotebookClient

    place = {"metadata": {"path": str(NOTEBOOK.parent)}}
    NotebookClient(notebook, timeout=LIMIT, kernel_name="python3", record_timing=False, resources=place).execute()


def main() -> int:
    """Run the command; returns its exit status, 0."""
    parser = CommandParser(__doc__)
    parser.parse_args()
    import nbformat

    notebook = tour()
    run(notebook)
    write_text(NOTEBOOK, nbformat.writes(notebook) + "\n")
    print(f"{NOTEBOOK.stat().st_size / 1e3:.0f} kB in {displayed(NOTEBOOK)}")
    return 0


if __name__ == "__main__":
    explain_failures()
    sys.exit(main())
