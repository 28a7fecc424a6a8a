"""The README shows commands that the real parsers accept, files that exist, and numbers that were measured."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import edit
import evaluate
import train
from scripts import (
    build_avatars,
    convert_checkpoint,
    download,
    encode_dataset,
    inspect_checkpoint,
)
from scripts.checks import rehearse_ffhq
from utils.manifest import SHIPPED_MANIFEST, Manifest
from utils.paths import ROOT

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
PARSERS: dict[str, Callable[[list[str]], Any]] = {
    "train.py": train.parse_arguments,
    "edit.py": edit.parse_arguments,
    "evaluate.py": evaluate.parse_arguments,
}
SCRIPTS: dict[str, Callable[[list[str]], Any]] = {
    f"{module.__name__.replace('.', '/')}.py": module.parse_arguments
    for module in (build_avatars, convert_checkpoint, download, encode_dataset, inspect_checkpoint, rehearse_ffhq)
}


def commands() -> list[list[str]]:
    """Every `python …` of the README as words."""
    fenced = re.findall(r"^python (\S.*)$", TEXT, re.MULTILINE)
    quoted = re.findall(r"`python ([^`]+)`", TEXT)
    return [shlex.split(text.replace("…", ""), comments=True) for text in fenced + quoted]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_commands_are_what_the_parsers_accept(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (ROOT / words[0]).is_file()
    (tmp_path / "FOLDER").mkdir()
    monkeypatch.chdir(tmp_path)
    parse = {**PARSERS, **SCRIPTS}.get(words[0])
    if parse and "--help" not in words:
        options = parse(words[1:])
        if words[0] == "scripts/download.py":
            Manifest(SHIPPED_MANIFEST).chosen(options.names)
    for word in words:
        if word.startswith("configs/"):
            assert (ROOT / word).is_file()


def test_every_command_is_shown() -> None:
    shown = {words[0] for words in commands()}
    assert {*PARSERS, *SCRIPTS} <= shown
    assert "make demo" in TEXT and "make test" in TEXT


def plain(text: str) -> str:
    """Help text without what differs between Python versions: line breaks, and `-o OUT, --output OUT`."""
    text = re.sub(r"(-\w) (\S+), (--[\w-]+) \2", r"\1, \3 \2", text)
    return " ".join(text.split())


@pytest.mark.parametrize("name", PARSERS)
def test_help_is_the_real_one(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        PARSERS[name](["--help"])
    shown = re.findall(r"^<summary>python (\S+) --help</summary>\n\n```\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    assert plain(dict(shown)[name]) == plain(capsys.readouterr().out)


def test_linked_files_exist() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        if "://" not in target:
            assert (ROOT / target).exists(), target
