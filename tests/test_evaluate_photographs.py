"""evaluate.py on a folder of pictures: all that cannot be read and how many do not look aligned are said first."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

import edit
import evaluate
from tests.photographs import couple, photograph_editor, portrait

NEEDED = ["--no-linear", "--no-latents"]


@pytest.fixture(scope="module")
def checkpoint(tiny_domain_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return photograph_editor(tiny_domain_folder, tmp_path_factory.mktemp("editor") / "editor.safetensors")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("my photos")
    portrait().save(folder / "portrait.png")
    couple().save(folder / "couple.png")
    return folder


def run(faces: Path, output: Path, *words: str) -> int:
    return evaluate.main([*words, "--faces", str(faces), "-o", str(output), "--strengths", "0.5", "--device", "cpu"])


def report(output: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((output / "report.json").read_text())
    return found


def test_photographs_that_are_not_aligned(
    photos: Path, checkpoint: str, tiny_domain_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The numbers are the same as in a domain that takes pictures whole, where nothing is said."""
    assert run(photos, tmp_path / "out", "--checkpoint", checkpoint, *NEEDED) == 0
    said = capsys.readouterr().err
    expected = "2 of 2 pictures do not look aligned: "
    assert f"evaluate.py: {expected}" in said and "portrait.png: its face lies" in said
    found = report(tmp_path / "out")
    assert found["record"]["alignment"].startswith(expected)
    assert f"\n**Alignment:** {found['record']['alignment']}\n" in (tmp_path / "out/report.md").read_text()

    whole = str(tiny_domain_folder / "editor.safetensors")
    assert run(photos, tmp_path / "whole", "--checkpoint", whole, *NEEDED) == 0
    assert "align" not in capsys.readouterr().err and "alignment" not in report(tmp_path / "whole")["record"]
    assert report(tmp_path / "whole")["editors"] == found["editors"]

    command = said.split("align them first: python edit.py ")[1].split(", then --faces OUT/aligned")[0]
    words = shlex.split(command.replace("OUT", str(tmp_path / "cut")).replace("RUN", checkpoint))
    assert edit.main([*words, "--quiet", "--device", "cpu"]) == 0
    assert len(list((tmp_path / "cut/aligned").iterdir())) == 2
    options = evaluate.parse_arguments(["--faces", str(tmp_path / "cut/aligned")])
    _, domain, _ = evaluate.load_editor(checkpoint, evaluate.torch.device("cpu"))
    data = evaluate.test_data(options, domain)
    assert evaluate.alignment(options, domain, data) == {"alignment": "all of 2 pictures look aligned"}


def test_a_comparison_says_it_as_well(
    photos: Path, checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(photos, tmp_path / "out", "--compare", checkpoint) == 0
    assert "evaluate.py: 2 of 2 pictures do not look aligned: " in capsys.readouterr().err
    said = report(tmp_path / "out")["record"]["alignment"]
    assert f"\n**Alignment:** {said}\n" in (tmp_path / "out/report.md").read_text()


@pytest.mark.parametrize("option", ["--checkpoint", "--compare"])
def test_all_bad_pictures_are_named_before_the_work(
    option: str, photos: Path, tiny_domain_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pictures/nested").mkdir(parents=True)
    portrait().save(tmp_path / "pictures/good.png")
    (tmp_path / "pictures/empty.png").write_bytes(b"")
    (tmp_path / "pictures/nested/text.jpg").write_bytes(b"<html>not found</html>")
    words = [option, str(tiny_domain_folder / "editor.safetensors"), *(NEEDED if option == "--checkpoint" else [])]
    assert run(tmp_path / "pictures", tmp_path / "out", *words) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("evaluate.py: 2 of 3 pictures cannot be read") and len(said) == 3
    assert "empty.png" in said[1] and "nested/text.jpg" in said[2]
    assert not (tmp_path / "out/report.json").exists()
