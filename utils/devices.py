"""Choosing the device once, by name."""

from __future__ import annotations

import ctypes
import platform

import torch

from utils.options import DEVICE_CHOICES


def pick_device(name: str | torch.device = "auto") -> torch.device:
    """The device called `name`; `auto` takes CUDA, then Apple's MPS, then the CPU.

    Raises:
        ValueError: the name is unknown or the device is not there.
    """
    name = str(name)
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if available[kind]))
    kind = name.split(":")[0]
    if kind not in available:
        raise ValueError(f"unknown device '{name}', choose one of {', '.join(DEVICE_CHOICES)}")
    if not available[kind]:
        raise ValueError(f"device '{name}' is not available with this PyTorch ({torch.__version__}) on this machine")
    device = torch.device(name)
    if kind == "cuda" and device.index is not None and device.index >= torch.cuda.device_count():
        raise ValueError(f"device '{name}': this machine has {torch.cuda.device_count()} GPUs, counted from 0")
    return device


def keep_freed_memory() -> None:
    """Let the C library keep freed memory for the next step instead of handing it back to the system each time.

    Training, and editing batch by batch, frees and takes the same large blocks again and again; with glibc's defaults
    each of them is mapped and zeroed anew by the kernel. Does nothing where the C library is another one.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    map_threshold, trim_threshold, top_pad = -3, -1, -2  # option numbers of glibc's malloc.h
    for option, value in ((map_threshold, 32 << 20), (trim_threshold, 2**31 - 1), (top_pad, 64 << 20)):
        libc.mallopt(option, value)
