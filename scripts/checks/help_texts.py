#!/usr/bin/env python
"""Write what the commands answer to --help into scripts/help/, where pages link to it and a test compares it.

    python scripts/checks/help_texts.py
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import sys
from pathlib import Path
from unittest import mock

from utils.failures import explain_failures
from utils.files import write_text
from utils.paths import ROOT, displayed

FOLDER = ROOT / "scripts/help"
COMMANDS = (
    *("train.py", "edit.py", "evaluate.py", "scripts/demo.py", "scripts/download.py", "scripts/encode_dataset.py"),
    *("scripts/inspect_checkpoint.py", "scripts/convert_checkpoint.py", "scripts/build_avatars.py"),
    *("scripts/benchmark.py", "scripts/study_avatars.py", "scripts/check_golden.py", "scripts/page.py"),
    "scripts/generate.py",
    "scripts/sample_faces.py",
    "scripts/measure_generator.py",
    "scripts/publish.py",
    "scripts/export_onnx.py",
)
WIDTH = 120  # characters, whatever the terminal's width


def help_path(command: str) -> Path:
    """Where the help text of a command is kept."""
    return FOLDER / f"{Path(command).stem}.txt"


def help_text(command: str) -> str:
    """What a command, named by its file relative to the project, prints for --help at a width of 120 characters."""
    module = importlib.import_module(command.removesuffix(".py").replace("/", "."))
    printed = io.StringIO()
    with (
        mock.patch.object(sys, "argv", [command, "--help"]),
        mock.patch.dict(os.environ, COLUMNS=str(WIDTH)),
        contextlib.redirect_stdout(printed),
        contextlib.suppress(SystemExit),
    ):
        module.main()
    return printed.getvalue()


def main() -> int:
    """Run the command; returns its exit status, 0."""
    for command in COMMANDS:
        write_text(help_path(command), help_text(command))
        print(displayed(help_path(command)))
    return 0


if __name__ == "__main__":
    explain_failures()
    sys.exit(main())
