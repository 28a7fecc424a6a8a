"""The compiled forms of the operators: which one is in use and why, how it is built and called.

The kernels in `csrc/` take plain structs of pointers and sizes, so that one binding serves the CPU and CUDA,
and a build lasts seconds: PyTorch's headers alone would take minutes. Nothing is built before an operator needs it.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import sys
import tempfile
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from filelock import FileLock
from torch import Tensor

Form = Literal["auto", "reference", "compiled"]
FORMS = ("auto", "reference", "compiled")
_SOURCES = Path(__file__).parent / "csrc"
_CPU_FLAGS = ("-O3", "-std=c++17", "-march=native", "-fopenmp", "-fno-math-errno", "-fno-trapping-math")
_CUDA_FLAGS = ("-O3", "-std=c++17")
_DTYPES = {torch.float32: 0, torch.bfloat16: 1, torch.float64: 2, torch.float16: 3}
_SUPPORTED = {"cpu": (torch.float32, torch.bfloat16, torch.float64), "cuda": tuple(_DTYPES)}


class BiasAct(ctypes.Structure):
    """`BiasAct` of csrc/arguments.h."""

    operands: Sequence[Tensor | None] = ()  # owners of the memory behind the pointers

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("x", "y", "scale", "noise", "bias", "grad")),
        *((name, ctypes.c_void_p) for name in ("grad_x", "grad_scale", "grad_noise", "grad_bias")),
        *((name, ctypes.c_int64) for name in ("dtype", "batch", "channels", "pixels")),
        *((name, ctypes.c_int64) for name in ("channels_last", "noise_per_sample", "chunks")),
        *((name, ctypes.c_double) for name in ("slope", "gain", "limit")),
    ]


class Upfirdn2d(ctypes.Structure):
    """`Upfirdn2d` of csrc/arguments.h."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("x", "y", "kernel")),
        *((name, ctypes.c_int64) for name in ("dtype", "planes", "depth", "height", "width", "out_height")),
        *((name, ctypes.c_int64) for name in ("out_width", "kernel_height", "kernel_width")),
        *((name, ctypes.c_int64) for name in ("up_x", "up_y", "down_x", "down_y", "before_x", "before_y", "mirrored")),
        ("gain", ctypes.c_double),
        ("then", ctypes.POINTER(BiasAct)),
    ]


class Status(NamedTuple):
    """The form in use on a kind of device, and why it is this one."""

    form: Literal["reference", "compiled"]
    reason: str


def wanted_form(form: Form | None = None) -> Form:
    """The argument, else the environment variable SDFLOW_OPS, else "auto".

    Raises:
        ValueError: it is no form.
    """
    wanted = form or os.environ.get("SDFLOW_OPS", "auto")
    if wanted not in FORMS:
        raise ValueError(f"SDFLOW_OPS or form is {wanted!r}, expected one of {', '.join(FORMS)}")
    return wanted  # type: ignore[return-value]


def status() -> dict[str, Status]:
    """The form in use on "cpu" and on "cuda", and why; builds what is missing."""
    return {device: _status(device) for device in _SUPPORTED}


def _status(device: str) -> Status:
    if wanted_form() == "reference":
        return Status("reference", "SDFLOW_OPS=reference")
    library, reason = _library(device)
    return Status("reference" if library is None else "compiled", reason)


def use_compiled(x: Tensor, form: Form | None = None) -> bool:
    """Whether the compiled form takes this tensor.

    Raises:
        ValueError: `form` or SDFLOW_OPS is no form.
        RuntimeError: "compiled" is asked for, but could not be built.
    """
    form = wanted_form(form)
    device = x.device.type
    # tensor subclasses may have no memory of their own; torch.compile fuses the plain form itself
    plain = type(x) in (Tensor, torch.nn.Parameter) and not torch.compiler.is_compiling()
    if form == "reference" or not plain or x.dtype not in _SUPPORTED.get(device, ()) or x.numel() == 0:
        return False
    library, reason = _library(device)
    if library is None and form == "compiled":
        raise RuntimeError(f"the compiled operators are asked for: {reason}")
    return library is not None


def run(name: str, x: Tensor, arguments: ctypes.Structure) -> None:
    """Call a kernel on the device of x, there on the current stream.

    Raises:
        RuntimeError: CUDA refused to start it.
    """
    function = getattr(_library(x.device.type)[0], name)
    if x.device.type == "cpu":
        function(ctypes.byref(arguments), None)
        return
    with torch.cuda.device(x.device):
        error = function(ctypes.byref(arguments), torch.cuda.current_stream().cuda_stream)
    if error is not None:
        raise RuntimeError(f"{name}: {error.decode()}")


def dtype_code(x: Tensor) -> int:
    """The number of a tensor's dtype in csrc/arguments.h."""
    return _DTYPES[x.dtype]


def compute_dtype(x: Tensor) -> torch.dtype:
    """The dtype in which kernels compute, and in which they take everything but images."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def dense(x: Tensor) -> tuple[Tensor, bool]:
    """x without gaps in its memory, x itself where it has none; and whether its channels come last."""
    if x.is_contiguous() or x.ndim != 4 or x.stride(1) != 1:
        return x.contiguous(), False
    return x.contiguous(memory_format=torch.channels_last), True


def like(x: Tensor, dense: Tensor) -> Tensor:
    """x in the memory format of a dense tensor of its shape."""
    return x.contiguous() if dense.is_contiguous() else x.contiguous(memory_format=torch.channels_last)


def operand(source: Tensor | None, x: Tensor) -> Tensor | None:
    """An operand other than the images x, in the dtype and layout that the kernels take."""
    return None if source is None else source.to(compute_dtype(x)).contiguous()


def pointer(x: Tensor | None) -> int | None:
    """Address of a tensor's memory; the caller keeps the tensor until the kernel has run."""
    return None if x is None else x.data_ptr()


_lock = threading.Lock()


def _library(device: str) -> tuple[ctypes.CDLL | None, str]:
    """The loaded library, or none, and why."""
    with _lock:
        return _load(device)


@functools.cache
def _load(device: str) -> tuple[ctypes.CDLL | None, str]:
    if os.name == "nt":
        return None, "written for GCC and Clang, not for Windows"
    if device == "cuda" and (torch.version.cuda is None or not torch.cuda.is_available()):
        return None, "PyTorch finds no CUDA device"
    path = _cache_folder() / f"{device}-{_key(device)}.so"
    try:
        if not path.exists():
            missing = _missing_compiler(device)
            if missing is not None:
                return None, missing
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(path.with_suffix(".lock")):
                if not path.exists():  # another process may have built it meanwhile
                    _build(device, path)
        library = ctypes.CDLL(str(path))
    except (OSError, _BuildFailed) as error:
        return None, str(error)
    for name in ("bias_act", "bias_act_backward", "upfirdn2d", "winograd", "winograd_gradient", "winograd_pack"):
        function = getattr(library, name, None)
        if function is None:  # Winograd's are for the CPU only
            continue
        function.argtypes, function.restype = (ctypes.c_void_p, ctypes.c_void_p), ctypes.c_char_p
    return library, str(path)


def _missing_compiler(device: str) -> str | None:
    """The compiler that a build needs and that is not there."""
    compiler = os.environ.get("CXX", "c++")
    if shutil.which(compiler) is None:
        return f"no C++ compiler ({compiler}) on the PATH"
    folders = [os.environ[name] for name in ("CUDA_HOME", "CUDA_PATH") if name in os.environ] or ["/usr/local/cuda"]
    if device == "cuda" and not any(shutil.which("nvcc", path=path) for path in (None, *(f"{x}/bin" for x in folders))):
        return "no CUDA compiler (nvcc) on the PATH or in CUDA_HOME"
    return None


def _cache_folder() -> Path:
    """In the user's cache: several copies of the project share it."""
    if "SDFLOW_CACHE" in os.environ:
        return Path(os.environ["SDFLOW_CACHE"], "ops").expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "sdflow", "ops")


def _key(device: str) -> str:
    """Hash of everything that a library depends on."""
    parts = [torch.__version__, platform.machine(), platform.system()]
    if device == "cuda":
        devices = range(torch.cuda.device_count())
        architectures = sorted({torch.cuda.get_device_capability(index) for index in devices})
        parts += [str(torch.version.cuda), str(architectures), *_CUDA_FLAGS]
    else:
        parts += [_processor(), *_CPU_FLAGS]
    digest = hashlib.sha256("\n".join(parts).encode())
    for source in sorted(_SOURCES.iterdir()):
        digest.update(source.name.encode() + source.read_bytes())
    return digest.hexdigest()[:16]


def _processor() -> str:
    """What -march=native depends on: a home folder may be shared by machines of several kinds."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return "\n".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))


class _BuildFailed(Exception):
    pass


def _build(device: str, path: Path) -> None:
    """Build into a temporary folder, then move the library to `path` at once.

    Raises:
        _BuildFailed: it names the log.
    """
    print(f"building the compiled operators for {device} (once) …", file=sys.stderr, flush=True)
    # imported here: it takes a second, which only a build needs
    import ninja
    from torch.utils import cpp_extension

    search_path = os.environ.get("PATH", "")
    os.environ["PATH"] = os.pathsep.join([ninja.BIN_DIR, search_path])
    log = path.with_suffix(".log")
    try:
        with tempfile.TemporaryDirectory(prefix=path.stem, dir=path.parent) as folder:
            sources = sorted(str(source) for source in _SOURCES.glob("*.cu" if device == "cuda" else "*.cpp"))
            cpp_extension.load(
                path.stem,
                sources,
                extra_cflags=list(_CPU_FLAGS),
                extra_cuda_cflags=list(_CUDA_FLAGS),
                extra_ldflags=["-fopenmp"] if device == "cpu" else [],
                build_directory=folder,
                with_cuda=device == "cuda",
                is_python_module=False,
            )
            Path(folder, f"{path.stem}.so").replace(path)
    except Exception as error:  # compilers fail in many ways; the command goes on with plain PyTorch
        log.write_text(traceback.format_exc())
        message = f"the compiled operators for {device} could not be built, plain PyTorch is used instead: see {log}"
        print(message, file=sys.stderr)
        raise _BuildFailed(f"the build failed: see {log}") from error
    finally:
        os.environ["PATH"] = search_path
