"""Calling functions in several processes at a time."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import torch
from tqdm import tqdm

from scripts.study.plan import StudyError


def _start(threads: int) -> None:
    torch.set_num_threads(threads)


def in_parallel(tasks: Sequence[tuple[str, Callable[[], Any]]], jobs: int, threads: int, what: str) -> None:
    """Call picklable functions of no arguments in `jobs` processes (one: in this), with a progress bar.

    Raises:
        StudyError: one of them; the others that run are waited for.
    """
    if not tasks:
        return
    with tqdm(total=len(tasks), desc=what, unit="run", dynamic_ncols=True) as bar:
        if jobs == 1:
            for name, task in tasks:
                task()
                bar.set_postfix_str(name)
                bar.update()
            return
        with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _start, (threads,)) as pool:
            waiting: dict[Future[Any], str] = {pool.submit(task): name for name, task in tasks}
            try:
                while waiting:
                    for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                        name = waiting.pop(future)
                        future.result()
                        bar.set_postfix_str(name)
                        bar.update()
            except BrokenProcessPool:
                raise StudyError(f"{what}: a process was killed (out of memory? try fewer --jobs)") from None
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
