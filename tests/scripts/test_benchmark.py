"""The benchmark: its arithmetic, what it refuses, and the whole command on small networks."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from models.stylegan2.generator import Generator as OwnGenerator
from scripts import benchmark
from scripts.benchmarks import ROW_NAMES, flops, measure, memory, rows
from scripts.benchmarks.accuracy import bfloat16_effect, solver_errors
from scripts.benchmarks.measure import Disagreement, Plan, time_row
from scripts.benchmarks.rows import BFLOAT16, FLOAT32, PUBLISHED, ROWS, Row, Setting, Work
from scripts.benchmarks.stand_ins import StandIns
from scripts.published.encoders import E4eEncoder, SemanticEncoder
from scripts.published.flow import Flow
from scripts.published.generator import Generator

CHANNELS = {4: 12, 8: 10, 16: 6, 32: 4}


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    folder = tmp_path_factory.mktemp("stand_ins") / "small"
    small = Plan(small=True, folder=folder, device="cpu", rounds=1)
    small.networks.write(folder)
    return small


def counted(function: object, *inputs: object) -> int:
    with FlopCounterMode(display=False) as counter:
        function(*inputs)  # type: ignore[operator]
    return counter.get_total_flops()


def test_flop_of_a_synthesis() -> None:
    own = OwnGenerator(32, style_dim=9, mapping_layers=1, channels=CHANNELS)
    network = Generator.with_weights(own.state_dict())
    latent = torch.randn(1, own.latent_count, 9, requires_grad=True)
    work, filters = flops.synthesis(CHANNELS, 9), flops.fir(CHANNELS)
    assert counted(network.synthesis, latent) == work + filters
    assert flops.synthesis(CHANNELS, 9, batch=3) == 3 * work
    # with gradients to weights, as published, every product is done twice more in backward, every filter once more
    assert counted(lambda: network.synthesis(latent).sum().backward()) == 3 * work + 2 * filters


def test_flop_of_a_velocity() -> None:
    flow = Flow(6, 3, [8, 10])
    context, x = torch.randn(2, 4), torch.randn(2, 5, 6)
    assert counted(flow.chain[1].odefunc.diffeq, context, x) == flops.velocity([6, 8, 10, 6], 3, batch=2, rows=5)


@pytest.mark.parametrize("kind", ["e4e", "semantic encoder"])
def test_flop_of_a_network(kind: str) -> None:
    sizes = StandIns.small().domain["encoder"]
    with torch.device("meta"):
        if kind == "e4e":
            network = E4eEncoder(**{key: value for key, value in sizes.items() if key != "name"}).eval()
        else:
            network = SemanticEncoder(3, "r18", [8]).eval()
        image = torch.empty(2, 3, 64, 64)
    assert counted(network, image) == flops.network(network, 2, 3, 64, 64)


def test_errors_are_relative_and_psnr_is_of_the_span() -> None:
    value = torch.tensor([0.0, 3.0, 4.0])
    assert measure.relative_error(value * 1.01, value) == pytest.approx(0.01, rel=1e-4)
    assert measure.relative_error(value * math.nan, value) == math.inf
    assert measure.relative_error(value[:2], value) == math.inf
    assert measure.psnr(value + 0.04, value) == pytest.approx(40, rel=1e-4)
    assert measure.psnr(value * math.nan, value) == -math.inf


@pytest.mark.parametrize("variant, factor", [(FLOAT32, 1.001), (BFLOAT16, 1.2), (FLOAT32, math.nan)])
def test_disagreement_is_an_error(plan: Plan, monkeypatch: pytest.MonkeyPatch, variant: str, factor: float) -> None:
    """Ours, made wrong by a factor, gets no time."""

    def wrong(setting: Setting, which: str) -> Work:
        work = rows.synthesis(setting, which)
        right = work.outputs
        if which == variant:
            work = replace(work, outputs=lambda: {name: value * factor for name, value in right().items()})
        return work

    row = next(row for row in ROWS if row.name == "synthesis")
    monkeypatch.setattr(measure, "ROWS", (replace(row, build=wrong),))
    with pytest.raises(Disagreement, match="picture"):
        time_row("synthesis", plan)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_rows_agree_and_are_measured(plan: Plan, row: Row) -> None:
    result = json.loads(json.dumps(time_row(row.name, plan)))
    variants = [PUBLISHED, *row.goals]
    assert list(result["seconds"]) == list(result["rounds"]) == variants
    assert all(value > 0 and math.isfinite(value) for value in result["seconds"].values())
    for variant in row.goals:
        assert result["ratio"][variant] == result["seconds"][PUBLISHED] / result["seconds"][variant]
        floor = result["flop"][variant] / result["matmul_flop_per_second"][variant]
        assert 0 < result["share_of_floor"][variant] == pytest.approx(floor / result["seconds"][variant])
    assert result["relative_error"] and (BFLOAT16 in row.goals) == bool(result["psnr"])


def test_command(plan: Plan, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Table and JSON of one row, with memory, each part in a process of its own."""
    report = tmp_path / "results.json"
    options = ["--quick", "--only", "flow-editing", "--threads", "1", "--device", "cpu"]
    assert benchmark.main([*options, "--rounds", "1", "--json", str(report), "--folder", str(plan.folder.parent)]) == 0
    results = json.loads(report.read_text())
    assert [row["name"] for row in results["rows"]] == ["flow-editing"]
    assert {"date", "processor", "threads", "torch", "operators", "networks"} <= set(results["machine"])
    held = results["rows"][0]["memory"]
    assert set(held) == {PUBLISHED, FLOAT32} and all(100e6 < value < 5e9 for value in held.values())
    assert "| w → z → w_e, batch 8 |" in capsys.readouterr().out
    again = {"machine": {"date": "later"}, "rows": [{"name": "encoding"}]}
    merged = benchmark.with_older(again, report)
    assert [row["name"] for row in merged["rows"]] == ["encoding", "flow-editing"]  # the table's order
    assert merged["rows"][0]["date"] == "later" != merged["rows"][1]["date"] == results["machine"]["date"]


def test_a_failed_row_is_told_and_ends_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(function: object, *arguments: object) -> None:
        if function is time_row:
            raise Disagreement("encoding: codes differ")

    monkeypatch.setattr(benchmark, "in_subprocess", fails)
    assert benchmark.main(["--quick", "--only", "encoding", "--folder", str(tmp_path)]) == 1
    assert "codes differ" in capsys.readouterr().out


def test_the_rows_are_those_that_help_names() -> None:
    assert tuple(row.name for row in ROWS) == ROW_NAMES


def test_unknown_rows_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        benchmark.main(["--only", "sinthesis"])
    assert "synthesis-gradient" in capsys.readouterr().err


def test_growth_is_drawn(tmp_path: Path) -> None:
    series = rows.growth(StandIns.small())
    assert [one.quantity for one in series] == ["batch", "resolution", "tolerance"]
    assert [value for value, _ in series[1].lines["synthesis"]] == [8, 16, 32, 64, 128]
    names = [row.name for one in series for points in one.lines.values() for _, row in points]
    assert len(set(names)) == len(names)
    measured = {name: {"seconds": {PUBLISHED: 2.0, FLOAT32: 1.0}} for name in names}
    from scripts.benchmarks.report import figure

    figure(series, measured, tmp_path / "growth.png")
    assert (tmp_path / "growth.png").read_bytes()[:4] == b"\x89PNG"


def test_accuracy_on_a_few_avatars() -> None:
    errors = solver_errors(2, torch.device("cpu"))
    assert errors.published.shape == errors.ours.shape == (10,)
    assert (errors.published < 1e-2).all() and (errors.ours < 1e-2).all() and (errors.ours > 0).all()
    low = bfloat16_effect(7, torch.device("cpu"))
    assert low["edits"] == 7 and low["decisions"] == 35
    assert 30 < low["psnr"]["least"] <= low["psnr"]["mean"] < 100


def test_memory_of_a_training_step(plan: Plan, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Recomputing must save something where the maps are most of it; a table and a figure say so."""
    full = plan.networks.sides[0]
    settings = memory.variants(full)
    names = "as it is", "recompute_from, synthesis_batch 1"
    held = [benchmark.in_subprocess(memory.memory_of_step, plan, full, 48, settings[name]) for name in names]
    assert 200e6 < held[1] < held[0] - 20e6
    points = [
        {"resolution": side, "batch": batch, "variant": name, "bytes": held[0]}
        for side, batch in ((full, 1), (full, 2), (full // 2, 2))
        for name in names
    ]
    text = memory.table(points)
    assert f"| {full}² | 2 |" in text and names[1] in text
    memory.draw(points, full, 2, tmp_path / "memory.png")
    assert (tmp_path / "memory.png").stat().st_size > 5000
    with pytest.raises(SystemExit):
        memory.parse_arguments(["--device", "nonsense"])
    assert "nonsense" in capsys.readouterr().err
