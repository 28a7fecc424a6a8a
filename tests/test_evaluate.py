"""evaluate.py on a domain in miniature: real networks with random weights, real files."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import evaluate
from models.domain import Domain
from models.editors.base import AttributeEditor
from models.editors.loading import load_editor
from models.editors.sdflow import SDFlowEditor
from models.evaluation.contestants import load_contestants, named_run
from models.evaluation.counterfactual import root_mean_square
from models.evaluation.faces import prepare
from models.evaluation.likelihood import closure, flow_nll, gaussian_nll
from models.evaluation.sweep import Sweep
from scripts.checks.weight_file_samples import flow_file, save, state_of
from utils.provenance import read_mark
from utils.weights import load_weights, save_weights

COUNT = 12
STRENGTHS = (-0.3, 0.2, 1.0)


@pytest.fixture(scope="module")
def results(tiny_domain_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole evaluation of the tiny editor on drawn faces."""
    folder = tmp_path_factory.mktemp("evaluation")
    state, metadata = load_weights(tiny_domain_folder / "editor.safetensors")
    faces = {"name": "avatar_faces", "count": 40, "split": "editor_train", "side": 32}
    data = {"name": "latent_cache", "faces": faces, "cache": str(folder / "latents")}
    save_weights(folder / "run/editor.safetensors", state, {**metadata, "config": {"data": data}})
    arguments = ["--checkpoint", str(folder / "run"), "--count", str(COUNT), "-o", str(folder / "out")]
    assert evaluate.main([*arguments, "--strengths", *map(str, STRENGTHS), "--device", "cpu"]) == 0
    return folder / "out"


def test_all_files_are_there_and_carry_where_they_come_from(results: Path) -> None:
    report = json.loads((results / "report.json").read_text())
    assert report["record"]["n"] == COUNT and report["record"]["seed"] == 0
    digest = report["record"]["checkpoint"]
    assert digest in (results / "report.md").read_text()
    assert f"# checkpoint: {digest}" in (results / "curves.csv").read_text()
    assert "decisions recovered by a linear probe trained on 40 faces" in report["latents"]
    for name in ("curves.png", "histograms.png"):
        with Image.open(results / name) as picture:
            assert picture.info["checkpoint"] == digest and picture.width > 600
    assert set(report["latents"]) and "closure, relative error" in report["latents"]
    mark = read_mark(results / "edits.png")
    assert mark is not None and mark["checkpoint"] == digest


def test_numbers_are_shares_and_the_csv_repeats_the_json(results: Path) -> None:
    report = json.loads((results / "report.json").read_text())
    lines = [line for line in (results / "curves.csv").read_text().splitlines() if not line.startswith("#")]
    rows = list(csv.DictReader(lines))
    assert {row["editor"] for row in rows} == {"SDFlow", "linear directions"}
    for row in rows:
        columns = report["editors"][row["editor"]][row["reference"]]["curves"][row["curve"]]
        index = report["editors"][row["editor"]][row["reference"]]["strengths"].index(float(row["strength"]))
        assert float(row["accuracy"]) == pytest.approx(columns["accuracy"][index], abs=1e-5)
        assert 0 <= float(row["accuracy"]) <= 1 and -1 <= float(row["identity"]) <= 1
        assert float(row["identity_low"]) <= float(row["identity"]) <= float(row["identity_high"])
        assert (row["preservation"] == "") == (row["curve"] == "all at once")
    rows = [(row["picture"], row["reference"]) for row in report["counterfactual"]]
    assert {("true counterfactual, encoded", reference) for reference in ("photo", "inversion")} < set(rows)
    assert {(name, reference) for name in report["editors"] for reference in ("photo", "inversion")} < set(rows)
    assert "| true counterfactual, encoded | inversion |" in (results / "report.md").read_text()


class _Idle(AttributeEditor):
    """Changes nothing."""

    def read(self, w: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(w), len(self.attributes))

    def move(self, rest: torch.Tensor, condition: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return rest


def test_an_editor_that_does_nothing_keeps_the_inversion(tiny_domain_folder: Path) -> None:
    domain = Domain.from_file(tiny_domain_folder / "domain.yaml")
    faces = prepare(domain, torch.rand(7, 3, 32, 32) * 2 - 1)
    done: list[int] = []
    outcomes = Sweep(_Idle(domain.attributes), domain, faces, done.append).run([0.0, 1.0])
    inversion, photo = outcomes["inversion"], outcomes["photo"]
    assert (inversion.flipped() == 0).all() and (inversion.preserved() == 1).all()
    assert inversion.identity == pytest.approx(np.ones_like(inversion.identity), abs=1e-5)
    lost = faces.decisions["photo"] != faces.decisions["inversion"]
    assert photo.flipped()[:-1, 0] == pytest.approx(lost.T.numpy().astype(float))
    assert sum(done) >= 7 * 6 * 2


def test_strength_stops_rising_where_all_decisions_turned(tiny_domain_folder: Path) -> None:
    domain = Domain.from_file(tiny_domain_folder / "domain.yaml")
    faces = prepare(domain, torch.rand(4, 3, 32, 32) * 2 - 1)
    faces.decisions["inversion"] = ~faces.decisions["inversion"]  # as if every edit had turned its decision
    outcomes = Sweep(_Idle(domain.attributes), domain, faces, lambda count: None).run([0.0, 0.5, 1.0])
    assert outcomes["inversion"].strengths == (0.0,)


def test_latent_measures_agree_with_what_is_known(tiny_domain_folder: Path) -> None:
    editor, domain, _ = load_editor(tiny_domain_folder / "editor.safetensors")
    draw = torch.Generator().manual_seed(0)
    latent = torch.randn(40, domain.styles, domain.style_dim, generator=draw)
    semantics = torch.rand(40, 5, generator=draw)
    expected = -editor.flow.log_prob(latent, semantics, exact=True).mean() / latent[0].numel()  # type: ignore[union-attr,operator]
    assert flow_nll(editor, latent, semantics) == pytest.approx(float(expected), rel=1e-4)  # type: ignore[arg-type]
    wide = 3 * torch.randn(4000, 2, 4, generator=draw) + 1
    entropy = 0.5 * np.log(2 * np.pi * np.e * 9)
    assert gaussian_nll(wide[:2000], wide[2000:]) == pytest.approx(entropy, abs=0.02)
    assert max(closure(editor, latent, semantics).values()) < 1e-3  # type: ignore[arg-type]


def test_distance_is_in_units_of_the_range() -> None:
    black, white = -torch.ones(2, 3, 4, 4), torch.ones(2, 3, 4, 4)
    assert root_mean_square(black, white).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("option", ["--checkpoint", "--compare"])
def test_an_editor_of_other_requests_is_refused(
    option: str, tiny_domain_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its condition is not (B, A): an evaluation of attributes would be wrong or fail somewhere inside."""
    monkeypatch.setattr(SDFlowEditor, "requests", ("voice",))
    file = str(tiny_domain_folder / "editor.safetensors")
    assert evaluate.main([option, file, "--count", "2", "--device", "cpu"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"evaluate.py: {file}: SDFlow takes requests of other kinds (voice) than attributes, ")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--checkpoint", "nowhere"], "nowhere"),
                (["--checkpoint", "{tiny}", "--faces", "no/such/folder", "--count", "2"], "no such folder"),
    ],
)
def test_wrong_usage_is_one_clear_line(
    arguments: list[str], words: str, tiny_domain_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filled = [argument.replace("{tiny}", str(tiny_domain_folder)) for argument in arguments]
    assert evaluate.main(filled) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


def test_published_pair_has_no_training_faces(
    tiny_domain_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flow = save(tmp_path / "prior-0010000", flow_file(state_of("continuous_flow")))
    encoder = save(tmp_path / "labeldist-0010000", state_of("semantic_encoder"))
    arguments = ["--checkpoint", str(flow), "--semantic-encoder", str(encoder), "-o", str(tmp_path / "out")]
    arguments += ["--domain", str(tiny_domain_folder / "domain.yaml"), "--count", "4", "--device", "cpu"]
    assert evaluate.main(arguments) == 2
    assert "--no-linear --no-latents" in capsys.readouterr().err
    assert evaluate.main([*arguments, "--no-linear", "--no-latents", "--strengths", "0.2"]) == 0
    assert "labeldist-0010000" in json.loads((tmp_path / "out/report.json").read_text())["checkpoint"]


def test_comparison_of_runs(tiny_domain_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state, metadata = load_weights(tiny_domain_folder / "editor.safetensors")
    for seed in range(2):
        moved = {key: value + 0.01 * seed if key.endswith("weight") else value for key, value in state.items()}
        save_weights(tmp_path / f"run-{seed}/editor.safetensors", moved, {**metadata, "config": {}})
    runs = [str(tmp_path / "run-0"), str(tmp_path / "run-1"), f"Shifted={tmp_path / 'run-1'}"]
    arguments = ["--compare", *runs, "--count", "6", "-o", str(tmp_path / "out"), "--device", "cpu"]
    arguments += ["--strengths", "0", "1"]
    assert evaluate.main(arguments) == 0
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert {name: len(entries) for name, entries in report["runs"].items()} == {"SDFlow": 2, "Shifted": 1}
    assert report["baseline"] == "SDFlow" and set(report["references"]) == {"inversion", "photo"}
    text = (tmp_path / "out/report.md").read_text()
    assert "| Shifted" in text and "SDFlow less this" in text
    for name in ("curves.png", "leakage.png", "sheet.png"):
        with Image.open(tmp_path / "out" / name) as picture:
            assert picture.width > 300
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "out/measured").iterdir()}
    assert len(kept) == 2  # one file a different editor
    assert evaluate.main([*arguments, "--baseline", "Shifted"]) == 0
    assert kept == {path: path.stat().st_mtime_ns for path in (tmp_path / "out/measured").iterdir()}
    capsys.readouterr()
    for wrong, words in (
        ([*arguments, "--baseline", "Shiftet"], "'Shiftet' is not among those compared: SDFlow"),
        (["--compare", runs[0], "Shipped=pretrained/avatars/editor.safetensors"], "its latent space is not that of"),
        (["--compare", runs[0], runs[0]], "given twice"),
        (["--compare", f"a|b={runs[0]}"], "takes a name without"),
    ):
        assert evaluate.main(wrong) == 2
        assert words in capsys.readouterr().err


def test_runs_of_other_settings_are_no_seeds(
    tiny_domain_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state, metadata = load_weights(tiny_domain_folder / "editor.safetensors")
    for name, seed, rate in (("a=1", 0, 1e-4), ("b", 1, 1e-4), ("c", 0, 1e-3)):
        config = {"run": name, "method": {"learning_rate": rate}, "training": {"seed": seed}}
        moved = {key: value + seed + rate if value.is_floating_point() else value for key, value in state.items()}
        save_weights(tmp_path / f"{name}/editor.safetensors", moved, {**metadata, "config": config})
    names = {name: named_run(str(tmp_path / name)) for name in ("a=1", "b", "c")}
    assert names["a=1"] == (None, str(tmp_path / "a=1"))  # it is there, so it is no NAME=
    one, other = load_contestants([names["a=1"], names["b"]], torch.device("cpu"))
    assert one.method == other.method == "SDFlow"
    assert evaluate.main(["--compare", str(tmp_path / "b"), str(tmp_path / "c"), "--count", "6"]) == 2
    assert "differ in more than their seeds" in capsys.readouterr().err
    assert evaluate.main(["--compare", str(tmp_path / "b"), "--count", "6", "--fit-count", "5"]) == 2
    assert "--fit-count: a comparison" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--anchors"], "--anchors needs --compare"),
        (["--compare", "runs/a", "--checkpoint", "runs/b"], "--checkpoint cannot be combined with --compare"),
        (["--strengths", "nan"], "must be a finite number"),
        (["--count", "1"], "must be at least 2"),
        (["--compare", "runs/a", "--fit-count", "5", "--no-latents"], "--fit-count: neither"),
        (["--no-linear", "--no-latents", "--fit-count", "5"], "--fit-count: neither"),
        (["--faces", "data", "-o", "./data/out"], "-o data/out: lies in --faces"),
        (["--faces", "output"], "-o output/evaluation: lies in --faces"),
    ],
)
def test_options_that_do_not_go_together(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        evaluate.parse_arguments(arguments)
    assert words in capsys.readouterr().err
