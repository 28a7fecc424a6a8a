"""Processes: which one is this, does another one still live, and running a function in a separate one."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import socket
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Process:
    """A process, as names of files can tell it.

    Attributes:
        machine: hash of the host and of the container (8 hexadecimal digits): process numbers are valid within it.
        number: the operating system's (PID).
        born: when it was started, in ticks since the machine was; tells a process from a later one of the same
            number. 0 where the system does not say.
    """

    machine: str
    number: int
    born: int

    @staticmethod
    def current() -> Process:
        """The process that asks; after a fork another one."""
        return Process(_machine(), os.getpid(), _born(os.getpid()))

    def lives(self) -> bool | None:
        """Whether it still runs; None if it is another machine's, which cannot be asked."""
        if self.machine != _machine():
            return None
        if sys.platform != "win32":  # where signal 0 would end it
            try:
                os.kill(self.number, 0)
            except (ProcessLookupError, OverflowError):
                return False
            except PermissionError:  # another user's
                pass
        return _born(self.number) == self.born


@cache
def _machine() -> str:
    try:
        container = os.readlink("/proc/self/ns/pid")
    except OSError:
        container = ""
    return hashlib.sha256(f"{socket.gethostname()} {container}".encode()).hexdigest()[:8]


def _born(number: int) -> int:
    try:
        fields = Path(f"/proc/{number}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return 0 if fields[0] == "Z" else int(fields[19])  # a zombie has ended; field 22 of proc(5) is the start
    except (OSError, LookupError, ValueError):
        return 0


def in_subprocess(function: Callable[..., Any], *arguments: Any) -> Any:
    """Result of the function, called in a new process.

    Raises:
        RuntimeError: the process was killed.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(function, *arguments).result()
        except BrokenProcessPool:
            raise RuntimeError("its process was killed (too little memory?)") from None
