"""What scripts/convert_checkpoint.py says without PyTorch is true; tests/models/weight_files runs the command."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.weight_files.kinds import KINDS
from models.weight_files.writing import PUBLIC_FORMATS
from scripts import convert_checkpoint
from utils.paths import ROOT

JUDGE = ROOT / "pretrained/avatars/judge.safetensors"


def test_networks_and_formats_are_those_that_help_names() -> None:
    assert {*convert_checkpoint.NETWORKS} == {kind.name for kind in KINDS}
    assert {*convert_checkpoint.FORMATS} == {*PUBLIC_FORMATS}


@pytest.mark.parametrize("read", [["judge.safetensors"], [str(JUDGE), "--decoder", "./judge.safetensors"]])
def test_a_file_that_is_read_is_not_written(
    read: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("judge.safetensors").write_bytes(JUDGE.read_bytes())
    Path("link.safetensors").symlink_to("judge.safetensors")
    source, *more = read
    for target in ("judge.safetensors", str(tmp_path / "judge.safetensors"), "link.safetensors"):
        with pytest.raises(SystemExit) as stop:
            convert_checkpoint.main([source, target, *more, "--overwrite"])
        assert stop.value.code == 2 and "is a file that is read" in capsys.readouterr().err
    assert Path("judge.safetensors").read_bytes() == JUDGE.read_bytes()
