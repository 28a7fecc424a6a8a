"""Files are whole or not there, what a killed process leaves is removed, and a folder has one writer."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from utils.files import remove_litter, write_atomically, write_text
from utils.locks import FolderInUse, only_writer
from utils.paths import ROOT
from utils.processes import Process
from utils.weights import save_weights

WRITER = """
import sys, time
from pathlib import Path
from utils.files import write_atomically
from utils.locks import only_writer

def write(path):
    path.write_text("half")
    print("writing", flush=True)
    time.sleep(60)

with only_writer(sys.argv[1], "writer.py"):
    write_atomically(Path(sys.argv[1]) / "file.txt", write)
"""


def writing(folder: Path) -> subprocess.Popen:
    """A process in the middle of writing a file."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, env=environment, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "writing\n"
    return process


def test_litter_of_a_killed_process_is_removed_and_that_of_a_living_one_is_not(tmp_path: Path) -> None:
    process = writing(tmp_path)
    try:
        remove_litter(tmp_path)
        assert len(list(tmp_path.glob(".partial-*.txt"))) == 1
        with pytest.raises(FolderInUse, match=rf"in use: writer\.py, process {process.pid} on .*, started \d{{4}}-"):
            only_writer(tmp_path, "second.py").__enter__()
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    with only_writer(tmp_path, "third.py"):
        remove_litter(tmp_path)
        assert not list(tmp_path.glob(".partial-*.txt"))
    assert not list(tmp_path.glob(".lock-owner*"))


def test_what_is_litter(tmp_path: Path) -> None:
    own = Process.current()
    (tmp_path / "sub").mkdir()
    dead = f".partial-{own.machine}-{own.number}-{own.born + 1}-abcdefgh.png"  # the number was given again
    living = f".partial-{own.machine}-{own.number}-{own.born}-abcdefgh.png"
    elsewhere, old_elsewhere = (f".partial-00000000-12-34-{name}.png" for name in ("abcdefgh", "hgfedcba"))
    unsigned, old_unsigned = ".partial-abcdefgh.png", ".partial-hgfedcba"  # of earlier versions
    somebodys = ".partial-notes of mine.txt"
    for name in (dead, living, elsewhere, old_elsewhere, unsigned, old_unsigned, somebodys, f"sub/{dead}"):
        (tmp_path / name).touch()
    for name in (old_elsewhere, old_unsigned, somebodys):
        os.utime(tmp_path / name, (0, 0))
    remove_litter(tmp_path)
    kept = {living, elsewhere, unsigned, somebodys}
    assert {path.name for path in tmp_path.iterdir()} == kept | {"sub"}
    assert (tmp_path / "sub" / dead).exists()
    remove_litter(tmp_path, recursive=True)
    assert not (tmp_path / "sub" / dead).exists()
    remove_litter(tmp_path / "gone")


def _limited(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


@pytest.mark.parametrize("kind", ["text", "safetensors", "torch"])
def test_a_file_that_does_not_fit_is_an_error_of_the_system(kind: str, tmp_path: Path) -> None:
    path, zeros = tmp_path / "file", torch.zeros(100_000)
    old = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    path.write_text("before")
    _limited(65_536)
    try:
        with pytest.raises(OSError) as caught:
            if kind == "text":
                write_text(path, "x" * 200_000)
            elif kind == "safetensors":
                save_weights(path, {"zeros": zeros}, {})
            else:
                write_atomically(path, lambda temporary: torch.save(zeros, temporary))
    finally:
        _limited(old)
    assert caught.value.filename == str(path) and caught.value.strerror
    assert kind == "torch" or caught.value.errno == errno.EFBIG
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]


def test_an_error_of_the_system_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError) as caught:
        write_text(tmp_path / "file/below.txt", "")
    assert caught.value.filename == str(tmp_path / "file/below.txt")
