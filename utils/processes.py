"""Run a function in a separate process."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any


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
