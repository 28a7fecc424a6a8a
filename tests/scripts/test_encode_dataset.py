"""Encoding a folder: what shards hold, that no kill loses or doubles a face, and that training reads nothing else."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch.utils.data import DataLoader

import train
from datasets import encoding
from datasets.encoded_faces import EncodedFaces
from datasets.latent_shards import Shard, ShardError, ShardFile, write_shard
from models.domain import Domain
from models.editing import face_alignment
from models.editing.face_alignment import DlibAligner
from scripts import encode_dataset
from tests.words import replaced
from utils import files
from utils.locks import only_writer
from utils.paths import ROOT

PHOTOS, SHARD_SIZE = 11, 4
BROKEN = {2: b"", 9: b"no picture"}  # number → contents of the file
fork_only = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def draw_photos(folder: Path, count: int = PHOTOS, side: int = 40) -> None:
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(count):
        picture = Image.fromarray(random.integers(0, 256, (side, side, 3), dtype=np.uint8))
        picture.save(folder / f"{number:02d}.png")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    draw_photos(folder)
    for number, contents in BROKEN.items():
        (folder / f"{number:02d}.png").write_bytes(contents)
    return folder


@pytest.fixture
def domain_file(tiny_domain_folder: Path) -> Path:
    return tiny_domain_folder / "domain.yaml"


def encode(photos: Path, output: Path, domain: Path, *options: str) -> int:
    words = [str(photos), "-o", str(output), "--domain", str(domain), "--shard-size", str(SHARD_SIZE), "--quiet"]
    return encode_dataset.main(replaced([*words, "--batch-size", "3", "--device", "cpu"], *options))


def in_child(work: Callable[[], object]) -> int:
    """Exit code of a forked process that did the work; −9 if it was killed."""

    def body() -> None:
        torch.set_num_threads(1)  # threads do not survive a fork
        work()

    process = multiprocessing.get_context("fork").Process(target=body)
    process.start()
    process.join(120)
    assert process.exitcode is not None, "the child hangs"
    return process.exitcode


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


def test_shards_hold_every_photo_once_or_say_why_not(
    photos: Path, domain_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    assert encode(photos, output, domain_file) == 1
    said = capsys.readouterr()
    assert "02.png: the file is empty" in said.err and "9 faces in" in said.out
    report = json.loads((output / "report.json").read_text())
    assert report["encoded"] == 9 and report["failed"] == 2
    assert report["failures"] == {"02.png": "the file is empty", "09.png": "not a picture of a known format"}
    shards = [ShardFile(path) for path in sorted(output.glob("*.safetensors"))]
    assert [len(shard) for shard in shards] == [3, 4, 2]
    numbers = [number for number in range(PHOTOS) if number not in BROKEN]
    assert np.concatenate([shard.number for shard in shards]).tolist() == numbers
    assert [name for shard in shards for name in shard.names] == [f"{number:02d}.png" for number in numbers]

    domain = Domain.from_file(domain_file)
    data = EncodedFaces(domain, str(output))
    batches = list(DataLoader(data, batch_size=4, num_workers=1))  # worker processes map the files themselves
    items = {key: torch.cat([batch[key] for batch in batches]) for key in ("image", "latent", "teacher", "index")}
    assert torch.equal(items["index"], torch.arange(9))
    for row, number in enumerate(numbers):
        with Image.open(photos / data.name(row)) as picture:
            aligned = encode_dataset_aligned(picture, domain.image_side)
        assert data.name(row) == f"{number:02d}.png"
        torch.testing.assert_close(items["image"][row], aligned)
    torch.testing.assert_close(items["latent"], domain.encode(items["image"]).detach())
    torch.testing.assert_close(items["teacher"], domain.teacher_probabilities(items["image"]).detach())
    latents, teacher = data.numbers()
    assert torch.equal(latents, items["latent"]) and torch.equal(teacher, items["teacher"])


def encode_dataset_aligned(picture: Image.Image, side: int) -> torch.Tensor:
    pixels = np.asarray(picture.convert("RGB").resize((side, side), Image.Resampling.LANCZOS))
    return torch.from_numpy(pixels.astype(np.float32) / 127.5 - 1).permute(2, 0, 1)


def test_parts_are_counted_in_photos_so_that_a_failure_moves_no_face(
    photos: Path, domain_file: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    encode(photos, output, domain_file)
    domain = Domain.from_file(domain_file)

    def names(first: int, count: int | None) -> list[str]:
        data = EncodedFaces(domain, str(output), first, count)
        assert len(data.numbers()[0]) == len(data)
        assert torch.equal(data.numbers()[1][-1], data[len(data) - 1]["teacher"])
        return [data.name(index)[:2] for index in range(len(data))]

    assert names(0, 6) == ["00", "01", "03", "04", "05"]
    assert names(6, None) == ["06", "07", "08", "10"]
    for shard in output.glob("shard-*8.safetensors"):
        shard.unlink()
    assert names(0, 8)[-1] == "07"  # the part of an encoding that is not finished
    with pytest.raises(ShardError, match="1 of 3 shards are missing; the same call"):
        names(0, None)
    encode(photos, output, domain_file)
    with pytest.raises(ShardError, match="no encoded face from number 9 on"):
        names(9, 1)


def test_an_editor_of_fewer_attributes_reads_its_columns(photos: Path, domain_file: Path, tmp_path: Path) -> None:
    encode(photos, tmp_path / "out", domain_file)
    config = yaml.safe_load(domain_file.read_text())
    (tmp_path / "two.yaml").write_text(
        yaml.safe_dump({**config, "attributes": ["Young", "Male"], "classifier_outputs": config["attributes"]})
    )
    whole = EncodedFaces(Domain.from_file(domain_file), str(tmp_path / "out"))
    part = EncodedFaces(Domain.from_file(tmp_path / "two.yaml"), str(tmp_path / "out"))
    assert torch.equal(part[5]["teacher"], whole[5]["teacher"][[2, 1]])
    assert torch.equal(part.numbers()[1], whole.numbers()[1][:, [2, 1]])
    (tmp_path / "new.yaml").write_text(yaml.safe_dump({**config, "attributes": ["Fair_Hair"]}))
    with pytest.raises(ShardError, match="its teacher gave no 'Fair_Hair'"):
        EncodedFaces(Domain.from_file(tmp_path / "new.yaml"), str(tmp_path / "out"))


def test_two_folders_may_have_files_of_one_name(tmp_path: Path, domain_file: Path) -> None:
    for name in ("a", "b"):
        draw_photos(tmp_path / name, 2)
        (tmp_path / name / "01.png").write_bytes(b"")
    words = [str(tmp_path / "a"), str(tmp_path / "b"), "-o", str(tmp_path / "out"), "--domain", str(domain_file)]
    assert encode_dataset.main([*words, "--quiet", "--device", "cpu"]) == 1
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["encoded"] == 2 and len(report["failures"]) == report["failed"] == 2


def pictures_of(data: EncodedFaces) -> dict[str, bytes]:
    """Name → pixels of all faces, each of which occurs once."""
    found = [(data.name(index), data[index]["image"].numpy().tobytes()) for index in range(len(data))]
    assert len(dict(found)) == len(found)
    return dict(found)


def draw_one(path: Path, seed: int) -> None:
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(path)


def test_new_photos_are_encoded_beside_the_old_ones(
    photos: Path, domain_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    encode(photos, output, domain_file)
    before, domain = contents(output), Domain.from_file(domain_file)
    seen = pictures_of(EncodedFaces(domain, str(output)))
    for number, name in enumerate(("000.png", "12.png", "sub/1.png", "13.png", "14.png")):  # also between old names
        (photos / name).parent.mkdir(exist_ok=True)
        draw_one(photos / name, number + 100)

    encoded: list[str] = []
    real = encoding.decode_photo
    monkeypatch.setattr(encoding, "decode_photo", lambda data, enough: (encoded.append("once"), real(data, enough))[1])
    assert encode(photos, output, domain_file) == 1  # two photos failed, as before
    assert len(encoded) == 5
    assert "5 new photos are encoded beside 9" in capsys.readouterr().out
    after = contents(output)
    kept = [name for name in before if name.startswith("shard-")]
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    assert sorted(set(after) - set(before)) == ["shard-000000011.safetensors", "shard-000000015.safetensors"]

    data = EncodedFaces(domain, str(output))
    grown = pictures_of(data)
    assert len(data) == len(seen) + 5 and seen.items() <= grown.items() and len(data.numbers()[0]) == len(data)
    assert len(EncodedFaces(domain, str(output), 0, 11)) == 9  # the part of old photos is what it was
    assert sorted(pictures_of(EncodedFaces(domain, str(output), 11))) == sorted(set(grown) - set(seen))
    assert encode(photos, output, domain_file) == 1 and len(encoded) == 5 and contents(output) == after

    whole = tmp_path / "whole"
    encode(photos, whole, domain_file)
    assert pictures_of(EncodedFaces(domain, str(whole))) == grown


@fork_only
def test_an_interrupted_addition_goes_on_also_with_further_photos(
    photos: Path, domain_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, domain = tmp_path / "out", Domain.from_file(domain_file)
    encode(photos, output, domain_file)
    before = contents(output)
    for number in range(20, 30):
        draw_one(photos / f"{number}.png", number)
    rename, calls = os.replace, []

    def killed(source: Path, target: Path) -> None:
        calls.append(target)
        if len(calls) == 4:  # the owner of the lock, the manifest and one shard pass
            os.kill(os.getpid(), signal.SIGKILL)
        rename(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(files.os, "replace", killed)
        assert in_child(lambda: encode(photos, output, domain_file)) == -signal.SIGKILL
    with pytest.raises(ShardError, match="2 of 6 shards are missing; the same call"):
        EncodedFaces(domain, str(output))
    draw_one(photos / "000.png", 1)
    (photos / "29.png").unlink()
    assert encode(photos, output, domain_file) == 1
    after = contents(output)
    assert all(after[name] == before[name] for name in before if name.startswith("shard-"))
    expected = {path.name for path in photos.iterdir()} - {"02.png", "09.png"}
    assert set(pictures_of(EncodedFaces(domain, str(output)))) == expected


def test_changed_and_missing_photos_are_noticed(
    photos: Path, domain_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, domain = tmp_path / "out", Domain.from_file(domain_file)
    encode(photos, output, domain_file)
    before, seen = contents(output), pictures_of(EncodedFaces(domain, str(output)))
    for path in photos.iterdir():
        os.utime(path)  # copied, say: the contents are the same
    assert encode(photos, output, domain_file) == 1 and contents(output) == before

    same_size = bytearray((photos / "04.png").read_bytes())
    same_size[60] ^= 1
    (photos / "04.png").write_bytes(same_size)
    draw_one(photos / "05.png", 55)
    (photos / "00.png").unlink()
    capsys.readouterr()
    assert encode(photos, output, domain_file) == 2
    said = capsys.readouterr().err
    assert "2 changed since then ('04.png' is the first)" in said
    assert "1 are not among these photos ('00.png' is the first)" in said
    assert "--update" in said and "--keep-missing" in said and contents(output) == before
    assert encode(photos, output, domain_file, "--keep-missing") == 2
    assert encode(photos, output, domain_file, "--keep-missing", "--update") == 1
    kept = pictures_of(EncodedFaces(domain, str(output)))
    assert kept["00.png"] == seen["00.png"] and kept["05.png"] != seen["05.png"] and "04.png" not in kept
    report = json.loads((output / "report.json").read_text())
    assert "damaged" in report["failures"]["04.png"]
    assert report["missing"] == ["00.png"] and sorted(report["changed"]) == ["04.png", "05.png"]
    assert encode(photos, output, domain_file, "--update") == 1
    data = EncodedFaces(domain, str(output))
    assert set(pictures_of(data)) == set(kept) - {"00.png"}
    assert torch.equal(data[3]["latent"], data.numbers()[0][3])
    assert contents(output)["shard-000000008.safetensors"] == before["shard-000000008.safetensors"]

    draw_one(photos / "02.png", 2)  # a photo that failed is tried again where its file changed,
    (photos / "09.png").unlink()  # and forgotten where it is gone
    assert encode(photos, output, domain_file) == 1  # 04.png is still damaged
    assert "02.png" in pictures_of(EncodedFaces(domain, str(output)))
    assert set(json.loads((output / "report.json").read_text())["failures"]) == {"04.png"}


def test_encodings_of_earlier_versions_grow_as_well(photos: Path, domain_file: Path, tmp_path: Path) -> None:
    output, domain = tmp_path / "out", Domain.from_file(domain_file)
    encode(photos, output, domain_file)
    for path in output.glob("shard-*"):
        shard = ShardFile(path)
        tensors = {key: torch.from_numpy(shard.all(key)) for key in ("latent", "teacher", "number", "image")}
        write_shard(path, Shard(**tensors, outputs=shard.outputs, names=shard.names, failures=shard.failures))
    manifest = json.loads((output / "manifest.json").read_text())
    del manifest["shards"]
    (output / "manifest.json").write_text(json.dumps({**manifest, "format": 1, "listing": "0" * 16}))
    assert len(EncodedFaces(domain, str(output))) == 9
    draw_one(photos / "new.png", 1)
    draw_one(photos / "09.png", 9)
    assert encode(photos, output, domain_file, "--retry-failed") == 1
    data = EncodedFaces(domain, str(output))
    assert [data.name(index) for index in (8, 9, 10)] == ["09.png", "10.png", "new.png"]


@pytest.mark.parametrize("text", ["[]", "{}", '{"photos": 4, "shard_size": 0, "domain": "a"}', "{", "[" * 100_000, "1"])
def test_a_damaged_manifest_is_one_sentence(
    text: str, photos: Path, domain_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "manifest.json").write_text(text)
    assert encode(photos, tmp_path, domain_file) == 2
    said = capsys.readouterr().err
    assert "manifest.json: damaged" in said and len(said) < 400


def test_what_is_passed_over_is_reported(
    photos: Path, domain_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "a.jxl").touch()
    shutil.copy(photos / "00.png", photos / "download")
    encode(photos, tmp_path / "out", domain_file)
    assert "encode_dataset.py: passed over: 1 .jxl" in capsys.readouterr().err
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["passed_over"] == {".jxl": 1} and report["encoded"] == 10


@fork_only
@pytest.mark.parametrize("moment", ["half a file", "before the rename", "after the rename"])
def test_a_kill_at_any_moment_loses_and_doubles_nothing(
    photos: Path, domain_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    whole, output = tmp_path / "whole", tmp_path / "out"
    assert in_child(lambda: encode(photos, whole, domain_file)) == 0
    rename, calls = os.replace, []

    def killed(source: Path, target: Path) -> None:
        calls.append(target)
        if len(calls) < 4:  # the owner of the lock, the manifest and one shard pass
            return rename(source, target)
        if moment == "half a file":
            with Path(source).open("rb+") as stream:
                stream.truncate(1000)
        if moment == "after the rename":
            rename(source, target)
        os.kill(os.getpid(), signal.SIGKILL)
        return None

    with monkeypatch.context() as patched:
        patched.setattr(files.os, "replace", killed)
        assert in_child(lambda: encode(photos, output, domain_file)) == -signal.SIGKILL
    left = sorted(path.name for path in output.glob("shard-*"))
    assert len(left) == (2 if moment == "after the rename" else 1)
    for name in left:
        assert (output / name).read_bytes() == (whole / name).read_bytes()
    assert bool(list(output.glob(".partial-*"))) == (moment != "after the rename")
    assert in_child(lambda: encode(photos, output, domain_file)) == 0
    assert contents(output) == contents(whole)


def test_a_finished_encoding_computes_nothing_and_another_one_is_refused(
    photos: Path, domain_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    encode(photos, output, domain_file)
    before = contents(output)
    with monkeypatch.context() as patched:
        patched.setattr(encoding, "encode_faces", lambda *_: pytest.fail("encoded again"))
        assert encode(photos, output, domain_file) == 1
    assert contents(output) == before
    capsys.readouterr()
    assert encode(photos, output, domain_file, "--shard-size", "5") == 2
    assert "holds another encoding (shard_size 4 instead of 5); choose another folder" in capsys.readouterr().err
    (photos / "02.png").write_bytes((photos / "00.png").read_bytes())
    assert encode(photos, output, domain_file, "--retry-failed") == 1
    report = json.loads((output / "report.json").read_text())
    assert report["encoded"] == 10 and set(report["failures"]) == {"09.png"}
    assert contents(output)["shard-000000004.safetensors"] == before["shard-000000004.safetensors"]

    other = Domain.from_file(domain_file)
    with torch.no_grad():
        next(other.encoder.parameters()).add_(1e-3)
    with pytest.raises(ShardError, match="encoded with another encoder"):
        EncodedFaces(other, str(output))
    (output / "shard-000000000.safetensors").write_bytes(b"torn")
    with pytest.raises(ShardError, match="shard-000000000.safetensors: damaged shard .* delete it and encode"):
        EncodedFaces(Domain.from_file(domain_file), str(output))
    with pytest.raises(ShardError, match="no encoded faces here; run scripts/encode_dataset.py first"):
        EncodedFaces(other, str(tmp_path / "none"))


def test_wrong_usage_is_one_sentence(
    photos: Path, domain_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert encode(photos, tmp_path / "out", domain_file, "--engine", "ray") == 2
    assert capsys.readouterr().err == "encode_dataset.py: --engine ray needs the package ray: pip install ray\n"
    assert encode(tmp_path / "none", tmp_path / "out", domain_file) == 2
    ray = ["--engine", "ray", "--address", "auto", "--workers", "2"]
    for words in (["--shard-size", "0"], ["--workers", "2"], ["--per-gpu", "2"], ray):
        with pytest.raises(SystemExit) as stop:
            encode(photos, tmp_path / "out", domain_file, *words)
        assert stop.value.code == 2
    capsys.readouterr()
    assert encode(photos, tmp_path / "out", tmp_path / "domain.yaml") == 2
    assert "no such config file" in capsys.readouterr().err


def test_what_is_no_fault_of_a_photo_is_recorded_as_none(
    photos: Path, domain_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without dlib nothing is encoded and nothing failed; a photo on which the detector breaks is a failure."""
    domain = tmp_path / "photographs.yaml"
    domain.write_text(yaml.safe_dump({**yaml.safe_load(domain_file.read_text()), "aligner": {"name": "dlib"}}))
    face_alignment._hog.cache_clear()  # loaded by another test
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "dlib", None)
        assert encode(photos, tmp_path / "out", domain) == 2
    assert "not installed: pip install" in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("shard-*"))

    def broken(*_: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(DlibAligner, "detect", broken)
    assert encode(photos, tmp_path / "out", domain) == 1
    failures = json.loads((tmp_path / "out/report.json").read_text())["failures"]
    assert len(failures) == PHOTOS and failures["00.png"] == "cannot be aligned: out of memory"


def test_an_interrupted_call_says_how_to_go_on(
    photos: Path, domain_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(encoding, "encode_faces", interrupted)
    assert encode(photos, tmp_path / "out", domain_file) == 1
    assert "interrupted; the same call continues" in capsys.readouterr().err


def test_a_second_call_into_the_same_folder_is_told_of_the_first(
    photos: Path, domain_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with only_writer(tmp_path / "out", "encode_dataset.py"):
        assert encode(photos, tmp_path / "out", domain_file) == 2
    assert f"in use: encode_dataset.py, process {os.getpid()}" in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("shard-*"))


def test_a_shard_of_nothing_but_failures_is_a_shard(domain_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    draw_photos(folder, 5, side=9)  # too small
    draw = Image.new("RGB", (40, 40))
    draw.save(folder / "04.png")
    assert encode(folder, tmp_path / "out", domain_file) == 1
    data = EncodedFaces(Domain.from_file(domain_file), str(tmp_path / "out"))
    assert len(data) == 1 and data.name(0) == "04.png"
    assert data.numbers()[0].shape == (1, *data[0]["latent"].shape)


def test_sdflow_trains_from_shards_alone(photos: Path, tiny_domain_folder: Path, tmp_path: Path) -> None:
    """The config for FFHQ, with photographs and teacher gone."""
    domain = tmp_path / "domain"
    shutil.copytree(tiny_domain_folder, domain)
    text = (domain / "domain.yaml").read_text().replace(str(tiny_domain_folder), str(domain))
    (domain / "domain.yaml").write_text(text)
    assert encode(photos, tmp_path / "out", domain / "domain.yaml") == 1
    shutil.rmtree(photos)
    (domain / "teacher.safetensors").unlink()
    overrides = [f"domain={domain / 'domain.yaml'}", "training.steps=1", "training.batch_size=2", "training.workers=0"]
    overrides += [f"{part}.folder={tmp_path / 'out'}" for part in ("data", "validation")]
    overrides += ["data.count=8", "validation.first=8", "validation.count=3", "training.preview_images=2"]
    overrides += ["method.flow.hidden=[16, 16]", "method.semantic_encoder.width=8", "method.semantic_encoder.head=[8]"]
    config = str(ROOT / "configs/sdflow/ffhq_encoded.yaml")
    assert train.main(["--config", config, "--run", str(tmp_path / "run"), "--quiet", *overrides]) == 0
    assert (tmp_path / "run/editor.safetensors").is_file()


def children(parent: int) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            found.append(int(entry.name))
    return found


def kill_a_busy_worker(killed: list[int], finished: threading.Event) -> None:
    """Kill the first of our Ray workers that is seen to encode a shard."""
    while not killed and not finished.wait(0.01):
        for helper in children(os.getpid()):  # raylet is among them, the workers are its children
            for worker in children(helper):
                try:
                    title = Path(f"/proc/{worker}/cmdline").read_bytes()
                except OSError:
                    continue
                if title.startswith(b"ray::store_shard"):
                    time.sleep(0.1)  # well within the task: loading the networks alone takes longer
                    os.kill(worker, signal.SIGKILL)
                    killed.append(worker)
                    return


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="workers are found through /proc")
def test_ray_loses_and_doubles_nothing_when_a_worker_is_killed(
    photos: Path, domain_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason="not installed: ray (pip install ray)")
    monkeypatch.setenv("RAY_worker_niceness", "0")  # by default workers stand back from all else on a busy machine
    whole, output = tmp_path / "whole", tmp_path / "out"
    encode(photos, whole, domain_file)
    killed: list[int] = []
    finished = threading.Event()
    killer = threading.Thread(target=kill_a_busy_worker, args=(killed, finished))
    killer.start()
    try:
        assert encode(photos, output, domain_file, "--engine", "ray", "--workers", "2") == 1
    finally:
        finished.set()
        killer.join()
    assert killed, "no worker was killed: the test showed nothing"
    assert {name for name in contents(output) if name[0] != "."} == set(contents(whole))
    for path in sorted(whole.glob("shard-*")):
        expected, found = ShardFile(path), ShardFile(output / path.name)
        assert found.names == expected.names and found.failures == expected.failures
        for key in ("number", "image"):
            assert np.array_equal(found.all(key), expected.all(key))
        for key in ("latent", "teacher"):
            np.testing.assert_allclose(found.all(key), expected.all(key), rtol=1e-4, atol=1e-5)
    assert (output / "report.json").read_bytes() == (whole / "report.json").read_bytes()
