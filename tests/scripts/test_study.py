"""The study's plumbing: what it plans, that it runs from end to end on few steps, and that it goes on after a stop."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from matplotlib import rcParams
from PIL import Image

from models.domain import Domain
from models.evaluation import consistency
from scripts import study_avatars
from scripts.study.parallel import in_parallel
from scripts.study.plan import Plan, StudyError
from scripts.study.work import finished
from utils.config import ConfigError, load_config
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
    study = plan()
    run = study.sweep({method: {} for method in study.methods})[0]
    assert not finished(run, tmp_path)
    (tmp_path / run.name).mkdir()
    (tmp_path / run.name / "study.yaml").write_text("another")
    with pytest.raises(StudyError, match="other settings"):
        finished(run, tmp_path)


@pytest.fixture
def networks_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each run reads the same frozen networks from the same files, a hundred times in all."""
    read, kept = Domain._load, {}

    def read_once(domain: Domain, part: str) -> object:
        key = domain.weights_path(part)
        if key not in kept:
            kept[key] = read(domain, part)
        return kept[key]

    monkeypatch.setattr(Domain, "_load", read_once)


@pytest.fixture
def small_study(tmp_path: Path) -> Path:
    """A study of one method of each kind: learned, learned from another network, fitted at once."""
    content = yaml.safe_load((ROOT / "configs/study.yaml").read_text(encoding="utf-8"))
    kinds = ("SDFlow", "Latent Transformer", "linear directions")
    content["methods"] = {name: entry for name, entry in content["methods"].items() if name in kinds}
    names = list(content["ablation"])
    content["ablation"] = {name: content["ablation"][name] for name in (names[0], names[1], names[-1])}
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


@pytest.mark.usefixtures("networks_read_once")
def test_quick_study(
    small_study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consistency, "VALUES", (0.0, 1.0))  # eight values a sweep take a fifth of the time
    monkeypatch.setitem(rcParams, "figure.dpi", 60)
    folders = ["-o", str(tmp_path / "out"), "--runs", str(tmp_path / "runs")]
    arguments = ["--quick", "--study", str(small_study), *folders, "--jobs", "1"]
    assert study_avatars.main(arguments) == 0, capsys.readouterr().err
    text = (tmp_path / "out/report.md").read_text(encoding="utf-8")
    for name in ("comparison", "ablation", "sweep", "correlation", "information", "reliability", "sheet"):
        with Image.open(tmp_path / f"out/{name}.png") as picture:
            assert picture.width > 300
    comparison = json.loads((tmp_path / "out/comparison.json").read_text())
    seeds = {name: entry["seeds"] for name, entry in comparison["references"]["inversion"]["methods"].items()}
    assert seeds == {"SDFlow": 1, "Latent Transformer": 1, "linear directions": 1}
    assert "| true counterfactual, encoded | inversion |" in text
    (tmp_path / "out/report.md").write_text(text.replace("Not written yet.", "A conclusion."), encoding="utf-8")
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.png")}
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*.safetensors")}
    assert study_avatars.main([*arguments, "--only", "correlation"]) == 0
    assert times == {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*.safetensors")}
    anew = {path.name for path, time in written.items() if path.stat().st_mtime_ns != time}
    assert anew == {"correlation.png"}
    assert "A conclusion." in (tmp_path / "out/report.md").read_text(encoding="utf-8")


def test_methods_can_be_left_out() -> None:
    section = load_config(ROOT / "configs/study.yaml")
    assert "AdaTrans" not in Plan(section, False, "runs/study", 1, ["AdaTrans"]).methods
    with pytest.raises(ConfigError, match="did you mean 'AdaTrans'"):
        Plan(section, False, "runs/study", 1, ["AdaTran"])
    with pytest.raises(ConfigError, match="ablation needs SDFlow"):
        Plan(section, False, "runs/study", 1, ["SDFlow"])


def test_a_misspelt_key_is_named(small_study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_study.write_text(small_study.read_text().replace("search:", "serach:"), encoding="utf-8")
    assert study_avatars.main(["--study", str(small_study), "-o", str(tmp_path)]) == 2
    assert "did you mean 'search'" in capsys.readouterr().err


def test_two_processes_share_the_work_and_tell_of_a_failure(tmp_path: Path) -> None:
    marks = [tmp_path / str(index) for index in range(3)]
    in_parallel([(mark.name, mark.mkdir) for mark in marks], 2, 1, "making folders")
    assert all(mark.is_dir() for mark in marks)
    with pytest.raises(FileExistsError):
        in_parallel([(mark.name, mark.mkdir) for mark in marks], 2, 1, "making them again")


@pytest.mark.parametrize("text", ["x: 1", "quick: {}", "quick: 5", "quick: {overrides: {}}"])
def test_a_study_that_lacks_keys(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    """Before: KeyError."""
    (tmp_path / "study.yaml").write_text(text + "\n")
    assert study_avatars.main(["--quick", "-o", str(tmp_path / "out"), "--study", str(tmp_path / "study.yaml")]) == 2
    assert capsys.readouterr().err.startswith("study_avatars.py: ")
