"""Seconds, bytes and the machine's own speed."""

from __future__ import annotations

import re
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch


def seconds(function: Callable[[], Any], device: torch.device) -> float:
    """Duration of one call; by CUDA's own events where the work runs there."""
    if device.type == "cuda":
        began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize(device)
        began.record()
        function()
        ended.record()
        torch.cuda.synchronize(device)
        return began.elapsed_time(ended) / 1000
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def alternate(
    functions: Mapping[str, Callable[[], Any]], device: torch.device, rounds: int, warm_up: int = 1
) -> dict[str, list[float]]:
    """Durations of each function in turn, round by round, so that all of them see the same disturbances."""
    for _ in range(warm_up):
        for function in functions.values():
            seconds(function, device)
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            times[name].append(seconds(function, device))
    return times


def matmul_rate(dtype: torch.dtype, device: torch.device, side: int) -> float:
    """FLOP per second of a product of two square matrices, in this process as it is set up (threads, TF32)."""
    first, second = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    allowed = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32  # convolutions may use it from the start
    try:
        times = alternate({"product": lambda: first @ second}, device, rounds=7, warm_up=2)["product"]
    finally:
        torch.backends.cuda.matmul.allow_tf32 = allowed
    return 2 * side**3 / statistics.median(times)


def peak_memory(device: torch.device) -> int | None:
    """Bytes that this process held at most: of the GPU's memory, or of the machine's (None where no one counts it)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        return None
    status = Path("/proc/self/status")
    if status.is_file():  # what `getrusage` says on Linux includes the peak of the process that started this one
        (kilobytes,) = re.findall(r"^VmHWM:\s+(\d+) kB$", status.read_text(), re.MULTILINE)
        return int(kilobytes) * 1024
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
