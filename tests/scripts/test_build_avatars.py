"""The build's decisions, with a stand-in for train.py that writes what the real one writes in no time."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
import yaml

from scripts.build_avatars import BY_NAME, STAGES, Build, differences, main, ship, what_counts
from utils.weights import load_weights, save_weights

FAKE_TRAINING = '''
import json, sys
from pathlib import Path
import numpy, safetensors.numpy, yaml  # no torch, whose import takes seconds
sys.path.insert(0, {project!r})
from utils.config import load_config

root, (kind, name) = Path.cwd(), sys.argv[1:3]
with (root / "calls").open("a") as stream:
    stream.write(kind + " " + Path(name).name + "\\n")
if kind == "--config":
    config = load_config(root / name)
    config["domain"] = load_config(root / config["domain"]).plain()
    folder = root / "runs" / config["run"]
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config.plain()))
else:
    folder = Path(name)
    config = load_config(folder / "config.yaml")
for suffix in ("safetensors", "state.pt"):
    (folder / "checkpoints" / ("step-0000001." + suffix)).write_text("")
if (root / "interrupt").exists():
    sys.exit(1)
part = "editor" if config["run"].endswith("flow-avatars") else config["run"].removeprefix("avatars-").split("_")[0]
header = {{"sdflow": json.dumps({{"config": config.plain()}})}}
safetensors.numpy.save_file({{"w": numpy.random.rand(1)}}, folder / (part + ".safetensors"), metadata=header)
'''


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project of its own, with small configs."""
    domain = {stage.part: {"name": "network", "width": 4} for stage in STAGES if stage.part != "editor"}
    files = {"domain.yaml": {"attributes": ["Male"], "image_side": 64, **domain}}
    for stage in STAGES:
        files[stage.config] = {
            "domain": "domain.yaml",
            "data": {"name": "avatar_faces", "cache": "cache"},
            "method": {"name": stage.name, "learning_rate": 0.1},
            "training": {"steps": 10, "preview_every": 5},
            "run": f"{stage.name}-avatars" if stage.part == "editor" else f"avatars-{stage.name}",
        }
    for name, values in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(values))
    project = str(Path(__file__).resolve().parents[2])
    (tmp_path / "train.py").write_text(FAKE_TRAINING.format(project=project))
    (tmp_path / "calibrate.py").write_text("import shutil, sys; shutil.copy(sys.argv[1], sys.argv[3])")
    return tmp_path


def build(root: Path, *arguments: str) -> tuple[int, list[str]]:
    """Exit status, and which calls of train.py it took."""
    (root / "calls").write_text("")
    state = Build(root, (sys.executable, str(root / "train.py")), (sys.executable, str(root / "calibrate.py")))
    status = main([*arguments, "--no-measure"], state)
    return status, (root / "calls").read_text().splitlines()


def reason(root: Path, stage: str) -> str | None:
    return Build(root, ()).why(BY_NAME[stage])


def change(root: Path, stage: str, section: str, **values: object) -> None:
    path = root / BY_NAME[stage].config
    config = yaml.safe_load(path.read_text())
    config[section].update(values)
    path.write_text(yaml.safe_dump(config))


def test_stages_are_trained_once_and_in_the_order_of_their_needs(root: Path) -> None:
    status, calls = build(root)
    assert status == 0
    assert [call.split()[1] for call in calls] == [Path(stage.config).name for stage in STAGES]
    for number, stage in enumerate(STAGES):
        assert set(stage.needs) <= {earlier.name for earlier in STAGES[:number]}
        assert (root / "pretrained/avatars" / f"{stage.ships_as or stage.part}.safetensors").is_file()
    assert build(root) == (0, [])
    record = json.loads((root / "pretrained/avatars/build.json").read_text())
    assert set(record) == set(BY_NAME) and all(entry["minutes"] >= 0 for entry in record.values())


def test_a_changed_config_is_named_and_trained_again_and_the_old_run_is_kept(root: Path) -> None:
    build(root, "--stages", "judge")
    change(root, "judge", "training", preview_every=2)
    change(root, "judge", "data", cache="elsewhere")
    assert reason(root, "judge") is None  # neither changes the weights
    change(root, "judge", "training", steps=20)
    assert reason(root, "judge") == "config changed: training.steps: 10 → 20"
    old = (root / "runs/avatars-judge/judge.safetensors").read_bytes()
    status, calls = build(root, "--stages", "judge")
    assert (status, calls) == (0, ["--config judge.yaml"])
    assert (root / "runs/avatars-judge.old-1/judge.safetensors").read_bytes() == old
    assert load_weights(root / "pretrained/avatars/judge.safetensors")[1]["config"]["training"]["steps"] == 20


def test_an_interrupted_stage_is_resumed(root: Path) -> None:
    (root / "interrupt").touch()
    assert build(root, "--stages", "teacher", "judge") == (1, ["--config judge.yaml"])
    assert not (root / "pretrained/avatars/judge.safetensors").exists()
    (root / "interrupt").unlink()
    status, calls = build(root, "--stages", "teacher", "judge")
    assert (status, calls) == (0, ["--resume avatars-judge", "--config teacher.yaml"])


def test_what_was_trained_with_an_earlier_network_is_trained_again(root: Path) -> None:
    build(root)
    status, calls = build(root, "--stages", "generator", "--force", "generator")
    assert (status, calls) == (0, ["--config generator.yaml"])
    assert reason(root, "encoder") == "trained with an earlier generator"
    assert reason(root, "judge") is None
    status, calls = build(root)
    later = ("encoder", "parser", "sdflow", "s2flow", "id_swap")
    users = [f"--config {Path(BY_NAME[name].config).name}" for name in later]
    assert (status, calls) == (0, users)


def test_an_intermediate_result_is_made_only_for_the_stage_that_needs_it(root: Path) -> None:
    build(root)
    shutil.rmtree(root / "runs")  # as in a fresh clone: pretrained/ alone is kept
    assert build(root) == (0, [])
    assert not (root / "pretrained/avatars/generator_start.safetensors").exists()
    change(root, "generator", "training", steps=20)
    status, calls = build(root, "--stages", "judge", "generator_start", "generator")
    assert (status, calls) == (0, ["--config generator_start.yaml", "--config generator.yaml"])
    change(root, "generator", "training", steps=30)
    assert build(root, "--stages", "generator_start", "generator") == (0, ["--config generator.yaml"])


def test_a_dry_run_says_why_and_touches_nothing(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(root.rglob("*"))
    assert main(["--dry-run"], Build(root, ("nothing",))) == 0
    assert "judge           train: no weights yet" in capsys.readouterr().out
    assert sorted(root.rglob("*")) == before


def test_damaged_or_foreign_weights_are_no_result(root: Path) -> None:
    path = root / "pretrained/avatars/judge.safetensors"
    save_weights(path, {"weight": torch.zeros(1)}, {})
    assert "do not say" in str(reason(root, "judge"))
    path.write_bytes(b"broken")
    assert "not a whole safetensors file" in str(reason(root, "judge"))


def test_a_stage_that_ends_without_weights_is_an_error(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (root / "train.py").write_text("")
    assert build(root, "--stages", "judge")[0] == 1
    assert "ended without judge.safetensors" in capfd.readouterr().err


def test_wrong_usage_is_refused(root: Path) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--stages", "judge", "--force", "encoder"])
    assert stop.value.code == 2
    (root / "domain.yaml").unlink()
    assert build(root, "--stages", "judge")[0] == 2


def test_differences_name_every_leaf() -> None:
    old = {"a": {"b": 1, "c": [1, 2]}, "d": 3, "channels": {"4": 128, "8": 64}}  # as read back from a weight file
    new = {"a": {"b": 2, "c": (1, 2)}, "e": 4, "channels": {4: 128, 8: 64}}
    assert differences(old, new) == ["a.b: 1 → 2", "d: 3 → None", "e: None → 4"]


def test_another_width_of_a_needed_network_counts() -> None:
    config = {"domain": {"generator": {"width": 4}, "judge": {"width": 4}}, "training": {}}
    wider = {"domain": {"generator": {"width": 8}, "judge": {"width": 8}}, "training": {}}
    assert differences(what_counts(config, BY_NAME["encoder"]), what_counts(wider, BY_NAME["encoder"])) == [
        "networks.generator.width: 4 → 8"
    ]


def test_shipping_in_16_bits_spares_vectors_and_the_mean_code(tmp_path: Path) -> None:
    state = {"weight": torch.rand(3, 4), "variance": torch.rand(5), "latent_avg": torch.rand(2, 3)}
    save_weights(tmp_path / "made.safetensors", state, {"step": 1})
    ship(tmp_path / "made.safetensors", tmp_path / "half.safetensors", half=True)
    shipped, metadata = load_weights(tmp_path / "half.safetensors")
    assert metadata == {"step": 1} and torch.equal(shipped["weight"], state["weight"].half())
    assert torch.equal(shipped["variance"], state["variance"])
    assert torch.equal(shipped["latent_avg"], state["latent_avg"])
