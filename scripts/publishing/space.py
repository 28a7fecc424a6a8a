"""A Gradio Space: this project's code, an editor with its networks, sample faces, the app that opens the page."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from scripts.publishing.card import front_matter
from utils.files import write_text
from utils.paths import ROOT
from utils.photos import read_photo

_APP = Path(__file__).with_name("space_app.py")
_PACKAGES = ("models", "utils", "scripts/page_parts")


def write_space(folder: Path, title: str, name: str, licence: str, samples: Sequence[Path]) -> None:
    """Write everything of a Space but the weights into a folder.

    Args:
        name: OWNER/NAME of the model's repository.
        samples: sample faces that the page offers.
    Raises:
        PhotoError: one cannot be read.
    """
    for package in _PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__", "*.md")
        shutil.copytree(ROOT / package, folder / package, ignore=ignored, dirs_exist_ok=True)
    shutil.copyfile(ROOT / "scripts/__init__.py", folder / "scripts/__init__.py")
    shutil.copyfile(_APP, folder / "app.py")
    shutil.copyfile(ROOT / "LICENSE", folder / "LICENSE")
    (folder / "samples").mkdir(exist_ok=True)
    for sample in samples:
        picture = read_photo(sample)
        picture.info.clear()  # where and when it was taken is nobody's business
        picture.save(folder / "samples" / f"{sample.stem}.png")
    version = page_requirement().partition("==")[2]
    head = front_matter(
        licence, title=title, sdk="gradio", sdk_version=version, python_version="3.12", app_file="app.py", models=[name]
    )
    text = f"# {title}\n\nPull a slider and see the face change. Uploads are deleted once they were read.\n"
    write_text(folder / "README.md", f"{head}\n{text}")
    write_text(folder / "requirements.txt", requirements())


def requirements() -> str:
    """The tested packages without those of the tests, and the page's."""
    tested, separator, _ = (ROOT / "requirements.txt").read_text(encoding="utf-8").partition("# for `make test` only")
    assert separator
    return f"{tested}{page_requirement()}\n"


def page_requirement() -> str:
    """The package of the page, with its version."""
    [found] = re.findall(r'^page = \["(gradio==[\d.]+)"\]', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    return str(found)
