"""An editor that was published works for others as it does here, and its folder holds what it should and no more."""

from __future__ import annotations

import argparse
import builtins
import json
import runpy
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

import edit
from models.domain import PARTS
from models.editing import Studio
from models.evaluation.contestants import load_contestants, named_run
from scripts import convert_checkpoint, inspect_checkpoint, publish
from scripts.publishing.space import requirements, write_space
from scripts.publishing.weights import FrozenNetwork, check_ours
from tests.hub import Hub, hub_for_tests
from tests.test_imports import import_graph
from utils import hub as hub_module
from utils.manifest import public_file
from utils.paths import ROOT
from utils.weights import WeightsError, load_weights

SHIPPED = ROOT / "pretrained/avatars"
EVALUATION = ROOT / "results/avatars/decorrelated"
NETWORKS = {f"{part}.safetensors" for part in PARTS}
AVATARS = [str(SHIPPED / "editor.safetensors"), "--device", "cpu"]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    with hub_for_tests(monkeypatch, tmp_path / "cache") as server:
        yield server


@pytest.fixture(scope="module")
def tiny(tiny_domain_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published folder of the tiny editor with its networks."""
    folder = tmp_path_factory.mktemp("published") / "model"
    words = [str(tiny_domain_folder), "-o", str(folder), "--licence", "Ours alone", "--with-networks"]
    assert publish.main([*words, "--device", "cpu"]) == 0
    return folder


@pytest.fixture(scope="module")
def avatars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published folder of the shipped editor, `model`, and its Space, `space`."""
    folder = tmp_path_factory.mktemp("avatars")
    words = [*AVATARS, "-o", str(folder / "model"), "--licence", "MIT", "--name", "alice/faces"]
    assert publish.main([*words, "--evaluation", str(EVALUATION), "--space", str(folder / "space")]) == 0
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def card(folder: Path) -> tuple[dict, str]:
    _, head, text = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(head), text


def edited(checkpoint: str, folder: Path) -> dict[str, bytes]:
    """The pictures that edit.py makes of a face."""
    words = [str(folder.parent / "face.png"), "-o", str(folder), "--checkpoint", checkpoint, "--set", "Smiling=1"]
    assert edit.main([*words, "--quiet", "--device", "cpu"]) == 0
    return files(folder / "faces")


def test_what_was_published_gives_others_the_same_bytes(
    hub: Hub, tiny: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    Image.effect_noise((32, 32), 80).convert("RGB").save(tmp_path / "face.png")
    commit = hub.repository().upload(tiny)
    local = edited(str(tiny / "editor.safetensors"), tmp_path / "local")
    capfd.readouterr()
    fetched = edited("hf:alice/faces", tmp_path / "fetched")
    assert fetched == local and len(local) == 3
    said = capfd.readouterr().err
    assert {name for name in NETWORKS if f"/{name}@{commit}: fetching" in said} == NETWORKS
    report = json.loads((tmp_path / "fetched/report.json").read_text(encoding="utf-8"))
    pinned = report["editor"]["file"]
    assert pinned == f"hf:alice/faces/editor.safetensors@{commit}"

    hub.end()
    for number, address in enumerate(("hf:alice/faces", pinned)):
        hub_module._listing.cache_clear()
        assert edited(address, tmp_path / f"offline-{number}") == local
    assert capfd.readouterr().err == ""


def test_every_door_takes_an_address(
    hub: Hub, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commit = hub.repository().upload(tiny)
    pinned = f"hf:alice/faces/editor.safetensors@{commit}"
    [contestant] = load_contestants([named_run("Ours=hf:alice/faces")], torch.device("cpu"))
    assert (contestant.method, contestant.metadata["file"]) == ("Ours", pinned)
    assert Studio.open("hf:alice/faces@main", device="cpu").metadata["file"] == pinned
    assert inspect_checkpoint.main(["hf:alice/faces"]) == 0 and capsys.readouterr().out.startswith(pinned)
    words = ["hf:alice/faces/generator.safetensors", str(tmp_path / "generator.pt")]
    assert convert_checkpoint.main(words) == 0 and (tmp_path / "generator.pt").is_file()
    assert inspect_checkpoint.main(["hf:alice/nobody"]) == 1 and "no such repository" in capsys.readouterr().err


def test_the_page_names_the_commit(hub: Hub, tiny: Path) -> None:
    from scripts.page_parts.workbench import open_bench

    commit = hub.repository().upload(tiny)
    bench = open_bench("hf:alice/faces", device="cpu")
    assert list(bench.words) == ["--checkpoint", f"hf:alice/faces/editor.safetensors@{commit}"]


def test_no_folder_of_the_publisher_is_published(tiny: Path, tiny_domain_folder: Path) -> None:
    assert set(files(tiny)) == {"README.md", "editor.safetensors", *NETWORKS}
    for name, data in files(tiny).items():
        assert str(tiny_domain_folder).encode() not in data and b"/tmp/" not in data, name
    before, after = (load_weights(folder / "editor.safetensors") for folder in (tiny_domain_folder, tiny))
    assert all(torch.equal(before[0][key], after[0][key]) for key in before[0])
    assert after[1]["domain"]["generator"]["weights"] == "generator.safetensors"
    head, text = card(tiny)
    assert (head["license"], head["license_name"]) == ("other", "Ours alone")
    assert "generator (`generator.safetensors`): the publisher's own" in text and "Not measured" in text


def test_the_folder_of_the_shipped_editor(avatars: Path) -> None:
    model = files(avatars / "model")
    assert set(model) == {"README.md", "curves.png", "editor.safetensors", "sheet.png"}
    assert model["editor.safetensors"] == (SHIPPED / "editor.safetensors").read_bytes()
    with Image.open(avatars / "model/sheet.png") as sheet:
        assert sheet.width > 7 * 128
    head, text = card(avatars / "model")
    assert head["license"] == "mit" and head["pipeline_tag"] == "image-to-image"
    for part in ("--checkpoint hf:alice/faces\n", "avatar_faces editor_train (16,000 faces)", "comes with SDFlow"):
        assert part in text
    table = (EVALUATION / "report.md").read_text(encoding="utf-8").partition("## All attributes")[0]
    assert [line for line in table.splitlines() if line.startswith("| SDFlow")][0] in text


def test_a_licence_is_needed_and_asked_for(
    tmp_path: Path, tiny_domain_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(tiny_domain_folder), "-o", str(tmp_path / "model"), "--device", "cpu"]
    assert publish.main(words) == 2 and "--licence is missing" in capsys.readouterr().err
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(builtins, "input", lambda prompt: " ")
    assert publish.main(words) == 2 and "without a licence nobody may use" in capsys.readouterr().err
    assert not (tmp_path / "model").exists()
    monkeypatch.setattr(builtins, "input", lambda prompt: "cc-by-4.0")
    assert publish.main(words) == 0 and card(tmp_path / "model")[0]["license"] == "cc-by-4.0"
    said = capsys.readouterr().out
    assert "generator: the publisher's own" in said and "hf upload OWNER/NAME" in said


def test_refusals(tmp_path: Path, tiny: Path, tiny_domain_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["-o", str(tmp_path / "model"), "--licence", "mit"]
    assert publish.main([str(tiny_domain_folder), "-o", str(tmp_path / "alone"), "--licence", "mit"]) == 0
    said = capsys.readouterr().out
    assert "another hash" in said and "no example pictures" in said and "only you have generator.safetensors" in said
    assert publish.main([str(tiny_domain_folder), *out, "--evaluation", str(EVALUATION), "--device", "cpu"]) == 2
    assert "measures the editor b3d74df04ef708fb, this one is" in capsys.readouterr().err
    assert publish.main([*AVATARS, *out, "--evaluation", str(tmp_path)]) == 2
    assert "no report of evaluate.py" in capsys.readouterr().err
    for wrong, reason in (
        ([*AVATARS, "-o", str(tiny)], "is not empty"),
        ([*AVATARS, *out, "--name", "alice"], "is not OWNER/NAME"),
        ([*AVATARS, "-o", out[1], "--licence", "a\nb"], "a licence has a name in one line"),
        ([*AVATARS, *out, "--space", out[1]], "lie side by side"),
        ([*AVATARS, *out, "--space", f"{out[1]}/space"], "lie side by side"),
        ([*AVATARS, "-o", f"{out[1]}/model", "--space", out[1]], "lie side by side"),
    ):
        with pytest.raises(SystemExit) as stop:
            publish.main(wrong)
        assert stop.value.code == 2 and reason in capsys.readouterr().err
    assert not (tmp_path / "model").exists()


def test_networks_of_others_are_not_given_away(tmp_path: Path) -> None:
    path = ROOT / "pretrained/ffhq/stylegan2-ffhq-config-f.pt"
    network = FrozenNetwork("generator", path, public_file(path), False)
    with pytest.raises(WeightsError, match=r"not yours to give \(StyleGAN2 config-f.*not for commercial use"):
        check_ours([network])
    foreign = tmp_path / "generator.safetensors"
    foreign.write_bytes((SHIPPED / "generator.safetensors").read_bytes().replace(b'"sdflow"', b'"others"'))
    with pytest.raises(WeightsError, match="another project's"):
        check_ours([FrozenNetwork("generator", foreign, None, False)])


def test_the_folder_of_the_space(avatars: Path) -> None:
    space = avatars / "space"
    head, _ = card(space)
    assert (head["sdk"], head["app_file"], head["models"]) == ("gradio", "app.py", ["alice/faces"])
    pins = (space / "requirements.txt").read_text(encoding="utf-8")
    assert pins == requirements() and f"gradio=={head['sdk_version']}\n" in pins and "pytest" not in pins
    networks = NETWORKS - {"parser.safetensors"}  # the shipped editor was trained in a domain without one
    assert {path.name for path in space.glob("*.safetensors")} == {"editor.safetensors", *networks}
    graph = import_graph(ROOT)
    waiting, needed = ["scripts.publishing.space_app"], set[str]()
    while waiting:
        new = graph[waiting.pop()] - needed
        needed |= new
        waiting += new
    copied = import_graph(space)
    assert len(needed) > 50 and needed <= set(copied) and {name: graph[name] for name in copied} == copied


def test_the_space_opens_the_page(avatars: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gradio", reason='not installed: gradio (pip install ".[page]")')
    from tests.page.calls import Tab

    monkeypatch.setenv("GRADIO_SERVER_NAME", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as free:
        monkeypatch.setenv("GRADIO_SERVER_PORT", str(free.getsockname()[1]))
    server = runpy.run_path(str(avatars / "space/app.py"))["open_page"]()
    try:
        tab = Tab(server)
        shown = tab.call("_opened", [0])  # the first sample face
        sliders = [float(value["value"] if isinstance(value, dict) else value) for value in shown[-7:-1]]
        message, _, facts, _ = tab.move(*sliders[:3], 1.2, *sliders[4:])
        assert message == "" and "the edited face" in facts
    finally:
        server.close()


def test_a_sample_is_published_without_what_its_file_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = "at home", 6  # description, orientation
    Image.new("RGB", (40, 30), "red").save(tmp_path / "me.jpg", exif=exif, comment=b"at home")
    write_space(tmp_path / "space", "Faces", "alice/faces", "mit", [tmp_path / "me.jpg"])
    assert list(files(tmp_path / "space/samples")) == ["me.png"]
    assert b"at home" not in files(tmp_path / "space/samples")["me.png"]
    with Image.open(tmp_path / "space/samples/me.png") as picture:
        assert picture.size == (30, 40) and not picture.info and not picture.getexif()


def test_options_say_what_fits() -> None:
    assert publish.repository("alice/faces-1.0") == "alice/faces-1.0"
    with pytest.raises(argparse.ArgumentTypeError, match="OWNER/NAME"):
        publish.repository("alice")
