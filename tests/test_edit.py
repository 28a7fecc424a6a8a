"""edit.py on real files: good photos are edited, bad ones are named, nothing is lost or done twice."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import edit
from models.editing import computing, outputs, reading
from models.editing.pipeline import EditingPipeline
from models.editing.requests.attributes import AttributeRequest
from models.editors.loading import load_editor
from models.editors.targets import SetTo
from scripts.checks.weight_file_samples import flow_file, save, state_of
from utils.paths import ROOT
from utils.processes import Process
from utils.provenance import read_mark
from utils.weights import load_weights, save_weights

EDIT = (sys.executable, "-B", str(ROOT / "edit.py"))


def face(seed: int = 0, side: int = 32) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Five good photos."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(5):
        face(number).save(folder / f"face-{number}.png")
    return folder


@pytest.fixture
def checkpoint(tiny_domain_folder: Path) -> str:
    return str(tiny_domain_folder / "editor.safetensors")


def run(*arguments: object) -> int:
    """edit.py within this process."""
    try:
        return edit.main([*map(str, arguments), "--quiet", "--device", "cpu"])
    except SystemExit as stop:
        return int(stop.code or 0)


def report(output: Path) -> dict:
    return json.loads((output / "report.json").read_text(encoding="utf-8"))


def by_name(output: Path) -> dict[str, dict]:
    return {Path(entry["input"]).name: entry for entry in report(output)["faces"]}


def awkward_folder(folder: Path) -> tuple[set[str], dict[str, str]]:
    """Photos of all kinds; returns the names of the good ones, and of the bad ones with a word of the reason."""
    (folder / "sub/ж").mkdir(parents=True)
    face(1).save(folder / "good.png")
    face(2).save(folder / "good.jpg")
    face(3).save(folder / "GOOD.webp")
    face(4).save(folder / "sub/good.png")
    face(5).save(folder / "sub/ж/лицо 笑.png")
    face(6).save(folder / ("n" * 250 + ".png"))
    face(7).convert("CMYK").save(folder / "cmyk.jpg")
    Image.fromarray(np.arange(1024, dtype=np.uint16).reshape(32, 32) * 64).save(folder / "sixteen.png")
    palette = face(8).quantize(16)
    palette.save(folder / "palette.png", transparency=3)
    face(9).save(folder / "animated.gif", save_all=True, append_images=[face(10)], duration=50)
    exif = Image.Exif()
    exif[0x0112] = 6
    face(11, 48).save(folder / "rotated.jpg", exif=exif)
    Image.new("RGB", (7100, 7100), (200, 150, 120)).save(folder / "large.jpg")
    good = {path.name for path in folder.rglob("*") if path.is_file()}
    (folder / "empty.png").touch()
    (folder / "cut.png").write_bytes((folder / "good.png").read_bytes()[:700])
    (folder / "text.jpg").write_text("no picture")
    face().crop((0, 0, 1, 1)).save(folder / "pixel.png")
    (folder / "link.png").symlink_to("nowhere.png")
    (folder / "notes.txt").write_text("no picture either, and nobody said so")
    return good, {
        "empty.png": "empty",
        "cut.png": "cut off",
        "text.jpg": "known format",
        "pixel.png": "too small: 1 × 1",
        "link.png": "no such file",
    }


def test_a_folder_of_everything(tmp_path: Path, checkpoint: str) -> None:
    good, bad = awkward_folder(tmp_path / "in")
    command = [*EDIT, "in", "-o", "out", "--checkpoint", checkpoint, "--set", "Smiling=1"]
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    faces = by_name(tmp_path / "out")
    assert {name for name, entry in faces.items() if entry["status"] == "edited"} == good
    assert {name: entry["status"] for name, entry in faces.items() if name not in good} == dict.fromkeys(bad, "failed")
    for name, reason in bad.items():
        assert reason in faces[name]["reason"] and name in done.stderr
    entries = report(tmp_path / "out")["faces"]
    pictures = [tmp_path / "out" / path for entry in entries for path in entry.get("outputs", {}).values()]
    assert len(set(pictures)) == 3 * (len(good) + 1)  # good.png stands there twice
    assert all(Image.open(path).size == (32, 32) for path in pictures)
    assert f"{len(good) + 1} edited" in done.stdout and "Traceback" not in done.stderr


def test_where_no_file_exists_the_call_was_wrong(
    photos: Path, tmp_path: Path, checkpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out, missing = tmp_path / "out", [tmp_path / "a.png", tmp_path / "b.png"]
    assert run(*missing, "-o", out, "--checkpoint", checkpoint) == 2 and not out.exists()
    (said,) = capsys.readouterr().err.splitlines()
    assert all(f"{path}: there is no such file" in said for path in missing)
    assert run(missing[0], photos / "face-0.png", "-o", out, "--checkpoint", checkpoint, "--flip", "Male") == 1
    assert report(out)["counts"] == {"edited": 1, "failed": 1}


def test_all_good_as_a_process(photos: Path, tmp_path: Path, checkpoint: str) -> None:
    command = [*EDIT, str(photos / "*.png"), "-o", str(tmp_path / "out"), "--checkpoint", checkpoint, "--flip", "Male"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert report(tmp_path / "out")["counts"] == {"edited": 5}
    mark = read_mark(tmp_path / "out/faces/face-0--Male=flip0.2.png")
    assert mark is not None and mark["label"] == "Male=flip0.2"
    with Image.open(tmp_path / "out/faces/face-0--Male=flip0.2.png") as picture:
        assert picture.info["Software"] == "SDFlow" and "edited" in picture.info["Description"]


def test_several_attributes_are_one_edit(photos: Path, tmp_path: Path, checkpoint: str) -> None:
    out = tmp_path / "out"
    wanted = ("--set", "Smiling=1", "--set", "Male=-0.5")
    assert run(photos / "face-1.png", "-o", out, "--checkpoint", checkpoint, *wanted) == 0
    editor, domain, _ = load_editor(checkpoint)
    pipeline = EditingPipeline(domain, editor)
    inversion = pipeline.invert(pipeline.align(face(1))[None])
    edited = pipeline.edit(inversion, AttributeRequest.of({"Smiling": SetTo(1.0), "Male": SetTo(-0.5)}))
    expected = ((edited.picture[0] + 1) * 127.5).permute(1, 2, 0).numpy()
    shown = np.asarray(Image.open(out / "faces/face-1--Smiling=1,Male=-0.5.png"), dtype=float)
    assert np.abs(shown - expected).max() < 1.01
    entry = by_name(out)["face-1.png"]
    measured = entry["edits"]["Smiling=1,Male=-0.5"]
    assert measured["wanted"] == {**entry["semantics"], "Smiling": 1.0, "Male": -0.5}
    assert measured["identity"] == pytest.approx(float(edited.identity), abs=1e-4)
    assert measured["semantics"]["Smiling"] == pytest.approx(float(edited.condition[0, 3]), abs=1e-4)
    before = editor.read(inversion.latent, inversion.image)[0]
    assert list(entry["semantics"].values()) == pytest.approx(before.tolist(), abs=1e-4)
    assert entry["seconds"] > 0 and entry["reconstruction_distance"] > 0


def test_flips_go_to_the_other_side(photos: Path, tmp_path: Path, checkpoint: str) -> None:
    assert run(photos, "-o", tmp_path / "out", "--checkpoint", checkpoint, "--each", "--strength", 0.3) == 0
    for entry in report(tmp_path / "out")["faces"]:
        for name, value in entry["semantics"].items():
            wanted = {**entry["semantics"], name: -0.3 if value >= 0.5 else 1.3}
            assert entry["edits"][f"{name}=flip0.3"]["wanted"] == pytest.approx(wanted)


def test_a_sweep_and_the_default(photos: Path, tmp_path: Path, checkpoint: str) -> None:
    arguments = (photos / "face-1.png", "--checkpoint", checkpoint, "-o")
    assert run(*arguments, tmp_path / "sweep", "--set", "Smiling=1", "--sweep", "Young=-0.2:1.2:3") == 0
    assert sorted(path.name for path in (tmp_path / "sweep/faces").iterdir()) == [
        "face-1--Smiling=1,Young=-0.2.png",
        "face-1--Smiling=1,Young=0.5.png",
        "face-1--Smiling=1,Young=1.2.png",
        "face-1--input.png",
        "face-1--inversion.png",
    ]
    assert run(*arguments, tmp_path / "each") == 0
    assert len(report(tmp_path / "each")["edits"]) == 5 and (tmp_path / "each/sheet.png").is_file()


def test_a_batch_gives_what_single_faces_give(photos: Path, tmp_path: Path, checkpoint: str) -> None:
    common = (photos, "--checkpoint", checkpoint, "--set", "Young=0", "-o")
    assert run(*common, tmp_path / "one", "--batch-size", 1) == run(*common, tmp_path / "four", "--batch-size", 4) == 0
    for path in (tmp_path / "one/faces").iterdir():
        one, four = (np.asarray(Image.open(p), dtype=int) for p in (path, tmp_path / "four/faces" / path.name))
        assert np.abs(one - four).max() <= 1


def test_finished_pictures_are_kept(photos: Path, tmp_path: Path, checkpoint: str) -> None:
    out = tmp_path / "out"
    common = (photos, "-o", out, "--checkpoint", checkpoint, "--set", "Young=0")
    assert run(*common) == 0
    first, times = report(out), {path: path.stat().st_mtime_ns for path in (out / "faces").iterdir()}
    (out / "faces/face-2--Young=0.png").unlink()
    assert run(*common) == 0
    assert report(out)["counts"] == {"edited": 1, "kept": 4}
    again = {path: path.stat().st_mtime_ns for path in (out / "faces").iterdir()}
    assert {path.name for path in times if times[path] != again[path]} == {"face-2--Young=0.png"}
    for before, after in zip(first["faces"], report(out)["faces"], strict=True):
        for key in ("input", "edits", "semantics", "outputs", "reconstruction_distance"):
            assert before[key] == after[key] or after["status"] == "edited"
    assert run(*common, "--overwrite") == 0
    assert report(out)["counts"] == {"edited": 5}
    assert all(path.stat().st_mtime_ns != again[path] for path in (out / "faces").iterdir())


def test_what_is_no_result_of_ours_is_not_replaced(photos: Path, tmp_path: Path, checkpoint: str) -> None:
    out = tmp_path / "out"
    common = (photos, "-o", out, "--checkpoint", checkpoint, "--set", "Young=0")
    assert run(*common) == 0
    face(77).save(photos / "face-0.png")  # another photo of the same name
    (out / "faces/face-1--Young=0.png").write_bytes(b"mine")
    assert run(*common) == 1
    faces = by_name(out)
    assert [faces[f"face-{n}.png"]["status"] for n in range(5)] == ["failed", "failed", "kept", "kept", "kept"]
    assert "--overwrite" in faces["face-0.png"]["reason"]
    assert (out / "faces/face-1--Young=0.png").read_bytes() == b"mine"
    assert run(*common, "--overwrite") == 0 and report(out)["counts"] == {"edited": 5}


def test_published_pair(photos: Path, tmp_path: Path, tiny_domain_folder: Path) -> None:
    """SDFlow's two files and a domain in place of an editor of this project."""
    flow = save(tmp_path / "prior-0010000", flow_file(state_of("continuous_flow")))
    encoder = save(tmp_path / "labeldist-0010000", state_of("semantic_encoder"))
    common = [photos, "-o", tmp_path / "out", "--checkpoint", flow, "--flip", "Smiling"]
    assert run(*common, "--semantic-encoder", encoder, "--domain", tiny_domain_folder / "domain.yaml") == 0
    assert report(tmp_path / "out")["counts"] == {"edited": 5}
    assert report(tmp_path / "out")["editor"]["file"].endswith("labeldist-0010000")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "Smilng=1"], "did you mean 'Smiling'"),
        (["--set", "Smiling=much"], "'much' is not a number"),
        (["--strength", "strong"], "invalid float value"),
        (["--batch-size", "0"], "less than 1"),
        (["--device", "abacus"], "argument --device: 'abacus' is none of auto"),
        (["--detector", "cnn"], "domain tiny takes pictures whole"),
        (["--checkpoint", "gone.safetensors"], "no such weight file"),
        (["--domain", "gone.yaml"], "gone.yaml: no such config file"),
        (["--domain", ""], "argument --domain: must be the name of a file"),
        (["--weights", "gone"], "--weights gone: there is no such folder"),
        ([""], "argument PHOTOS: must be the name of a file"),
        (["-o", " "], "argument -o/--output: must be the name of a file"),
        (["--set", "Smiling=1e30"], "values lie between -100 and 100"),
        (["--strength", "nan"], "must be a number between -100 and 100"),
        (["--smallest-face", "40"], "--smallest-face: domain tiny takes pictures whole"),
        (["--smallest-face", "40", "--aligned"], "argument --smallest-face: pictures that are --aligned"),
        (["--faces", "only-2"], "--faces only-2: in domain tiny, pictures are taken whole"),
        (["--faces", "only-3", "--aligned"], "--faces only-3: with --aligned, pictures are taken whole"),
        (["--keep-gps"], "--keep-gps: no photographs are written here"),
        (["--paste", "none", "--keep-gps"], "--keep-gps: no photographs are written here"),
        (["--set", "Smiling=1", "--strength", "0.5"], "--strength: is of --flip and --each"),
        (["--sweep", "Smiling=0:1:2", "--strength", "0.5"], "--strength: is of --flip and --each"),
        (["--semantic-encoder", "gone"], "brings its own semantic encoder"),
        (["--checkpiont", "x"], "unrecognized arguments"),
    ],
)
def test_wrong_usage(
    arguments: list[str], message: str, photos: Path, tmp_path: Path, checkpoint: str, capsys: pytest.CaptureFixture
) -> None:
    usual = {"-o": str(tmp_path / "out"), "--checkpoint": checkpoint}
    common = [word for option, value in usual.items() if option not in arguments for word in (option, value)]
    try:
        status = edit.main([str(photos), *common, *arguments])
    except SystemExit as stop:
        status = int(stop.code or 0)
    assert status == 2 and message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_nothing_to_edit(photos: Path, tmp_path: Path, checkpoint: str, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "empty").mkdir()
    assert run(tmp_path / "empty", "-o", tmp_path / "out", "--checkpoint", checkpoint) == 2
    assert "no pictures in this folder" in capsys.readouterr().err
    arguments = (tmp_path / "empty", tmp_path / "gone.png", photos, "-o", tmp_path / "out", "--checkpoint", checkpoint)
    assert run(*arguments, "--set", "Male=1") == 1  # the others are done
    assert report(tmp_path / "out")["counts"] == {"edited": 5, "failed": 1}


def test_results_are_no_photos(photos: Path, checkpoint: str) -> None:
    for _ in range(2):
        assert run(photos, "-o", photos / "out", "--checkpoint", checkpoint, "--set", "Male=1") == 0
        assert len(report(photos / "out")["faces"]) == 5


def test_foreign_pictures(photos: Path, tmp_path: Path, checkpoint: str) -> None:
    state, metadata = load_weights(checkpoint)
    editor, domain, _ = load_editor(checkpoint)
    pipeline = EditingPipeline(domain, editor)
    distances = pipeline.invert(torch.stack([pipeline.align(face(n)) for n in range(5)])).distance
    metadata["domain"]["reconstruction_limit"] = float(distances.sort().values[2:4].mean())
    save_weights(tmp_path / "strict.safetensors", state, metadata)
    common = (photos, "-o", tmp_path / "out", "--checkpoint", tmp_path / "strict.safetensors", "--set", "Male=1")
    assert run(*common) == 1
    entries = report(tmp_path / "out")["faces"]
    foreign = [entry for entry in entries if entry["status"] == "failed"]
    assert len(foreign) == 2 and report(tmp_path / "out")["counts"]["edited"] == 3
    for entry in foreign:
        assert "this domain knows noise only" in entry["reason"] and "--force" in entry["reason"]
        assert entry["reconstruction_distance"] > metadata["domain"]["reconstruction_limit"]
    assert len(list((tmp_path / "out/faces").iterdir())) == 9
    assert run(*common, "--force") == 0
    assert report(tmp_path / "out")["counts"] == {"edited": 2, "kept": 3}
    assert sum("warning" in entry for entry in report(tmp_path / "out")["faces"]) == 2


def test_output_that_cannot_be_written(
    photos: Path, tmp_path: Path, checkpoint: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "file").touch()
    for output in (tmp_path / "file", tmp_path / "file/below"):
        assert run(photos, "-o", output, "--checkpoint", checkpoint) == 2
        assert "cannot write to" in capsys.readouterr().err
    written = []

    def fill_up(path: Path, *rest: object) -> None:
        if len(written) == 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(path)
        save_marked(path, *rest)

    save_marked = outputs.save_marked
    out = tmp_path / "out"
    arguments = (photos, "-o", out, "--checkpoint", checkpoint, "--set", "Male=1", "--batch-size", 2)
    monkeypatch.setattr(outputs, "save_marked", fill_up)
    assert run(*arguments) == 1
    assert "the disk is full" in capsys.readouterr().err
    assert report(out)["counts"] == {"edited": 1, "failed": 1, "not done": 3}
    monkeypatch.undo()
    assert run(*arguments) == 0
    assert report(out)["counts"] == {"edited": 4, "kept": 1}


def test_files_may_not_grow(photos: Path, tmp_path: Path, checkpoint: str) -> None:
    resource = pytest.importorskip("resource")

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    command = [*EDIT, str(photos), "-o", str(tmp_path / "out"), "--checkpoint", checkpoint]
    done = subprocess.run(command, preexec_fn=limit, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "would be larger than allowed" in done.stderr and "Traceback" not in done.stderr
    assert not list((tmp_path / "out").rglob("*.p*"))  # no torn files


SLOWLY = """
import sys, time
import edit
process = edit.EditRun.process
def slowly(self, jobs):
    process(self, jobs)
    print("batch", flush=True)
    time.sleep(60)
edit.EditRun.process = slowly
sys.exit(edit.main(sys.argv[1:]))
"""


def edit_slowly(*arguments: object) -> subprocess.Popen:
    """edit.py in a process of its own, which waits after its first batch."""
    command = [sys.executable, "-c", SLOWLY, *map(str, arguments), "--quiet", "--batch-size", "2"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, cwd=ROOT, text=True, **pipes)  # type: ignore[call-overload]
    assert process.stdout.readline() == "batch\n", process.communicate()[1]
    return process


def test_a_second_command_is_told_of_the_first_and_a_stopped_one_reports(
    photos: Path, tmp_path: Path, checkpoint: str, capsys: pytest.CaptureFixture
) -> None:
    """Before, both wrote and one report was lost; SIGTERM left none."""
    out = tmp_path / "out"
    common = (photos, "-o", out, "--checkpoint", checkpoint)
    first = edit_slowly(*common, "--set", "Male=1")
    try:
        for edits in ("Male=1", "Young=0"):
            assert run(*common, "--set", edits) == 2
            assert re.search(rf"out is in use: edit.py, process {first.pid} on .*, started 2", capsys.readouterr().err)
    finally:
        first.terminate()
        _, said = first.communicate()
    assert first.returncode == 1 and "Traceback" not in said
    assert "stopped by SIGTERM; finished pictures are kept: run the same command again to continue" in said
    assert report(out)["counts"] == {"edited": 2, "not done": 3}
    assert run(*common, "--set", "Male=1") == 0 and report(out)["counts"] == {"edited": 3, "kept": 2}


def test_litter_of_a_killed_run_is_removed_by_the_next(photos: Path, tmp_path: Path, checkpoint: str) -> None:
    out = tmp_path / "out"
    process = edit_slowly(photos, "-o", out, "--checkpoint", checkpoint, "--set", "Male=1")
    own = Process.current()
    born = int(Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[19])
    process.kill()
    process.communicate()
    mine, killed = (
        f".partial-{own.machine}-{id}-abcdefgh.png" for id in (f"{own.number}-{own.born}", f"{process.pid}-{born}")
    )
    for folder in (out, out / "faces"):
        (folder / killed).touch()
        (folder / mine).touch()
    assert run(photos, "-o", out, "--checkpoint", checkpoint, "--set", "Male=1") == 0
    assert sorted(path.name for path in out.rglob(".partial-*")) == [mine, mine]


def test_a_folder_that_cannot_be_written(
    photos: Path, tmp_path: Path, checkpoint: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def refuse(**_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(edit.tempfile, "TemporaryFile", refuse)
    assert run(photos, "-o", tmp_path / "out", "--checkpoint", checkpoint) == 1
    assert capsys.readouterr().err == f"edit.py: {tmp_path / 'out'}: cannot be written: the file system is read-only\n"


def test_far_targets_warn_with_the_identity_that_they_leave(
    photos: Path, tmp_path: Path, checkpoint: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(computing, "IDENTITY_LIMIT", 1.1)  # random networks know no identity
    common = (photos / "face-1.png", "-o", tmp_path / "out", "--checkpoint", checkpoint)
    for status in ("edited", "kept"):
        assert run(*common, "--set", "Male=1") == 0 and report(tmp_path / "out")["counts"] == {status: 1}
        assert re.search(
            r"face-1.png: warning: Male=1: identity -?[01].\d\d is left, below 1.1", capsys.readouterr().err
        )
        assert "warning" in report(tmp_path / "out")["faces"][0]["edits"]["Male=1"]
    monkeypatch.setattr(computing, "IDENTITY_LIMIT", -1.1)
    assert (
        run(*common, "--set", "Male=0") == 0
        and "warning" not in report(tmp_path / "out")["faces"][0]["edits"]["Male=0"]
    )


def test_an_interrupted_run_goes_on(
    photos: Path, tmp_path: Path, checkpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = edit.EditRun.process

    def interrupted(self: edit.EditRun, jobs: list) -> None:
        if "face-2" in str(jobs[0].photo.path):
            raise KeyboardInterrupt
        process(self, jobs)

    arguments = (photos, "-o", tmp_path / "out", "--checkpoint", checkpoint, "--set", "Male=1", "--batch-size", 2)
    monkeypatch.setattr(edit.EditRun, "process", interrupted)
    assert run(*arguments) == 1
    assert report(tmp_path / "out")["counts"] == {"edited": 2, "not done": 3}
    monkeypatch.undo()
    assert run(*arguments) == 0 and report(tmp_path / "out")["counts"] == {"edited": 3, "kept": 2}


def test_one_face_that_cannot_be_computed(
    photos: Path, tmp_path: Path, checkpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    invert = EditingPipeline.invert
    poison = face(3).getpixel((0, 0))

    def fragile(self: EditingPipeline, image: torch.Tensor, names: Sequence[str]) -> object:
        first = ((image[:, :, 0, 0] + 1) * 127.5).round().int().tolist()
        if list(poison) in first:  # type: ignore[arg-type]
            raise RuntimeError("the solver gave up")
        return invert(self, image, names)

    monkeypatch.setattr(EditingPipeline, "invert", fragile)
    assert run(photos, "-o", tmp_path / "out", "--checkpoint", checkpoint, "--set", "Male=1") == 1
    assert {name for name, e in by_name(tmp_path / "out").items() if e["status"] == "failed"} == {"face-3.png"}
    assert "the solver gave up" in by_name(tmp_path / "out")["face-3.png"]["reason"]


def test_two_batches_are_held(photos: Path, tmp_path: Path, checkpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is computed and one that is read meanwhile, however many photos there are."""
    for number in range(5, 17):
        shutil.copy(photos / "face-0.png", photos / f"face-{number}.png")
    alive: weakref.WeakSet = weakref.WeakSet()
    most = [0]
    to_tensor = reading.to_tensor

    def counted(picture: Image.Image) -> torch.Tensor:
        image = to_tensor(picture)
        alive.add(image)
        most[0] = max(most[0], len(alive))
        return image

    monkeypatch.setattr(reading, "to_tensor", counted)
    assert run(photos, "-o", tmp_path / "out", "--checkpoint", checkpoint, "--set", "Male=1", "--batch-size", 3) == 0
    assert report(tmp_path / "out")["counts"] == {"edited": 17} and most[0] <= 6


def test_the_next_batch_is_read_meanwhile(
    photos: Path, tmp_path: Path, checkpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Computing a batch waits here until the next one has begun to be read, which only a second thread can do."""
    begun = [threading.Event() for _ in range(5)]
    process, read_file = edit.EditRun.process, reading.read_file

    def noted(path: Path) -> bytes:
        begun[int(path.stem[-1])].set()
        return read_file(path)

    def waiting(self: edit.EditRun, jobs: list) -> None:
        number = int(jobs[0].photo.path.stem[-1])
        assert number == 4 or begun[number + 1].wait(60)
        process(self, jobs)

    monkeypatch.setattr(reading, "read_file", noted)
    monkeypatch.setattr(edit.EditRun, "process", waiting)
    arguments = (photos, "-o", tmp_path / "out", "--checkpoint", checkpoint, "--set", "Male=1", "--batch-size", 1)
    assert run(*arguments) == 0 and report(tmp_path / "out")["counts"] == {"edited": 5}


def test_help(capsys: pytest.CaptureFixture) -> None:
    assert run("--help") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert all(
        option in text for option in ("--set", "--sweep", "--each", "--force", "--faces", "--paste", "--save-latents")
    )
    assert "default if nothing is asked" in text


def test_bfloat16_is_not_seen_in_a_picture(tmp_path: Path) -> None:
    pictures = {}
    for precision in ("float32", "bfloat16"):
        out = tmp_path / precision
        sample = str(ROOT / "pretrained/avatars/samples/face-01.png")
        assert edit.main([sample, "-o", str(out), "--flip", "Smiling", "--precision", precision, "--quiet"]) == 0
        assert report(out)["precision"] == precision
        (path,) = (out / "faces").glob("*Smiling*.png")
        pictures[precision] = np.asarray(Image.open(path), dtype=float)
    error = np.square(pictures["float32"] - pictures["bfloat16"]).mean()
    assert error > 0 and 10 * np.log10(255**2 / error) > 40


def test_what_is_passed_over_in_a_folder_is_said_and_reported(
    photos: Path, checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.jxl", "b.JXL", "c.cr2", "notes.txt"):
        (photos / name).touch()
    shutil.copy(photos / "face-0.png", photos / "download")
    assert run(photos, "-o", tmp_path / "out", "--checkpoint", checkpoint, "--flip", "Male", "--force") == 0
    assert "edit.py: passed over: 2 .jxl, 1 .cr2" in capsys.readouterr().err
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["passed_over"] == {".jxl": 2, ".cr2": 1} and len(report["faces"]) == 6
    for path in photos.iterdir():
        if path.suffix not in (".jxl", ".JXL", ".cr2"):
            path.unlink()
    assert run(photos, "-o", tmp_path / "none", "--checkpoint", checkpoint) == 2
    assert "no pictures in this folder; passed over: 2 .jxl, 1 .cr2" in capsys.readouterr().err
