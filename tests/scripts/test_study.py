"""The study's plumbing: what it plans, that it runs from end to end on few steps, and that it goes on after a stop."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from scripts import study_avatars
from scripts.study.plan import Plan
from scripts.study.work import StudyError, finished
from utils.config import load_config
from utils.paths import ROOT


def plan(quick: bool = False) -> Plan:
    return Plan(load_config(ROOT / "configs/study.yaml"), quick, "runs/study", 1)


def test_every_method_has_as_many_trials_and_three_seeds() -> None:
    study = plan()
    assert {len(study.trials(method)) for method in study.methods} == {3}
    chosen = {method: {} for method in study.methods}
    for correlation in study.correlations:
        runs = study.comparison(chosen, correlation)
        assert len({run.name for run in runs}) == len(runs)
        assert all(f"data.faces.correlation={correlation}" in run.overrides for run in runs)
        for method in study.methods:
            random = study.methods[method].get("seed", "training.seed") is not None
            assert sum(run.method == method for run in runs) == (3 if random else 1)


def test_ablation_configs_differ_in_their_terms_alone() -> None:
    """Fig. 5: one loss more each time and nothing else."""
    configs = [load_config(ROOT / path).plain() for path in plan().values["ablation"].values()]
    last = configs[-1]
    for config, terms in zip(configs, (["nll"], ["nll", "reg"], ["nll", "reg", "mi"]), strict=False):
        assert config["method"].pop("terms") == terms and config["method"].pop("semantic_encoder") is None
        config["method"]["semantic_encoder"] = last["method"]["semantic_encoder"]
        config["run"] = last["run"]
        assert config == last


def test_a_run_of_other_settings_is_not_taken_for_this_one(tmp_path: Path) -> None:
    run = plan().sweep()[0]
    assert not finished(run, tmp_path)
    (tmp_path / run.name).mkdir()
    (tmp_path / run.name / "study.yaml").write_text("another")
    with pytest.raises(StudyError, match="other settings"):
        finished(run, tmp_path)


def test_quick_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--quick", "-o", str(tmp_path / "out"), "--runs", str(tmp_path / "runs"), "--jobs", "2"]
    assert study_avatars.main(arguments) == 0, capsys.readouterr().err
    text = (tmp_path / "out/report.md").read_text()
    for method in plan(quick=True).methods:
        assert f"| {method} |" in text
    for name in ("comparison", "ablation", "sweep", "correlation", "information", "reliability", "sheet"):
        with Image.open(tmp_path / f"out/{name}.png") as picture:
            assert picture.width > 300
    comparison = json.loads((tmp_path / "out/comparison.json").read_text())
    assert comparison["references"]["inversion"]["methods"]["AdaTrans"]["seeds"] == 2
    marked = text.replace("Not written yet.", "A conclusion.")
    (tmp_path / "out/report.md").write_text(marked)
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*.safetensors")}
    assert study_avatars.main([*arguments, "--only", "correlation"]) == 0
    assert times == {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*.safetensors")}
    assert "A conclusion." in (tmp_path / "out/report.md").read_text()
