"""The commands of datasets/OWN_LABELS.md, word by word but for sizes and places."""

from __future__ import annotations

import csv
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

import edit
import train
from scripts import encode_dataset
from scripts.avatars import draw_labelled
from tests.words import replaced
from utils.paths import ROOT

TUTORIAL = (ROOT / "datasets" / "OWN_LABELS.md").read_text(encoding="utf-8")
COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "scripts/avatars/draw_labelled.py": draw_labelled.main,
    "scripts/encode_dataset.py": encode_dataset.main,
    "train.py": train.main,
    "edit.py": edit.main,
}
SMALL = ("training.steps=1", "training.warmup_steps=0", "training.preview_images=2", "--quiet", "--device=cpu")
CHANGES = {  # config or script → what makes it quick
    "draw_labelled.py": ("--count", "24"),
    "teacher.yaml": (*SMALL, "training.batch_size=8"),
    "editor.yaml": (*SMALL, "training.batch_size=2", "data.first=4", "validation.count=2"),
    "encode_dataset.py": ("--shard-size", "10", "--quiet", "--device", "cpu"),
    "edit.py": ("--device", "cpu", "--quiet", "--force"),  # a young encoder of other faces may take these for foreign
}


def test_the_commands_of_the_tutorial(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configs = tmp_path / "configs"
    configs.mkdir()
    places = {"data/own": "data", "cache/own": "cache", "runs/own": "runs/own", "output/own": "output"}

    def moved(text: str) -> str:
        for old, new in places.items():
            text = text.replace(old, str(tmp_path / new))
        text = text.replace("configs/own_labels", str(configs))
        return re.sub(r"base: \.\./", f"base: {ROOT}/configs/", text)

    for path in (ROOT / "configs" / "own_labels").iterdir():
        text = moved(path.read_text(encoding="utf-8"))
        (configs / path.name).write_text(text, encoding="utf-8")
    lines = [line for block in re.findall(r"```sh\n(.*?)```", TUTORIAL, re.DOTALL) for line in block.splitlines()]
    assert len(lines) == 5
    for line in lines:
        python, script, *words = shlex.split(moved(line))
        assert python == "python" and (ROOT / script).is_file()
        key = next(key for key in CHANGES if any(word.endswith(key) for word in (script, *words)))
        words = replaced(words, *CHANGES[key])
        if script == "train.py":
            words += ["--run", str(tmp_path / "runs" / f"own-{key.removesuffix('.yaml')}")]
        status = COMMANDS[script](words)
        assert status == 0, (line, capsys.readouterr().err)
    with (tmp_path / "data" / "labels.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    shown = re.search(r"```\n(picture,.*?)```", TUTORIAL, re.DOTALL)
    assert shown is not None
    assert rows[:2] == list(csv.DictReader(shown[1].splitlines()))
    report = json.loads((tmp_path / "output" / "report.json").read_text(encoding="utf-8"))
    assert len(report["faces"]) == 2 and "Fair_Hair" in json.dumps(report)
    assert len(list((tmp_path / "output" / "faces").glob("*--input.png"))) == 2
    assert json.loads((tmp_path / "cache" / "report.json").read_text())["encoded"] == 24


def test_the_domain_that_is_shown_is_the_one_that_is_used() -> None:
    shown = re.search(r"```yaml\n(.*?)```", TUTORIAL, re.DOTALL)
    assert shown is not None
    assert shown[1] in (ROOT / "configs" / "own_labels" / "domain.yaml").read_text(encoding="utf-8")
