"""scripts/set_up.py decides when to install, and says in a sentence what stands in the way. Nothing is downloaded."""

from __future__ import annotations

import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from scripts import set_up


class Project:
    """A project folder in which creating .venv and calling pip are played, and counted."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.pip_calls: list[list[str]] = []
        self.output, self.status = "Successfully installed\n", 0
        root.mkdir()
        (root / "requirements.txt").write_text("torch==2.13.0\n")
        (root / "pyproject.toml").write_text("[project]\n")
        self.place(root, patch)
        patch.setattr(set_up.venv, "create", self.create)
        patch.setattr(subprocess, "run", self.pip)

    def place(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.root = root
        for name, path in (("ROOT", ""), ("VENV", ".venv"), ("PYTHON", ".venv/bin/python"),
                           ("REQUIREMENTS", "requirements.txt"), ("STAMP", ".venv/installation")):  # fmt: skip
            patch.setattr(set_up, name, root / path)

    def create(self, folder: Path, with_pip: bool, clear: bool) -> None:
        set_up.PYTHON.parent.mkdir(parents=True)
        set_up.PYTHON.touch()

    def pip(self, command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        self.pip_calls.append(command)
        if "-e" in command:
            (self.root / "sdflow.egg-info").mkdir(exist_ok=True)
        return subprocess.CompletedProcess(command, self.status, self.output)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    return Project(tmp_path / "project", monkeypatch)


def test_packages_and_the_project_are_installed_once(project: Project) -> None:
    set_up.main([])
    requirements, itself = project.pip_calls
    assert requirements[-2:] == ["-r", str(project.root / "requirements.txt")]
    assert itself[-2:] == ["-e", str(project.root)] and {"--no-deps", "--no-build-isolation"} <= {*itself}
    assert sorted(path.name for path in project.root.iterdir()) == [".venv", "pyproject.toml", "requirements.txt"]
    set_up.main([])
    assert len(project.pip_calls) == 2


def test_the_packages_of_an_extra_come_in_addition_and_stay(project: Project) -> None:
    set_up.main([])
    set_up.main(["--with", "page"])
    assert len(project.pip_calls) == 5 and project.pip_calls[-1][-1] == f"{project.root}[page]"
    set_up.main(["--with", "page"])
    set_up.main([])
    assert len(project.pip_calls) == 5
    (project.root / "requirements.txt").write_text("changed\n")
    set_up.main([])
    assert project.pip_calls[-1][-1] == f"{project.root}[page]"


@pytest.mark.parametrize("file", ["requirements.txt", "pyproject.toml"])
def test_what_the_installation_depends_on_makes_it_anew(project: Project, file: str) -> None:
    set_up.main([])
    (project.root / file).write_text("changed\n")
    set_up.main([])
    assert len(project.pip_calls) == 4


def test_a_moved_folder_is_installed_where_it_is_now(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up.main([])
    project.place(project.root.rename(tmp_path / "moved"), monkeypatch)
    set_up.main([])
    assert project.pip_calls[-1][-1] == str(tmp_path / "moved")


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("ERROR: Could not install packages: [Errno 28] No space left on device", "the disk is full"),
        (
            "WARNING: Retrying after connection broken by 'NewConnectionError'\n"
            "ERROR: No matching distribution found for torch==2.13.0",
            "registry cannot be reached",
        ),
        ("ERROR: No matching distribution found for torch==2.13.0", "no ready-made wheel for this Python"),
        ("some lines\nERROR: something else\n", "pip failed: ERROR: something else"),
        ("", "pip failed: no message"),
    ],
)
def test_a_failed_installation_says_why_and_is_tried_again(project: Project, output: str, reason: str) -> None:
    project.output, project.status = output, 1
    with pytest.raises(SystemExit, match=f"set-up stopped: .*{reason}.*install.log"):
        set_up.main([])
    assert (project.root / ".venv/install.log").read_text() == output
    project.status = 0
    set_up.main([])
    assert len(project.pip_calls) == 3


def test_an_unfit_machine_is_refused_before_anything_is_written(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "free")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "version_info", (3, 9, 0))
        with pytest.raises(SystemExit, match=r"Python 3\.9 is not supported, 3\.10 to 3\.13 are"):
            set_up.main([])
    with monkeypatch.context() as patch:
        patch.setattr(set_up.shutil, "disk_usage", lambda path: usage(0.5e9))
        with pytest.raises(SystemExit, match=r"0\.5 GB are free"):
            set_up.main([])
    assert not (project.root / ".venv").exists()


def test_help_installs_nothing(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        set_up.main(["--help"])
    assert "Python 3.10 to 3.13" in capsys.readouterr().out and not (project.root / ".venv").exists()
