"""The compiled operators are built once, by one process, on first use; whatever fails, plain PyTorch takes over."""

import os
import shutil
import subprocess
import sys

import pytest
import torch

from models.stylegan2.ops import bias_act, compiled, status
from utils.paths import ROOT

NVCC = shutil.which("nvcc") or shutil.which("nvcc", path="/usr/local/cuda/bin")

needs_compiler = pytest.mark.skipif(shutil.which("c++") is None, reason="there is no C++ compiler")

FIRST_USE = """
import os, pathlib, sys, torch
from models.stylegan2.ops import bias_act
assert "torch.utils.cpp_extension" not in sys.modules, "imported although nothing is built"
x, bias = torch.arange(-6.0, 6.0).reshape(2, 6), torch.ones(6)
print("ready", flush=True)
sys.stdin.readline()
y = bias_act(x, bias, activation="lrelu", gain=1, form="compiled")
assert torch.equal(y, torch.where(x > -1, x + 1, 0.2 * (x + 1))), y
"""


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """As in a new process with an empty cache."""
    monkeypatch.setenv("SDFLOW_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SDFLOW_OPS", raising=False)
    compiled._load.cache_clear()
    yield tmp_path
    compiled._load.cache_clear()


def activated(form=None):
    return bias_act(torch.tensor([[1.0, -1.0]]), activation="lrelu", gain=1, form=form).tolist()


@needs_compiler
def test_several_processes_build_once(tmp_path):
    folder = tmp_path / "cache"
    environment = {**os.environ, "SDFLOW_CACHE": str(folder), "PYTHONPATH": str(ROOT)}
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    command = [sys.executable, "-c", FIRST_USE]
    processes = [subprocess.Popen(command, env=environment, text=True, **pipes) for _ in range(3)]
    for process in processes:
        assert process.stdout.readline() == "ready\n", process.stderr.read()
    assert not folder.exists(), "built at import"
    for process in processes:  # all at once
        process.stdin.write("go\n")
        process.stdin.flush()
    errors = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], errors
    assert sum(error.count("building the compiled operators for cpu") for error in errors) == 1
    assert {path.suffix for path in (folder / "ops").iterdir()} == {".so", ".lock"}


@needs_compiler
def test_a_failed_build_names_its_log_and_is_replaced_by_the_plain_form(fresh, monkeypatch, capsys):
    broken = fresh / "bin" / "c++"
    broken.parent.mkdir()
    broken.write_text(f"""#!/bin/sh
case "$*" in
    -v | --version | -dump*) exec {shutil.which("c++")} "$@" ;;  # whatever asks only who it is
esac
echo it is out of order >&2
exit 1
""")
    broken.chmod(0o755)
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", f"{broken.parent}{os.pathsep}{os.environ['PATH']}")
    for _ in range(2):
        torch.testing.assert_close(torch.tensor(activated()), torch.tensor([[1.0, -0.2]]))
    building, told = capsys.readouterr().err.splitlines()
    assert building.startswith("building the compiled operators for cpu")
    (log,) = (path for path in (fresh / "cache" / "ops").iterdir() if path.suffix != ".lock")
    assert told == f"the compiled operators for cpu could not be built, plain PyTorch is used instead: see {log}"
    assert "out of order" in log.read_text()
    assert status()["cpu"] == ("reference", f"the build failed: see {log}")
    with pytest.raises(RuntimeError, match="asked for: the build failed"):
        activated(form="compiled")


def test_without_a_compiler_the_plain_form_works_silently(fresh, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(fresh))
    monkeypatch.setenv("CXX", "no-such-compiler")
    torch.testing.assert_close(torch.tensor(activated()), torch.tensor([[1.0, -0.2]]))
    assert status()["cpu"] == ("reference", "no C++ compiler (no-such-compiler) on the PATH")
    assert capsys.readouterr() == ("", "")


def test_a_cache_that_cannot_be_written_is_no_error(fresh, monkeypatch):
    (fresh / "file").touch()
    monkeypatch.setenv("SDFLOW_CACHE", str(fresh / "file"))
    torch.testing.assert_close(torch.tensor(activated()), torch.tensor([[1.0, -0.2]]))
    form, reason = status()["cpu"]
    assert form == "reference" and "file" in reason


def test_the_environment_chooses_and_an_argument_overrules_it(fresh, monkeypatch):
    monkeypatch.setenv("SDFLOW_OPS", "reference")
    activated()
    assert set(status().values()) == {("reference", "SDFLOW_OPS=reference")}
    assert not (fresh / "cache").exists()
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(RuntimeError, match="no-such-compiler"):
        activated(form="compiled")
    monkeypatch.setenv("SDFLOW_OPS", "fastest")
    with pytest.raises(ValueError, match="'fastest', expected one of auto, reference, compiled"):
        activated()


@pytest.mark.skipif(NVCC is None, reason="there is no nvcc")
@pytest.mark.parametrize("source", ["bias_act.cu", "upfirdn2d.cu"])
def test_cuda_sources_compile(source, tmp_path):
    folder = ROOT / "models" / "stylegan2" / "ops" / "csrc"
    targets = [f"-gencode=arch=compute_{number},code=sm_{number}" for number in (80, 90)]
    # as torch.utils.cpp_extension defines them: half precision has no operators or conversions of its own
    macros = ["OPERATORS", "CONVERSIONS"]
    defines = [f"-D__CUDA_NO_HALF_{macro}__" for macro in macros] + ["-D__CUDA_NO_BFLOAT16_CONVERSIONS__"]
    command = [
        NVCC,
        "-c",
        str(folder / source),
        "-o",
        str(tmp_path / "out.o"),
        *compiled._CUDA_FLAGS,
        *targets,
        *defines,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr
