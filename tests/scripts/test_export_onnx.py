"""Exported editors: every file against PyTorch on other faces, whole edits against the pipeline's, and the command."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image

for package in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(package, reason=f'not installed: {package} (pip install ".[export]")')

from models.domain import Domain
from models.editing.pipeline import EditingPipeline
from models.editing.requests.attributes import AttributeRequest
from models.editors.base import Editor
from models.editors.loading import load_editor
from models.editors.targets import SetTo
from models.exporting.folder import example_values
from models.exporting.onnx_files import OnnxFile, write_onnx
from models.exporting.parts import plan_of
from models.exporting.programs import traced
from models.flows.unrolled import unroll
from scripts import export_onnx
from scripts.export_onnx import main
from utils.images import to_bytes, to_pillow
from utils.paths import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CLOSE = 1e-4
RUNTIME = ROOT / "output/onnxruntime-web"


@dataclass
class Exported:
    """A folder, and the editor that it was made of, with its flow in equal steps."""

    folder: Path
    editor: Editor
    domain: Domain
    pipeline: dict[str, Any]

    def run(self, steps: str, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        for step in self.pipeline[steps]:
            given = {name: values[value] for name, value in step["inputs"].items()}
            values[step["output"]] = OnnxFile(self.folder / step["file"])(given)
        return values


def exported(checkpoint: Path, folder: Path, steps: int, *options: str) -> Exported:
    words = ["-o", str(folder), "--checkpoint", str(checkpoint), "--steps", str(steps), *options]
    assert main(words) == 0
    editor, domain, _ = load_editor(checkpoint)
    unroll(editor, steps)
    return Exported(folder, editor, domain, json.loads((folder / "pipeline.json").read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def faces(tiny_domain_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two faces of the tiny domain."""
    editor, domain, _ = load_editor(tiny_domain_folder / "editor.safetensors")
    folder = tmp_path_factory.mktemp("faces")
    paths = [folder / "a.png", folder / "b.png"]
    for path, image in zip(paths, example_values(plan_of(editor, domain), domain, 2, seed=5)["image"], strict=True):
        to_pillow(image).save(path)
    return paths


@pytest.fixture(scope="module")
def attributes(tiny_domain_folder: Path, faces: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Exported:
    checkpoint, folder = tiny_domain_folder / "editor.safetensors", tmp_path_factory.mktemp("export")
    return exported(checkpoint, folder, 1, "--programs", "--browser", str(faces[0].parent))


@pytest.mark.parametrize("count", [1, 5])
def test_every_file_gives_what_pytorch_gives(attributes: Exported, count: int) -> None:
    values = example_values(plan_of(attributes.editor, attributes.domain), attributes.domain, count, seed=count)
    arrays = {name: value.numpy() for name, value in values.items()}
    for step in (*attributes.pipeline["invert"], *attributes.pipeline["edit"]):
        given = {name: arrays[value] for name, value in step["inputs"].items()}
        found = OnnxFile(attributes.folder / step["file"])(given)
        np.testing.assert_allclose(found, arrays[step["output"]], rtol=CLOSE, atol=CLOSE, err_msg=step["file"])
        assert found.dtype == arrays[step["output"]].dtype


def test_an_edit_by_the_files_is_that_of_the_pipeline(attributes: Exported) -> None:
    image = example_values(plan_of(attributes.editor, attributes.domain), attributes.domain, 2, seed=9)["image"]
    pipeline = EditingPipeline(attributes.domain, attributes.editor)
    faces = pipeline.invert(image)
    found = attributes.run("invert", {"image": image.numpy()})
    np.testing.assert_allclose(found["condition"], faces.condition.numpy(), rtol=CLOSE, atol=CLOSE)
    target = faces.condition.roll(1, 0)
    found["target"] = target.numpy()
    with torch.no_grad():
        expected = attributes.domain.synthesise_full(attributes.editor.move(faces.rest, faces.condition, target))
    np.testing.assert_allclose(attributes.run("edit", found)["picture"], expected.numpy(), atol=CLOSE)


def test_the_description_of_an_editor_of_attributes(attributes: Exported) -> None:
    pipeline = attributes.pipeline
    assert pipeline["condition"]["attributes"] == ["Eyeglasses", "Male", "Young", "Smiling", "Wavy_Hair"]
    assert [step["output"] for step in pipeline["invert"]] == ["latent", "condition", "rest"]
    assert pipeline["edit"][0]["inputs"] == {"rest": "rest", "target": "target"}
    assert pipeline["flow"]["steps"] == 1 and 0 < pipeline["flow"]["largest_error"] < 1e-3
    assert all(0 <= file["difference"] <= CLOSE for file in pipeline["files"].values())
    sizes = {name: (attributes.folder / f"{name}.onnx").stat().st_size for name in pipeline["files"]}
    assert sizes == {name: file["bytes"] for name, file in pipeline["files"].items()}


def test_no_folder_of_this_computer_is_in_a_file(attributes: Exported) -> None:
    for path in (path for path in attributes.folder.iterdir() if path.is_file()):
        contents = [path.read_bytes()]
        if path.suffix == ".pt2":
            with zipfile.ZipFile(path) as archive:
                contents = [archive.read(name) for name in archive.namelist()]
        for content in contents:
            assert str(ROOT).encode() not in content and torch.__file__.encode() not in content, path.name


def test_a_graph_of_torch_export_gives_the_same(attributes: Exported) -> None:
    values = example_values(plan_of(attributes.editor, attributes.domain), attributes.domain, 4, seed=4)
    graph = torch.export.load(attributes.folder / "move.pt2").module()
    torch.testing.assert_close(graph(values["rest"], values["target"]), values["edited"], rtol=0, atol=CLOSE)
    graph = torch.export.load(attributes.folder / "synthesise.pt2").module()
    torch.testing.assert_close(graph(values["edited"]), values["picture"], rtol=0, atol=CLOSE)


def written(editor: Editor, domain: Domain, part: str, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """What a part's file gives, and PyTorch, of which the file takes what its graph uses."""
    plan = plan_of(editor, domain)
    values = example_values(plan, domain)
    (call,) = [call for call in (*plan.invert, *plan.edit) if call.part.name == part]
    networks = {**dict(editor.named_children()), **domain.loaded()}
    program = traced(call.part.compute, call.inputs, values, networks)
    write_onnx(program.graph, program.inputs, call.output, folder / f"{part}.onnx")
    found = OnnxFile(folder / f"{part}.onnx")({name: values[name].numpy() for name in program.inputs})
    return found, values[call.output].numpy()


def test_an_editor_of_masks_has_a_parser_and_a_condition(tiny_mask_editor: Path, tmp_path: Path) -> None:
    editor, domain, _ = load_editor(tiny_mask_editor)
    invert = [(call.part.name, call.output) for call in plan_of(editor, domain).invert]
    assert [output for _, output in invert] == ["latent", "inversion", "mask", "condition", "rest"]
    assert invert[1:4] == [("synthesise", "inversion"), ("parse", "mask"), ("condition", "condition")]
    mask, expected = written(editor, domain, "parse", tmp_path)
    assert mask.dtype == np.int64 and len(np.unique(mask)) > 1
    np.testing.assert_array_equal(mask, expected)
    np.testing.assert_allclose(*written(editor, domain, "condition", tmp_path), rtol=CLOSE, atol=CLOSE)


def test_an_identity_swap_reads_pictures_alone_and_has_a_mapper(tiny_swap_editor: Path, tmp_path: Path) -> None:
    editor, domain, _ = load_editor(tiny_swap_editor)
    invert = [(call.part.name, call.output) for call in plan_of(editor, domain).invert]
    assert invert == [("read", "condition"), ("prepare", "rest")]
    for part in ("read", "move"):
        np.testing.assert_allclose(*written(editor, domain, part, tmp_path), rtol=CLOSE, atol=CLOSE)


def other_python(words: list[str], before: str = "pass") -> subprocess.CompletedProcess[str]:
    """A script in a process of its own, where nothing of this project can be imported."""
    start = f"import runpy, sys; {before}; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    return subprocess.run(
        [sys.executable, "-c", start, *words], capture_output=True, text=True, check=False, env={"PATH": ""}, cwd="/"
    )


def expected_levels(one: Exported, face: Path, request: AttributeRequest) -> np.ndarray:
    """The pipeline's edit of a picture, (H, W, 3)."""
    pipeline = EditingPipeline(one.domain, one.editor)
    edited = pipeline.edit(pipeline.invert(pipeline.align(Image.open(face))[None]), request)
    return to_bytes(edited.picture[0]).astype(int)


def test_the_example_edits_without_pytorch(attributes: Exported, faces: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    words = [str(attributes.folder / "edit_face.py"), str(faces[0]), str(out), "Smiling=1", "Young=-0.2"]
    done = other_python(words, "sys.modules.update(torch=None, models=None, utils=None)")
    assert (done.returncode, done.stderr) == (0, "")
    request = AttributeRequest.of({"Smiling": SetTo(1.0), "Young": SetTo(-0.2)})
    with Image.open(out) as picture:
        assert "SDFlow" in picture.info["Software"]
        levels = np.abs(np.asarray(picture) - expected_levels(attributes, faces[0], request))
    assert levels.max() <= 1 and (levels > 0).mean() < 0.01


def test_the_example_takes_the_condition_of_a_second_face(
    attributes: Exported, faces: list[Path], tmp_path: Path
) -> None:
    out = tmp_path / "out.png"
    done = other_python([str(attributes.folder / "edit_face.py"), str(faces[0]), str(out), str(faces[1])])
    assert (done.returncode, done.stderr) == (0, "")
    pipeline = EditingPipeline(attributes.domain, attributes.editor)
    both = pipeline.invert(torch.stack([pipeline.align(Image.open(face)) for face in faces]))
    code = attributes.editor.move(both.rest[:1], both.condition[:1], both.condition[1:])
    expected = to_bytes(attributes.domain.synthesise_full(code)[0])
    assert np.abs(np.asarray(Image.open(out)).astype(int) - expected).max() <= 1


@pytest.fixture()
def page(attributes: Exported, browser: Browser) -> Iterator[Page]:
    """The page, served as files; nothing on it may fail or ask another machine."""
    if not RUNTIME.is_dir():
        pytest.skip("not installed: onnxruntime-web (make onnxruntime-web)")
    shutil.copytree(RUNTIME, attributes.folder / "onnxruntime-web", dirs_exist_ok=True)
    handler = partial(QuietHandler, directory=str(attributes.folder))
    problems: list[str] = []
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        own = (f"http://127.0.0.1:{server.server_address[1]}/", "data:", "blob:")
        context = browser.new_context()
        opened = context.new_page()
        opened.set_default_timeout(120_000)
        opened.on("pageerror", lambda error: problems.append(str(error)))
        opened.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
        opened.on("request", lambda one: None if one.url.startswith(own) else problems.append(one.url))
        opened.goto(own[0])
        yield opened
        context.close()
        server.shutdown()
    assert problems == []


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def shown(page: Page, edits: int) -> np.ndarray:
    """The edited picture (H, W, 3), once so many edits were shown."""
    page.wait_for_function("edits => Number(document.body.dataset.edit) >= edits", arg=edits)
    side, values = page.evaluate(
        "() => { const c = document.querySelector('#after');"
        " return [c.width, [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]]; }"
    )
    return np.array(values).reshape(side, side, 4)[..., :3]


def test_the_page_edits_in_a_browser_without_a_server(page: Page, attributes: Exported, faces: list[Path]) -> None:
    unedited = shown(page, 1)
    assert np.abs(unedited - expected_levels(attributes, faces[0], AttributeRequest.of({}))).max() <= 1
    smile = page.get_by_role("slider", name="Smiling")
    read = float(smile.input_value())
    smile.evaluate("e => { e.value = 1.2; e.dispatchEvent(new Event('input', {bubbles: true})) }")
    edited, smiling = shown(page, 2), AttributeRequest.of({"Smiling": SetTo(1.2)})
    assert np.abs(edited - expected_levels(attributes, faces[0], smiling)).max() <= 1
    assert np.abs(edited - unedited).max() > 1
    page.get_by_role("button", name="Reset").click()
    np.testing.assert_array_equal(shown(page, 3), unedited)
    assert float(smile.input_value()) == read
    page.get_by_role("button", name="Face 2").click()
    second = shown(page, 4)
    assert np.abs(second - expected_levels(attributes, faces[1], AttributeRequest.of({}))).max() <= 1
    page.locator("#open").set_input_files(str(faces[0]))
    np.testing.assert_array_equal(shown(page, 5), unedited)
    page.locator("#open").set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": b"no picture"})
    page.wait_for_selector("#status.failed")


def test_a_page_needs_attributes_and_faces(
    tiny_mask_editor: Path, tiny_domain_folder: Path, faces: list[Path], tmp_path: Path, capsys: Any
) -> None:
    words = ["-o", str(tmp_path / "out"), "--browser"]
    assert main([*words, str(faces[0]), "--checkpoint", str(tiny_mask_editor)]) == 2
    assert "needs an editor of attributes" in capsys.readouterr().err
    (tmp_path / "broken.png").write_bytes(b"")
    assert main([*words, str(tmp_path), "--checkpoint", str(tiny_domain_folder / "editor.safetensors")]) == 2
    assert "broken.png" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_example_is_short() -> None:
    assert len((ROOT / "scripts/export_parts/edit_face.py").read_text(encoding="utf-8").splitlines()) <= 60


def test_a_difference_from_pytorch_is_said(
    attributes: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    description = {**attributes.pipeline, "files": {"read": {"difference": 2e-4}, "move": {"difference": 1e-6}}}
    monkeypatch.setattr(export_onnx, "export", lambda *_, **__: description)
    checkpoint = str(Path(attributes.domain.weights_path("generator")).parent / "editor.safetensors")
    assert main(["-o", str(tmp_path), "--checkpoint", checkpoint]) == 1
    assert "differs from PyTorch by more than 0.0001: read\n" in capsys.readouterr().err


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(export_onnx, "PACKAGES", ("onnx", "onnxruntim"))
    with pytest.raises(SystemExit) as stop:
        main(["-o", "nowhere"])
    assert stop.value.code == 2
    assert "not installed: onnxruntim (python scripts/set_up.py --with export)" in capsys.readouterr().err
